"""The models: scorers of sessions against all items."""
