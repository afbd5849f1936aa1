"""The step as a program: traced once on symbols, executed for all steps."""
