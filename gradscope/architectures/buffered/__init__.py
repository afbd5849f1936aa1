"""Recurrences with skips through time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from gradscope.architectures.spec import ArchitectureSpec, Situation
from gradscope.contract.option import Option, OptionValue

_buffered = partial(ArchitectureSpec, "buffered")


def _nearer_anchors(given: Mapping[str, Any], situation: Situation) -> list[dict[str, OptionValue]]:
    # a shortcut is reached and left in up to L lossy steps, which cost more than the chain of anchors; with fewer than
    # five between them the anchors' own growth adds up
    return [{"L": 5, "alpha": 1.0}, {"L": 8, "alpha": 1.0}]


def _contracting_skips(given: Mapping[str, Any], situation: Situation) -> list[dict[str, OptionValue]]:
    # beside U, whose radius is about 0.6: the narrower the matrix, the more a skip has to keep
    return [{"alpha": alpha} for alpha in ((0.7, 0.65) if situation.hidden_size < 64 else (0.65, 0.6))]


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
    remedies=_nearer_anchors,
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
        remedies=_contracting_skips,
    ),
}
