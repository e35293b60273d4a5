"""From image files and data sets to batches."""
