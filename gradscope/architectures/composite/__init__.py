"""Composites of recurrences."""
