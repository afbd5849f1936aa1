"""Architectures: one file each, and the catalogue that names them."""
