"""Measurements: pure functions of a model and its inputs, each with a frozen result."""
