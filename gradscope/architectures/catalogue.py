"""The catalogue: every architecture by name, readable without importing torch.

Adding an architecture is one file with its class and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable

from gradscope.architectures.spec import ArchitectureSpec, Option
from gradscope.contract.model import Model
