"""Compiled steps of HLN as files, and their execution without TensorFlow."""
