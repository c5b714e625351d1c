"""Readers of a prepared data set: sessions from TFRecords, prefixes, batches."""
