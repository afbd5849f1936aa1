"""``gradscope sensitivity``."""
