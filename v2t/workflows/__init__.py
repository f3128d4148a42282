"""The durable order of steps."""
