"""Inputs: one file per process, and the catalogue that names them."""
