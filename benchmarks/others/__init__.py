"""Training of other packages, and of this one's models next to it."""
