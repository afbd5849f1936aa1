"""``gradscope list`` and ``gradscope explain``."""
