"""Gradients at the nodes of a model without a recurrent state, from plain backward passes.

A backward pass is linear in its cotangent: where its result underflows the dtype, it is taken once more with the
cotangent multiplied by a large power of two, which moves the numbers back into range.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gradscope.contract.component import INPUT
from gradscope.contract.sequence import SequenceModel
from gradscope.dynamics.pullbacks import inner_product
from gradscope.errors import Unmeasurable
from gradscope.measurements.gradient_result import GradientNorms
from gradscope.measurements.losses import Loss, log10_last_norm, output_cotangents
from gradscope.measurements.record import Record
from gradscope.numerics.scaled import Scaled

# The cotangent's second power of two: as far up as the largest number allows with room for a growing gradient.
AMPLIFICATION_BITS = {torch.float32: 90, torch.float64: 900}


def sequence_gradients(
    model: SequenceModel, x: Tensor, loss: Loss, seed: int, record: Record, weight_gradients: bool
) -> GradientNorms:
    """:func:`~gradscope.measurements.gradient_norms.gradient_norms` for a model without a recurrent state."""
    for index, length in enumerate(record.lengths):
        y_bar = _nodes_of_length(model, x[:, :length], index, loss, seed, record)
        if weight_gradients:
            _weights_of_length(model, x[:, :length], y_bar, index, record)
    return record.result()


def _nodes_of_length(model: SequenceModel, x: Tensor, index: int, loss: Loss, seed: int, record: Record) -> Tensor:
    """Puts a length's norms into the record; returns ∂L/∂y."""
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        y, nodes = model.forward_with_nodes(leaf)
        nodes = {INPUT: leaf, **nodes}
        y_bar = _cotangent(y, loss, seed)
        found = scaled_gradients(model, y, {name: nodes[name] for name in record.norms}, y_bar)
    record.last_output[index] = log10_last_norm(y_bar[:, -1])
    for name, value in found.items():
        norm = value.log10_norm()
        record.norms[name][index, :, : x.shape[1]] = norm.cpu()
        if name in record.largest:
            record.largest[name][index, :, : x.shape[1]] = value.log10_largest_entry().cpu()
    return y_bar


def scaled_gradients(model: SequenceModel, y: Tensor, nodes: dict[str, Tensor], y_bar: Tensor) -> dict[str, Scaled]:
    """∂(ȳ · y)/∂node with an exponent for each sample and step, ``(batch, T, *)``.

    Raises:
        Unmeasurable: Nothing that autograd follows leads from a node to the output.
    """
    for name, value in {"output": y, **nodes}.items():
        if not value.requires_grad:
            where = "The output" if value is y else f"What comes out of '{name}'"
            raise Unmeasurable(
                f"{where} of {model.called} has no gradient: inside, autograd is off (torch.no_grad, detach, numpy) or "
                "all that it is made from is frozen."
            )
    plain = _backward(y, nodes, y_bar)
    found = {name: Scaled.of(value, 2) for name, value in plain.items()}
    if not any(_has_underflow(value) for value in plain.values()):
        return found
    bits = AMPLIFICATION_BITS[y_bar.dtype]
    for name, value in _backward(y, nodes, y_bar * 2.0**bits).items():
        amplified = Scaled.of(value, 2).normalized()
        better = value.isfinite().all(-1) & (found[name].log10_largest_entry() < _comfortable(value.dtype))
        mantissa = torch.where(better.unsqueeze(-1), amplified.mantissa, found[name].mantissa)
        found[name] = Scaled(mantissa, torch.where(better, amplified.exponent - bits, found[name].exponent))
    return found


def _cotangent(y: Tensor, loss: Loss, seed: int) -> Tensor:
    """∂L/∂y, ``(batch, T, features)``."""
    length = y.shape[1]
    found = output_cotangents(loss, y.detach().transpose(0, 1), [length], seed)[length]
    if found.dim() == 3:
        return found.transpose(0, 1)
    y_bar = torch.zeros_like(y)
    y_bar[:, -1] = found
    return y_bar


def _backward(y: Tensor, nodes: dict[str, Tensor], y_bar: Tensor) -> dict[str, Tensor]:
    if not nodes:
        return {}
    with torch.enable_grad():
        product = inner_product([y], [y_bar])
    grads = torch.autograd.grad(product, list(nodes.values()), retain_graph=True, allow_unused=True)
    return {n: torch.zeros_like(v) if g is None else g for (n, v), g in zip(nodes.items(), grads, strict=True)}


def _comfortable(dtype: torch.dtype) -> float:
    """log10 of the size below which a vector's entries, or their squares in a float64 norm, begin to lose digits."""
    entries, squares = (
        math.log10(info.smallest_normal) - 2 * math.log10(info.eps) for info in map(torch.finfo, (dtype, torch.float64))
    )
    return max(entries, squares / 2)


def _has_underflow(value: Tensor) -> bool:
    largest = value.abs().amax(-1)
    return bool((largest < 10 ** _comfortable(value.dtype)).any())


def _weights_of_length(model: SequenceModel, x: Tensor, y_bar: Tensor, index: int, record: Record) -> None:
    """One backward pass a sample: modules need not support vectorisation, and the batch's mean would mix samples."""
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        return
    for name in parameters:
        record.weights.setdefault(name, record.blank())
    for sample in range(len(x)):
        with torch.enable_grad():
            product = inner_product([model(x[sample : sample + 1])], [y_bar[sample : sample + 1]])
            grads = torch.autograd.grad(product, list(parameters.values()), allow_unused=True)
        for (name, parameter), grad in zip(parameters.items(), grads, strict=True):
            value = torch.zeros_like(parameter) if grad is None else grad
            record.weights[name][index, sample] = _log10_norm(value).cpu()


def _log10_norm(value: Tensor) -> Tensor:
    found = torch.log10(torch.linalg.vector_norm(value.double()))
    if found > _comfortable(torch.float64):
        return found
    return Scaled.of(value.double().reshape(1, -1), 1).normalized().log10_norm()[0]  # its squares are too small
