"""Gated recurrences."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from gradscope.architectures.keeping import keeping_bias
from gradscope.architectures.spec import ArchitectureSpec, Situation
from gradscope.contract.option import Option, OptionValue

_gated = partial(ArchitectureSpec, "gated")


def _forget_less(given: Mapping[str, Any], situation: Situation) -> list[dict[str, OptionValue]]:
    # chrono initialisation spreads the units' memories up to T; of forget biases the smaller is for wide layers, whose
    # U adds to what the gates keep
    biases = [keeping_bias(T, given["forget_bias"], situation.kept()) for T in (situation.length, situation.length / 3)]
    found: list[dict[str, OptionValue]] = [{"chrono": max(2, situation.length), "forget_bias": 0.0}]
    for bias in biases:
        found.append({"forget_bias": bias, "chrono": 0})
    return found


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
        remedies=_forget_less,
        memory_rank=2,
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
