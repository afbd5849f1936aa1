"""Composites of two recurrences on the same input whose outputs are averaged (Wang & Tian, EMNLP 2016)."""

from __future__ import annotations

from gradscope.architectures.dense.rrn import RRN
from gradscope.architectures.gated.gru import GRU
from gradscope.architectures.gated.lstm import LSTM
from gradscope.contract.combinators import Parallel
from gradscope.contract.initializer import Initializer


class HRL(Parallel):
    """Hybrid of an LSTM and a residual network: h = ½ (h^LSTM + h^RRN); J is block-diagonal."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        initializer: Initializer,
        *,
        layer: int = 0,
        depth: int = 2,
        inner: str = "sigmoid",
    ) -> None:
        lstm = LSTM(input_size, hidden_size, initializer)
        super().__init__({"lstm": lstm, "rrn": RRN(input_size, hidden_size, initializer, depth=depth, inner=inner)})


class LSTMGRU(Parallel):
    """An LSTM beside a GRU: h = ½ (h^LSTM + h^GRU); J is block-diagonal."""

    def __init__(self, input_size: int, hidden_size: int, initializer: Initializer, *, layer: int = 0) -> None:
        lstm = LSTM(input_size, hidden_size, initializer)
        super().__init__({"lstm": lstm, "gru": GRU(input_size, hidden_size, initializer)})
