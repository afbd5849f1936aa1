"""Recurrences with skips through time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from gradscope.architectures.spec import ArchitectureSpec
from gradscope.contract.option import Option, OptionValue

_buffered = partial(ArchitectureSpec, "buffered")


def _near_anchors(given: Mapping[str, Any], length: int) -> dict[str, OptionValue]:
    # a shortcut is reached and left in up to L lossy steps, which cost more than the chain of anchors
    return {"L": min(given["L"], 5), "alpha": 1.0}


def _far_anchors(given: Mapping[str, Any], length: int) -> dict[str, OptionValue]:
    return {"L": max(given["L"], 5), "alpha": min(given["alpha"], 1.0)}


_sc_lstm = partial(
    _buffered,
    paper="Wang & Tian, EMNLP 2016",
    gradient_path="k/L + at most 2L",
    parallelisable=False,
    state_size="3H",
    options=(
        Option("L", 20, "steps between anchors", minimum=1),
        Option("alpha", 1.0, "weight of the shortcut"),
    ),
    memory_dial="bias of the forget gate",
    lengthens=_near_anchors,
    calms=_far_anchors,
)


BUFFERED = {
    "sc-lstm-i": _sc_lstm(
        home="gradscope.architectures.buffered.sc_lstm:SCLSTMI",
        equation="LSTM; at t = 1, 1+L, 1+2L, …: h_t = o ⊙ tanh c_t + α h_{t-L}, α constant",
    ),
    "sc-lstm-p": _sc_lstm(
        home="gradscope.architectures.buffered.sc_lstm:SCLSTMP",
        equation="LSTM; at t = 1, 1+L, 1+2L, …: h_t = o ⊙ tanh c_t + α h_{t-L}, α learned",
    ),
    "skip-rnn": _buffered(
        home="gradscope.architectures.buffered.skip_rnn:SkipRNN",
        equation="h_t = tanh(W x_t + U h_{t-1} + b) + α h_{t-k}",
        paper="skip connections through time: Zhang et al. 2016, arXiv:1602.08210",
        gradient_path="k/K + at most K-1 (K is the option k)",
        parallelisable=False,
        state_size="kH",
        options=(
            Option("k", 4, "steps that the connection skips", minimum=1),
            Option("alpha", 1.0, "weight of the connection; below 1 it contracts"),
        ),
        lengthens=lambda given, length: {"k": 4, "alpha": 0.6},
        calms=lambda given, length: {"k": 4, "alpha": min(given["alpha"], 0.6)},
    ),
}
