"""Attention."""

from __future__ import annotations

from functools import partial

from gradscope.architectures.spec import ArchitectureSpec
from gradscope.contract.option import Option

_attention = partial(ArchitectureSpec, "attention")

ATTENTION = {
    "transformer": _attention(
        home="gradscope.architectures.attention.transformer:Transformer",
        equation="r ← r + Attention(LN r); r ← r + W_2 gelu(W_1 LN r)",
        paper="Vaswani et al. 2017, arXiv:1706.03762; pre-norm and initialisation of GPT-2",
        gradient_path="1 to num_layers",
        parallelisable=True,
        state_size="0",
        options=(
            Option("heads", 0, "attention heads; 0 takes the largest divisor of the hidden size up to 4", minimum=0),
            Option("ff", 4, "width of the feed-forward layer, in hidden sizes", minimum=1),
        ),
        whole=True,
    ),
}
