"""torch's fused cells written out in plain operations, for ``torch.func.vmap``, which cannot batch the fused ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


def _lstm_cell(x: Tensor, hx: tuple[Tensor, Tensor], *weights: Any) -> tuple[Tensor, Tensor]:
    i, f, g, o = _affine(x, hx[0], *weights).chunk(4, -1)
    c = torch.sigmoid(f) * hx[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru_cell(x: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    (x_r, x_z, x_n), (h_r, h_z, h_n) = F.linear(x, w_ih, b_ih).chunk(3, -1), F.linear(hx, w_hh, b_hh).chunk(3, -1)
    z, n = torch.sigmoid(x_z + h_z), torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return n + z * (hx - n)


def _affine(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    return F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)


_PLAIN: dict[Any, Callable[..., Any]] = {
    torch.lstm_cell: _lstm_cell,
    torch.gru_cell: _gru_cell,
    torch.rnn_tanh_cell: lambda *args: torch.tanh(_affine(*args)),
    torch.rnn_relu_cell: lambda *args: torch.relu(_affine(*args)),
}


def plain_cell(function: Any) -> Callable[..., Any] | None:
    """A fused cell of torch in plain operations; None for any other function."""
    return _PLAIN.get(function)


class DecomposedCells(TorchFunctionMode):
    """While active, ``LSTMCell``, ``GRUCell`` and ``RNNCell`` run in plain operations."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (plain_cell(func) or func)(*args, **(kwargs or {}))
