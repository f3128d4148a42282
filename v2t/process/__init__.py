"""Confined child processes: whatever can crash, hang or swallow memory runs in one of these."""
