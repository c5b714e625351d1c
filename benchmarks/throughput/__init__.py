"""Measurements of training, prediction and evaluation throughput."""
