"""Baselines of gradient norms, and checks against them."""
