"""Refuses modules whose answer is random or depends on the rest of the batch."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from gradscope.errors import Unmeasurable


def check_modes(model: nn.Module) -> None:
    """Raises :class:`Unmeasurable` for dropout or batch norm in training mode, naming the module."""
    for name, module in model.named_modules():
        if not module.training:
            continue
        where = f"'{name}' ({type(module).__name__})" if name else type(module).__name__
        inner = isinstance(module, nn.RNNBase) and module.dropout > 0 and module.num_layers > 1
        if inner or (isinstance(module, _DropoutNd) and module.p > 0):
            raise Unmeasurable(
                f"The model has dropout in training mode, {where}, so it answers the same input differently each time; "
                "call model.eval() or set its dropout to 0 before measuring."
            )
        if isinstance(module, _BatchNorm):
            raise Unmeasurable(
                f"The model has batch norm in training mode, {where}, so a sample's gradient depends on the others; "
                "call model.eval() before measuring."
            )
