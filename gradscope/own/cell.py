"""A user's cell with the calling convention of ``torch.nn.RNNCell`` or ``torch.nn.LSTMCell`` as a recurrence."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from gradscope.contract.probe import unchanged
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, Prepared, State
from gradscope.errors import UsageError

NAMES = ("h", "c")  # of a state's first tensors; further ones are state_2, state_3, …
PROBE_BATCH = 2


def is_cell(module: nn.Module) -> bool:
    """Whether a module is called with an input and a state.

    Where the state may be left out, as torch's cells allow, the name of the class ends in Cell: the same signature is
    that of many sequence modules.
    """
    if isinstance(module, nn.RNNCellBase):
        return True
    if isinstance(module, nn.RNNBase):
        return False
    parameters = list(inspect.signature(module.forward).parameters.values())
    required = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if len(required) == 1 and type(module).__name__.endswith("Cell"):
        return len(parameters) == 2 and parameters[1].default is None
    return len(required) == 2


class CellAdapter(Recurrence):
    """``cell(x, h) -> h'`` or ``cell(x, (h, c)) -> (h', c')``; the output is the first of them.

    Args:
        cell: The cell.
        input_size: Features of x.
        hidden_size: Width of every tensor of the state.
        reference: What messages call it.
    """

    def __init__(self, cell: nn.Module, input_size: int, hidden_size: int, reference: str) -> None:
        super().__init__()
        self.cell, self.input_size, self.output_size, self._reference = cell, input_size, hidden_size, reference
        count = _count_state(cell, input_size, hidden_size, reference)
        self._single = count == 0
        names = [*NAMES, *(f"state_{index}" for index in range(2, max(count, 2)))][: max(count, 1)]
        self.state_spec = tuple(Block(name, (hidden_size,)) for name in names)

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """One call of the cell."""
        names = [block.name for block in self.state_spec]
        if self._single:
            return {names[0]: self.cell(u["x"], s[names[0]])}
        return dict(zip(names, self.cell(u["x"], tuple(s[name] for name in names)), strict=True))

    @property
    def called(self) -> str:
        """The user's class."""
        return self._reference


def _count_state(cell: nn.Module, input_size: int, hidden_size: int, reference: str) -> int:
    """How many tensors the cell's state has; 0 for one tensor that is not in a tuple. Found by calling it."""
    like = next(cell.parameters(), torch.zeros(()))
    x = torch.zeros(PROBE_BATCH, input_size, dtype=like.dtype, device=like.device)
    h = torch.zeros(PROBE_BATCH, hidden_size, dtype=like.dtype, device=like.device)
    came_back: list[str] = []
    for count in (0, 2, 1, 3, 4):
        state: Any = tuple(h for _ in range(count)) if count else h
        with torch.no_grad(), unchanged(cell):
            try:
                returned = cell(x, state)
            except Exception as error:  # another convention may fail in any way
                came_back.append(f"{type(error).__name__}: {' '.join(str(error).split())}")
                continue
        tensors = list(returned) if isinstance(returned, tuple | list) else [returned]
        shapes_fit = all(isinstance(v, Tensor) and v.shape == h.shape for v in tensors)
        if shapes_fit and isinstance(returned, tuple | list) == (count > 0) and len(tensors) == max(count, 1):
            return count
        came_back.append(", ".join(str(tuple(v.shape)) if isinstance(v, Tensor) else type(v).__name__ for v in tensors))
    raise UsageError(
        f"{reference} should be called as cell(x, h) -> h' or cell(x, (h, c)) -> (h', c') with x {tuple(x.shape)} and "
        f"states {tuple(h.shape)}; with one state it gave {came_back[0]}, with two {came_back[1]}; "
        "where its state has another width, say hidden_size."
    )
