"""Hierarchical Leaping Networks (SIGIR 2020) for session-based recommendation."""

__version__ = "0.1.0"
