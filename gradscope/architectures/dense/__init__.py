"""Dense recurrences."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from gradscope.architectures.keeping import keeping_modulus
from gradscope.architectures.spec import ArchitectureSpec, Situation
from gradscope.contract.option import Option, OptionValue

_dense = partial(ArchitectureSpec, "dense")


def _tanh_inside(given: Mapping[str, Any], situation: Situation) -> list[dict[str, OptionValue]]:
    return [{"inner": "tanh"}]


def _small_steps(given: Mapping[str, Any], situation: Situation) -> list[dict[str, OptionValue]]:
    # T small steps add up to about one decade; still smaller ones write nothing into the state
    return [{"alpha": float(f"{steps / situation.length:.2g}")} for steps in (5, 2)]


def _orthogonal(given: Mapping[str, Any], situation: Situation) -> list[dict[str, OptionValue]]:
    # in a stack the layers' memories add up, so that it takes a little loss in each
    radii = [1.0, keeping_modulus(situation.length, decades=1.0)]
    return [
        {"init": "orthogonal", "radius": radius} for radius in (radii if situation.num_layers == 1 else radii[::-1])
    ]


DENSE = {
    "rnn": _dense(
        home="gradscope.architectures.dense.rnn:RNN",
        equation="h_t = tanh(W x_t + U h_{t-1} + b)",
        paper="Elman 1990; Pascanu et al. 2013, arXiv:1211.5063",
        gradient_path="k",
        parallelisable=False,
        state_size="H",
        options=(Option("nonlinearity", "tanh", "activation", choices=("tanh", "relu")),),
        memory_dial="scale of U, by its spectral radius",
        torch_class="torch.nn:RNN",
        torch_options=("nonlinearity",),
    ),
    "residual-rnn": _dense(
        home="gradscope.architectures.dense.residual_rnn:ResidualRNN",
        equation="h_t = h_{t-1} + α tanh(W x_t + U h_{t-1} + b)",
        paper="residual form of Elman 1990",
        gradient_path="k (an identity path beside it)",
        parallelisable=False,
        state_size="H",
        options=(Option("alpha", 1.0, "size of the residual step"),),
        remedies=_small_steps,
    ),
    "rrn": _dense(
        home="gradscope.architectures.dense.rrn:RRN",
        equation="y^m = σ(W_m x_t + U_m y^{m-1} + b_m), y^0 = h_{t-1}; h_t = tanh(h_{t-1} + y^K)",
        paper="Wang & Tian, EMNLP 2016",
        gradient_path="k",
        parallelisable=False,
        state_size="H",
        options=(
            Option("depth", 2, "affine sub-layers K in one step", minimum=1),
            Option("inner", "sigmoid", "activation of the sub-layers", choices=("sigmoid", "tanh", "relu")),
        ),
        remedies=_tanh_inside,
    ),
    "linear-rnn": _dense(
        home="gradscope.architectures.dense.linear_rnn:LinearRNN",
        equation="h_t = A h_{t-1} + B x_t",
        paper="Zucchet & Orvieto 2024, arXiv:2405.21064",
        gradient_path="k",
        parallelisable=True,
        state_size="H",
        options=(
            Option("init", "ginibre", "ensemble that A is drawn from", choices=("ginibre", "orthogonal")),
            Option("radius", 1.0, "spectral radius of A (of its limit, for ginibre)", minimum=0.0),
        ),
        memory_dial="scale of A, by its spectral radius",
        remedies=_orthogonal,
    ),
    "ind-rnn": _dense(
        home="gradscope.architectures.dense.ind_rnn:IndRNN",
        equation="h_t = relu(W x_t + u ⊙ h_{t-1} + b)",
        paper="Li et al. 2018, arXiv:1803.04831",
        gradient_path="k (one number a unit)",
        parallelisable=False,
        state_size="H",
        options=(Option("nonlinearity", "relu", "activation", choices=("relu", "tanh")),),
        memory_dial="scale of u, by its largest |u|",
    ),
}
