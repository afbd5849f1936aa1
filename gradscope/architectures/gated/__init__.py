"""Gated recurrences."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from gradscope.architectures.keeping import keeping_bias
from gradscope.architectures.spec import ArchitectureSpec, MemoryComponent
from gradscope.contract.option import Option, OptionValue

_gated = partial(ArchitectureSpec, "gated")


def _forget_less(given: Mapping[str, Any], length: int) -> dict[str, OptionValue]:
    return {"forget_bias": max(given["forget_bias"], keeping_bias(length)), "chrono": 0}


def _chrono(length: int) -> dict[str, OptionValue]:
    return {"chrono": max(2, length)}


GATED = {
    "lstm": _gated(
        home="gradscope.architectures.gated.lstm:LSTM",
        equation="c_t = f ⊙ c_{t-1} + i ⊙ g; h_t = o ⊙ tanh c_t",
        paper="Hochreiter & Schmidhuber 1997; Gers et al. 2000",
        gradient_path="k",
        parallelisable=False,
        state_size="2H",
        options=(
            Option("forget_bias", 0.0, "added to the forget gate's bias"),
            Option("chrono", 0, "longest memory T_max for chrono initialisation, 0 for none", minimum=0),
        ),
        memory_dial="bias of the forget gate",
        lengthens=_forget_less,
        memory_rank=2,
        memory_component=MemoryComponent("c", _chrono),
        torch_class="torch.nn:LSTM",
    ),
    "gru": _gated(
        home="gradscope.architectures.gated.gru:GRU",
        equation="n = tanh(W x_t + r ⊙ (U h_{t-1} + b)); h_t = (1-z) ⊙ n + z ⊙ h_{t-1}",
        paper="Cho et al. 2014, arXiv:1406.1078; reset after the product, as in torch and cuDNN",
        gradient_path="k",
        parallelisable=False,
        state_size="H",
        memory_dial="bias of the update gate",
        torch_class="torch.nn:GRU",
    ),
    "gru-cho": _gated(
        home="gradscope.architectures.gated.gru_cho:GRUCho",
        equation="n = tanh(W x_t + U (r ⊙ h_{t-1}) + b); h_t = (1-z) ⊙ h_{t-1} + z ⊙ n",
        paper="Cho et al. 2014, arXiv:1406.1078; reset before the product, as published",
        gradient_path="k",
        parallelisable=False,
        state_size="H",
        memory_dial="bias of the update gate",
    ),
}
