"""Composites of recurrences."""

from __future__ import annotations

from functools import partial

from gradscope.architectures.dense import DENSE
from gradscope.architectures.spec import ArchitectureSpec

_composite = partial(ArchitectureSpec, "composite", gradient_path="k in each branch", parallelisable=False)

COMPOSITE = {
    "hrl": _composite(
        home="gradscope.architectures.composite.hybrids:HRL",
        equation="h_t = ½ (h_t^LSTM + h_t^RRN)",
        paper="Wang & Tian, EMNLP 2016",
        state_size="3H",
        options=DENSE["rrn"].options,
        memory_dial="bias of the LSTM's forget gate",
    ),
    "lstm-gru": _composite(
        home="gradscope.architectures.composite.hybrids:LSTMGRU",
        equation="h_t = ½ (h_t^LSTM + h_t^GRU)",
        paper="mean of the two cells, after the hybrid of Wang & Tian 2016",
        state_size="3H",
        memory_dial="biases of the LSTM's forget gate and of the GRU's update gate",
    ),
}
