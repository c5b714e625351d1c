"""Training: settings, the loop, its checkpoints."""
