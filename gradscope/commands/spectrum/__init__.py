"""``gradscope spectrum``."""
