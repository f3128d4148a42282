"""The machines, not the jobs."""
