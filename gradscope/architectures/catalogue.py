"""The catalogue: every architecture by name, family after family, readable without importing torch."""

from __future__ import annotations

from gradscope.architectures.attention import ATTENTION
from gradscope.architectures.buffered import BUFFERED
from gradscope.architectures.composite import COMPOSITE
from gradscope.architectures.dense import DENSE
from gradscope.architectures.diagonal import DIAGONAL
from gradscope.architectures.gated import GATED
from gradscope.architectures.matrix_state import MATRIX_STATE
from gradscope.architectures.spec import ArchitectureSpec

ARCHITECTURES: dict[str, ArchitectureSpec] = DENSE | GATED | BUFFERED | COMPOSITE | DIAGONAL | MATRIX_STATE | ATTENTION
