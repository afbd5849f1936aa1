"""Studies that bring their own models."""
