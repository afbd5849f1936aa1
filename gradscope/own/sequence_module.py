"""A user's module that maps whole sequences, as a model without a recurrent state."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gradscope.contract.component import INPUT
from gradscope.contract.probe import unchanged
from gradscope.contract.sequence import SequenceModel
from gradscope.errors import UnknownName, Unmeasurable, UsageError

PROBE_SHAPE = (2, 7)
EMBEDDINGS = "inputs_embeds"  # the argument that Hugging Face's models take features by, in place of words
OUTPUTS = ("last_hidden_state", "logits")  # where those have their output


def takes_embeddings(module: nn.Module) -> bool:
    """Whether a module is called with ``inputs_embeds``, as those of Hugging Face's transformers are."""
    return EMBEDDINGS in inspect.signature(module.forward).parameters


class SequenceAdapter(SequenceModel):
    """``module(x)`` with x ``(batch, length, input_size)``; of several outputs, as ``torch.nn.LSTM``'s, the first.

    A module that takes ``inputs_embeds`` gets x by that name, and of its outputs ``last_hidden_state`` or ``logits``
    counts. One of torch's recurrent base class that takes time first gets x that way around.

    Args:
        module: The module.
        input_size: Features of x.
        reference: What messages call it.
        at: Names of inner modules whose outputs are nodes.
    """

    def __init__(self, module: nn.Module, input_size: int, reference: str, at: tuple[str, ...]) -> None:
        super().__init__()
        self.module, self.input_size, self._reference, self._at = module, input_size, reference, at
        self._takes_embeddings = takes_embeddings(module)
        self._takes_time_first = isinstance(module, nn.RNNBase) and not module.batch_first
        known = [name for name, _ in module.named_modules() if name]
        for name in at:
            if name not in known:
                raise UnknownName(f"inner module of {reference}", name, known)
            if name == INPUT:
                raise UsageError(
                    f"{reference}: an inner module called '{INPUT}' cannot be told from the input, whose component has "
                    "that name; call it otherwise."
                )
        self.output_size = self._probe()

    def _probe(self) -> int:
        like = next(self.module.parameters(), torch.zeros(()))
        x = torch.zeros(*PROBE_SHAPE, self.input_size, dtype=like.dtype, device=like.device)
        with torch.no_grad(), unchanged(self.module):
            try:
                y = self._outputs(x)
            except Exception as error:  # a module of another convention may fail in any way
                reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
                raise UsageError(
                    f"{self._reference} should map (batch, length, input_size) to (batch, length, features); "
                    f"called with {tuple(x.shape)} it gave {reason}."
                ) from error
        if not isinstance(y, Tensor) or y.dim() != 3 or y.shape[:2] != x.shape[:2]:
            came = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise UsageError(
                f"{self._reference} should map (batch, length, input_size) to (batch, length, features); "
                f"called with {tuple(x.shape)} it returned {came}."
            )
        return int(y.shape[2])

    def _outputs(self, x: Tensor) -> Any:
        if self._takes_embeddings:
            return _first(self.module(**{EMBEDDINGS: x}))
        if self._takes_time_first:
            return _first(self.module(x.transpose(0, 1))).transpose(0, 1)
        return _first(self.module(x))

    def forward_with_nodes(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The module's output, and the outputs of the inner modules, caught by hooks that are removed again."""
        nodes: dict[str, Tensor] = {}

        def catch(name: str, output: Any) -> None:
            value = _first(output)
            if not isinstance(value, Tensor) or value.dim() != 3 or value.shape[:2] != x.shape[:2]:
                raise Unmeasurable(
                    f"{self._reference}: the output of '{name}' is not (batch, length, features): it has no steps."
                )
            nodes[name] = value

        handles = []
        try:
            for name in self._at:
                inner = self.module.get_submodule(name)
                handles.append(inner.register_forward_hook(lambda m, i, output, name=name: catch(name, output)))
            y: Tensor = self._outputs(x)
        finally:
            for handle in handles:
                handle.remove()
        for name in self._at:
            if name not in nodes:
                raise Unmeasurable(f"{self._reference}: the inner module '{name}' was never called.")
        return y, nodes

    @property
    def called(self) -> str:
        """The user's class."""
        return self._reference

    @property
    def components(self) -> tuple[str, ...]:
        """The inner modules that were asked for."""
        return self._at

    @property
    def primary_component(self) -> str:
        """The first inner module, or the input."""
        return self._at[0] if self._at else INPUT


def _first(output: Any) -> Any:
    for name in OUTPUTS:
        if isinstance(getattr(output, name, None), Tensor):
            return getattr(output, name)
    if isinstance(output, Mapping):
        return next(iter(output.values()), None)
    return output[0] if isinstance(output, tuple | list) and output else output
