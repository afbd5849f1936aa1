"""Probes a model before it is measured: its answers must be repeatable, sample by sample, and causal.

The model is afterwards as it was before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from gradscope.contract.model import Model
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Prepared
from gradscope.errors import Unmeasurable

PROBE_STEPS = 8  # of a model's input, to see that it is causal
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}


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


def check_answers(model: Model, x: Tensor) -> None:
    """Raises :class:`Unmeasurable` for a model that cannot be measured; leaves it as it was.

    Args:
        model: The model.
        x: Inputs ``(batch, length, input_size)``; a few samples and steps will do. Of a single sample a second one is
            made, for it takes two to see that they do not mix.
    """
    x = x if len(x) > 1 else torch.cat([x, _another(x)])
    changed = torch.cat([x[:, :-1], _another(x[:, -1:])], dim=1)
    if isinstance(model, Recurrence):
        with torch.no_grad():
            check_step(model, {name: value[:, 0] for name, value in model.prepare(x[:, :1]).items()})
    with torch.no_grad(), unchanged(model):
        y = model(x)
        again = model(x)
        alone = torch.cat([model(x[:1]), model(x[1:2])])
        later = model(changed)
    if not _same(y, again):
        raise Unmeasurable(
            "The model gives two answers to the same input (dropout or another draw inside); call model.eval() first."
        )
    if not _same(y[:2], alone):
        raise Unmeasurable(
            "A sample's answer depends on the rest of the batch: batch norm in training mode does that (call "
            "model.eval() first), and so does a module that takes (length, batch, features) (build it with "
            "batch_first=True)."
        )
    if not _same(y[:, :-1], later[:, :-1]):
        raise Unmeasurable(
            "The model is not causal: its last input changes earlier outputs, so a gradient has no direction in time; "
            "mask the future or use one direction only."
        )


def check_step(model: Recurrence, u: Prepared) -> None:
    """Raises :class:`Unmeasurable` for a step that writes into the state or the inputs that it is given.

    Args:
        model: The recurrence.
        u: What a step consumes, ``(batch, *)``.
    """
    u = {name: value.clone() for name, value in u.items()}
    s = model.initial_state(len(next(iter(u.values()))))
    first = torch.ones((), dtype=torch.int64, device=next(iter(s.values())).device)
    given = [(name, value, value._version) for name, value in (*s.items(), *u.items())]
    with torch.no_grad(), unchanged(model):
        model.step(dict(s), dict(u), first)
    for name, value, version in given:
        if value._version != version:
            raise Unmeasurable(
                f"The step of {model.called} writes into '{name}', which it is given and which others need; let it "
                f"work on a copy, {name} = {name}.clone()."
            )


def _another(x: Tensor) -> Tensor:
    """Inputs that differ by more than a shift and a scale, which a layer norm would take away."""
    features = x.shape[-1]
    return torch.arange(1, features + 1, dtype=x.dtype, device=x.device) / features - x


def _same(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape:
        return False
    tolerance = TOLERANCE.get(first.dtype, 1e-4)
    finite = first[first.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return bool(torch.allclose(first, second, rtol=tolerance, atol=tolerance * max(scale, 1e-30), equal_nan=True))


@contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """Buffers (running means, counters, masks made on the way) and torch's random generators are afterwards as before.

    Args:
        module: What runs inside, any number of times.
    """
    inner = [each for each in module.modules() if not isinstance(each, torch.jit.ScriptModule)]
    registered = [(each, dict(each._buffers), set(each._non_persistent_buffers_set)) for each in inner]
    tensors = {id(b): b for _, buffers, _ in registered for b in buffers.values() if b is not None and _is_plain(b)}
    kept = [(buffer, buffer.detach().clone()) for buffer in tensors.values()]
    devices = {p.device for p in module.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        try:
            yield
        finally:
            for each, buffers, not_persistent in registered:
                for name in buffers.keys() & vars(each).keys():
                    del vars(each)[name]
                each._buffers.clear()
                each._buffers.update(buffers)
                each._non_persistent_buffers_set = not_persistent
            for buffer, value in kept:
                with torch.inference_mode(buffer.is_inference()), torch.no_grad():
                    if buffer.shape != value.shape or not bool(((buffer == value) | (value != value)).all()):
                        buffer.resize_(value.shape).copy_(value)


def _is_plain(buffer: Tensor) -> bool:
    """Whether a buffer has numbers that can be copied."""
    return buffer.layout is torch.strided and not buffer.is_meta and not nn.parameter.is_lazy(buffer)
