"""Data sets: the protocols that make them of clicks, their files, prefixes, batches."""
