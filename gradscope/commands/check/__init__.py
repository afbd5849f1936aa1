"""``gradscope check`` and ``gradscope baseline``."""
