"""``gradscope run`` and ``gradscope plot``."""
