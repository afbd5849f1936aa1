"""Recurrences of a matrix state."""
