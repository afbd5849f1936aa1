"""``gradscope compare``."""
