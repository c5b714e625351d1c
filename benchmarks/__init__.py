"""Benchmark scripts, one for each table, run from the repository root."""
