"""Inputs: random processes and tasks, the catalogue that names them, and a user's data cut into windows."""
