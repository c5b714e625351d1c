"""Measurements of the package against a plain implementation and the machine."""
