"""A user's own classes and modules as models."""
