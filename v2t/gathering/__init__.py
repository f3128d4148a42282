"""From folders, patterns and buckets to batches."""
