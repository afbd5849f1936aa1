"""The catalogue: every architecture by name, readable without importing torch.

Adding an architecture is one file with its class and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gradscope.architectures.spec import ArchitectureSpec
from gradscope.contract.option import Option

if TYPE_CHECKING:
    from gradscope.contract.model import Model


def _rnn() -> Callable[..., Model]:
    from gradscope.architectures.dense.rnn import RNN

    return RNN


def _lstm() -> Callable[..., Model]:
    from gradscope.architectures.gated.lstm import LSTM

    return LSTM


def _gru() -> Callable[..., Model]:
    from gradscope.architectures.gated.gru import GRU

    return GRU


def _gru_cho() -> Callable[..., Model]:
    from gradscope.architectures.gated.gru_cho import GRUCho

    return GRUCho


def _residual_rnn() -> Callable[..., Model]:
    from gradscope.architectures.dense.residual_rnn import ResidualRNN

    return ResidualRNN


def _rrn() -> Callable[..., Model]:
    from gradscope.architectures.dense.rrn import RRN

    return RRN


def _linear_rnn() -> Callable[..., Model]:
    from gradscope.architectures.dense.linear_rnn import LinearRNN

    return LinearRNN


def _sc_lstm_i() -> Callable[..., Model]:
    from gradscope.architectures.buffered.sc_lstm import SCLSTMI

    return SCLSTMI


def _sc_lstm_p() -> Callable[..., Model]:
    from gradscope.architectures.buffered.sc_lstm import SCLSTMP

    return SCLSTMP


def _skip_rnn() -> Callable[..., Model]:
    from gradscope.architectures.buffered.skip_rnn import SkipRNN

    return SkipRNN


def _hrl() -> Callable[..., Model]:
    from gradscope.architectures.composite.hybrids import HRL

    return HRL


def _lstm_gru() -> Callable[..., Model]:
    from gradscope.architectures.composite.hybrids import LSTMGRU

    return LSTMGRU


def _lru() -> Callable[..., Model]:
    from gradscope.architectures.diagonal.lru import LRU

    return LRU


def _min_gru() -> Callable[..., Model]:
    from gradscope.architectures.diagonal.min_gru import MinGRU

    return MinGRU


def _deltanet() -> Callable[..., Model]:
    from gradscope.architectures.matrix_state.deltanet import DeltaNet

    return DeltaNet


def _transformer() -> Callable[..., Model]:
    from gradscope.architectures.attention.transformer import Transformer

    return Transformer


_WANG_TIAN = "Wang & Tian, EMNLP 2016"
_RRN_OPTIONS = (
    Option("depth", 2, "affine sub-layers K in one step", minimum=1),
    Option("inner", "sigmoid", "activation of the sub-layers", choices=("sigmoid", "tanh", "relu")),
)
_SKIP_DISTANCE = Option("L", 20, "steps between anchors", minimum=1)
_SHORTCUT = Option("alpha", 1.0, "weight of the shortcut")

ARCHITECTURES: dict[str, ArchitectureSpec] = {
    "rnn": ArchitectureSpec(
        family="dense",
        equation="h_t = tanh(W x_t + U h_{t-1} + b)",
        paper="Elman 1990; Pascanu et al. 2013, arXiv:1211.5063",
        gradient_path="k",
        parallelisable=False,
        state_size="H",
        load=_rnn,
        options=(Option("nonlinearity", "tanh", "activation", choices=("tanh", "relu")),),
    ),
    "residual-rnn": ArchitectureSpec(
        family="dense",
        equation="h_t = h_{t-1} + α tanh(W x_t + U h_{t-1} + b)",
        paper="residual form of Elman 1990",
        gradient_path="k (an identity path beside it)",
        parallelisable=False,
        state_size="H",
        load=_residual_rnn,
        options=(Option("alpha", 1.0, "size of the residual step"),),
    ),
    "rrn": ArchitectureSpec(
        family="dense",
        equation="y^m = σ(W_m x_t + U_m y^{m-1} + b_m), y^0 = h_{t-1}; h_t = tanh(h_{t-1} + y^K)",
        paper=_WANG_TIAN,
        gradient_path="k",
        parallelisable=False,
        state_size="H",
        load=_rrn,
        options=_RRN_OPTIONS,
    ),
    "linear-rnn": ArchitectureSpec(
        family="dense",
        equation="h_t = A h_{t-1} + B x_t",
        paper="Zucchet & Orvieto 2024, arXiv:2405.21064",
        gradient_path="k",
        parallelisable=True,
        state_size="H",
        load=_linear_rnn,
        options=(
            Option("init", "ginibre", "ensemble that A is drawn from", choices=("ginibre", "orthogonal")),
            Option("radius", 1.0, "spectral radius of A (of its limit, for ginibre)", minimum=0.0),
        ),
    ),
    "lstm": ArchitectureSpec(
        family="gated",
        equation="c_t = f ⊙ c_{t-1} + i ⊙ g; h_t = o ⊙ tanh c_t",
        paper="Hochreiter & Schmidhuber 1997; Gers et al. 2000",
        gradient_path="k",
        parallelisable=False,
        state_size="2H",
        load=_lstm,
        options=(
            Option("forget_bias", 0.0, "added to the forget gate's bias"),
            Option("chrono", 0, "longest memory T_max for chrono initialisation, 0 for none", minimum=0),
        ),
    ),
    "gru": ArchitectureSpec(
        family="gated",
        equation="n = tanh(W x_t + r ⊙ (U h_{t-1} + b)); h_t = (1-z) ⊙ n + z ⊙ h_{t-1}",
        paper="Cho et al. 2014, arXiv:1406.1078; reset after the product, as in torch and cuDNN",
        gradient_path="k",
        parallelisable=False,
        state_size="H",
        load=_gru,
    ),
    "gru-cho": ArchitectureSpec(
        family="gated",
        equation="n = tanh(W x_t + U (r ⊙ h_{t-1}) + b); h_t = (1-z) ⊙ h_{t-1} + z ⊙ n",
        paper="Cho et al. 2014, arXiv:1406.1078; reset before the product, as published",
        gradient_path="k",
        parallelisable=False,
        state_size="H",
        load=_gru_cho,
    ),
    "sc-lstm-i": ArchitectureSpec(
        family="buffered",
        equation="LSTM; at t = 1, 1+L, 1+2L, …: h_t = o ⊙ tanh c_t + α h_{t-L}, α constant",
        paper=_WANG_TIAN,
        gradient_path="k/L + at most 2L",
        parallelisable=False,
        state_size="3H",
        load=_sc_lstm_i,
        options=(_SKIP_DISTANCE, _SHORTCUT),
    ),
    "sc-lstm-p": ArchitectureSpec(
        family="buffered",
        equation="LSTM; at t = 1, 1+L, 1+2L, …: h_t = o ⊙ tanh c_t + α h_{t-L}, α learned",
        paper=_WANG_TIAN,
        gradient_path="k/L + at most 2L",
        parallelisable=False,
        state_size="3H",
        load=_sc_lstm_p,
        options=(_SKIP_DISTANCE, _SHORTCUT),
    ),
    "skip-rnn": ArchitectureSpec(
        family="buffered",
        equation="h_t = tanh(W x_t + U h_{t-1} + b) + α h_{t-k}",
        paper="skip connections through time: Zhang et al. 2016, arXiv:1602.08210",
        gradient_path="k/K + at most K-1 (K is the option k)",
        parallelisable=False,
        state_size="kH",
        load=_skip_rnn,
        options=(
            Option("k", 4, "steps that the connection skips", minimum=1),
            Option("alpha", 1.0, "weight of the connection; below 1 it contracts"),
        ),
    ),
    "hrl": ArchitectureSpec(
        family="composite",
        equation="h_t = ½ (h_t^LSTM + h_t^RRN)",
        paper=_WANG_TIAN,
        gradient_path="k in each branch",
        parallelisable=False,
        state_size="3H",
        load=_hrl,
        options=_RRN_OPTIONS,
    ),
    "lstm-gru": ArchitectureSpec(
        family="composite",
        equation="h_t = ½ (h_t^LSTM + h_t^GRU)",
        paper="mean of the two cells, after the hybrid of Wang & Tian 2016",
        gradient_path="k in each branch",
        parallelisable=False,
        state_size="3H",
        load=_lstm_gru,
    ),
    "lru": ArchitectureSpec(
        family="diagonal",
        equation="h_t = λ ⊙ h_{t-1} + γ ⊙ B x_t; y_t = Re(C h_t) + D ⊙ x_t",
        paper="Orvieto et al. 2023, arXiv:2303.06349",
        gradient_path="k (one number λ^k a unit)",
        parallelisable=True,
        state_size="2H",
        load=_lru,
        options=(
            Option("r_min", 0.0, "inner radius of the ring of |λ|", minimum=0.0, maximum=1.0),
            Option("r_max", 1.0, "outer radius of the ring of |λ|", minimum=0.0, maximum=1.0),
            Option("max_phase", 6.28, "largest angle of λ", minimum=0.0),
        ),
    ),
    "min-gru": ArchitectureSpec(
        family="diagonal",
        equation="h_t = (1-z_t) ⊙ h_{t-1} + z_t ⊙ (W_h x_t + b_h), z_t = σ(W_z x_t + b_z)",
        paper="Feng et al. 2024, arXiv:2410.01201",
        gradient_path="k (one number a unit)",
        parallelisable=True,
        state_size="H",
        load=_min_gru,
    ),
    "deltanet": ArchitectureSpec(
        family="matrix-state",
        equation="S_t = (I - β k kᵀ) S_{t-1} + β k vᵀ; y_t = Sᵀ q / √d",
        paper="Schlag et al. 2021, arXiv:2102.11174; Yang et al. 2024, arXiv:2406.06484",
        gradient_path="k",
        parallelisable=True,
        state_size="H²",
        load=_deltanet,
    ),
    "transformer": ArchitectureSpec(
        family="attention",
        equation="r ← r + Attention(LN r); r ← r + W_2 gelu(W_1 LN r)",
        paper="Vaswani et al. 2017, arXiv:1706.03762; pre-norm and initialisation of GPT-2",
        gradient_path="1 to num_layers",
        parallelisable=True,
        state_size="0",
        load=_transformer,
        options=(
            Option("heads", 0, "attention heads; 0 takes the largest divisor of the hidden size up to 4", minimum=0),
            Option("ff", 4, "width of the feed-forward layer, in hidden sizes", minimum=1),
        ),
        whole=True,
    ),
}
