"""One look at every part of the cluster."""
