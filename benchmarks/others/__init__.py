"""Training of what a user would run instead, and of this package's models next to it."""
