"""Measurements of what gradscope costs and finds, and what they measure."""
