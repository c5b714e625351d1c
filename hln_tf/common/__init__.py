"""Settings, flags, errors and files of all four packages. Imports no TensorFlow."""

__version__ = "0.2.0"
