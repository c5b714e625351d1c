"""The plumbing that all four packages share: settings, flags, errors, files. No TensorFlow."""

__version__ = "0.1.0"
