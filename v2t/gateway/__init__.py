"""What the cluster offers over HTTP."""
