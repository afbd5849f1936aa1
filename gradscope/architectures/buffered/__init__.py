"""Recurrences with skips through time."""
