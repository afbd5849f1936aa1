"""Norms of the per-timestep gradients ∂L/∂h_t, ∂L/∂c_t, ∂L/∂x_t of every length at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from gradscope.contract.component import INPUT, STATE, components_to_ask_for
from gradscope.contract.model import Model
from gradscope.contract.probe import PROBE_STEPS, check_answers
from gradscope.contract.sequence import SequenceModel
from gradscope.dynamics.cotangents import Only, Pulled, Wants
from gradscope.dynamics.linearize import Linearization, adjoint_segments, linearize_model
from gradscope.dynamics.segments import Segment
from gradscope.errors import UnknownName, UsageError
from gradscope.measurements.conditions import as_model_input, check_shape, measurement, whole_numbers
from gradscope.measurements.exact_zeros import with_zeros_told
from gradscope.measurements.gradient_result import GradientNorms
from gradscope.measurements.losses import Loss, SegmentCotangents, log10_last_norm, output_cotangents
from gradscope.measurements.record import Record
from gradscope.measurements.sequence_gradients import sequence_gradients
from gradscope.numerics.logarithms import log10_root_sum_square
from gradscope.numerics.scaled import Scaled
from gradscope.own.as_model import measurable


@measurement
def gradient_norms(
    model: nn.Module,
    x: Tensor,
    lengths: int | Sequence[int] | None = None,
    loss: Loss = "last",
    seed: int = 0,
    components: Sequence[str] | None = None,
    weight_gradients: bool = True,
    *,
    largest_entries: bool = False,
) -> GradientNorms:
    """Norms of ∂L/∂node_t for every step, sample and length, exact at any length.

    Definition:
        ‖dL_T/dn_t‖₂ with L_T the loss of the first T steps and dn_t the total derivative at a node: what
        ``retain_grad()`` would hold, without its underflow. ``"<state>"`` is the adjoint of the whole Markov state,
        δ_{t−1} = J_tᵀ δ_t + ∂ℓ_{t−1}/∂s_{t−1}.

    Args:
        model: From :func:`gradscope.build`, any :class:`gradscope.Recurrence`, or a module of torch that is a model for
            :func:`gradscope.as_model`.
        x: Inputs, ``(batch, length, input_size)``, at least as long as the longest length.
        lengths: One or several sequence lengths, that of x by default; all come from one forward and one reverse
            pass.
        loss: ``"last"``, ``"mean"``, ``"last-probe"``, or a function from outputs ``(batch, T, features)`` to one loss
            per sample, ``(batch,)``.
        seed: Of the loss's targets and probes.
        components: Names of components, ``"x"`` and ``"<state>"``; all of them by default. What is not asked for is
            not computed.
        weight_gradients: Whether to compute per-sample gradients of the parameters.
        largest_entries: Whether to record the components' largest entries, from which it follows where a dtype loses
            the gradient.

    Returns:
        The norms as log10, float64.

    Raises:
        UnknownName: No such component or loss.
        UsageError: Lengths or inputs that do not fit, or a module that is no model.
        Unmeasurable: Dropout or batch norm in training mode, or half precision.

    Cost:
        One forward and one reverse pass of the longest length; memory of the states, or of checkpoints where they are
        large.

    Example:
        >>> import gradscope
        >>> model = gradscope.build("linear-rnn", input_size=1, hidden_size=4, init="orthogonal", radius=0.5)
        >>> x = gradscope.make_inputs("white", batch=1, length=1001, input_size=1)
        >>> h = gradscope.gradient_norms(model, x, lengths=[1001]).log10_norm["h"][0, 0]
        >>> round(float(h[0] - h[-1]), 2)  # 1000 log10(1/2)
        -301.03
    """
    lengths = _checked_lengths(lengths, x)
    model = measurable(model, x)
    names = _checked_components(model, components)
    x = as_model_input(model, x)[:, : max(lengths)]
    if not model.built_as:
        check_answers(model, x[:2, :PROBE_STEPS])

    def measured(model: Model, x: Tensor, names: Sequence[str], *, everything: bool = False) -> GradientNorms:
        record = Record(lengths, len(x), names, model, largest_entries=largest_entries and everything)
        if isinstance(model, SequenceModel):
            return sequence_gradients(model, x, loss, seed, record, weight_gradients and everything)
        return _recurrent_gradients(model, x, loss, seed, record, weight_gradients and everything)

    result = measured(model, x, names, everything=True)
    return with_zeros_told(result, model, x, measured)


def _recurrent_gradients(
    model: Model, x: Tensor, loss: Loss, seed: int, record: Record, weight_gradients: bool
) -> GradientNorms:
    lengths, names = record.lengths, record.norms
    linearization = linearize_model(model, x)
    by_length = output_cotangents(loss, linearization.outputs, lengths, seed)
    for index, length in enumerate(lengths):
        record.last_output[index] = log10_last_norm(by_length[length])
    cotangents = SegmentCotangents(by_length)
    nodes = frozenset(names) - {INPUT, STATE}
    wants = Wants(nodes, state=STATE in names, inputs=INPUT in names, parameters=weight_gradients and Only.NORMS)
    record.recurrent_parameters = linearization.recurrent_parameters if weight_gradients else ()
    recorder = _Walk(record)
    for segment, pulled, walk in adjoint_segments(linearization, lengths, cotangents, wants):
        recorder.add(segment, pulled)
        weights = walk.weight_gradients  # complete after the last segment
    return replace(recorder.finish(weights()), notes=_about_replay(model, linearization))


def _about_replay(model: Model, linearization: Linearization) -> tuple[str, ...]:
    """What stopped a user's step from being followed: replaying it is right, and slower."""
    reasons = dict.fromkeys(trajectory.why_replayed for trajectory in linearization.recurrences)
    if model.built_as:
        return ()
    return tuple(f"{model.called} is replayed by autograd, which is slower: {reason}." for reason in reasons if reason)


class _Walk:
    """Puts the pieces of the reverse pass into a record; rows of the walk are lengths in falling order."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._order = [record.lengths.index(length) for length in sorted(record.lengths, reverse=True)]

    def add(self, segment: Segment, pulled: Pulled) -> None:
        """One segment."""
        record = self._record
        for name, value in pulled.nodes.items():
            self._put(record.norms[name], segment, value.log10_norm())
            if name in record.largest:
                self._put(record.largest[name], segment, value.log10_largest_entry())
        if pulled.state:
            blocks = torch.stack([part.log10_norm() for part in pulled.state])
            self._put(record.norms[STATE], segment, log10_root_sum_square(blocks))
            if STATE in record.largest:
                entries = torch.stack([part.log10_largest_entry() for part in pulled.state])
                self._put(record.largest[STATE], segment, entries.amax(0))
        if pulled.inputs is not None and INPUT in record.norms:
            self._put(record.norms[INPUT], segment, pulled.inputs.log10_norm())
            if INPUT in record.largest:
                self._put(record.largest[INPUT], segment, pulled.inputs.log10_largest_entry())
        if pulled.recurrent_norms:
            if record.shares is None:
                record.shares = record.blank(max(record.lengths))
            self._put(record.shares, segment, log10_root_sum_square(torch.stack(pulled.recurrent_norms)))

    def _put(self, target: Tensor, segment: Segment, values: Tensor) -> None:
        target[self._order[: segment.active], :, segment.start : segment.stop] = values.permute(1, 2, 0).cpu()

    def finish(self, weights: dict[str, Scaled]) -> GradientNorms:
        """The frozen result."""
        for name, value in weights.items():
            self._record.weights[name] = self._record.blank()
            self._record.weights[name][self._order] = value.log10_norm().cpu()
        return self._record.result()


def _checked_lengths(lengths: int | Sequence[int] | None, x: Tensor) -> tuple[int, ...]:
    check_shape(x)
    if lengths is None:
        return (x.shape[1],)
    asked = whole_numbers(lengths, "Lengths")
    if not asked or min(asked) < 1 or len(set(asked)) < len(asked):
        raise UsageError(f"Lengths should be distinct whole numbers from 1 on, but {list(asked)} was given.")
    if max(asked) > x.shape[1]:
        raise UsageError(f"The longest length is {max(asked)}, but the inputs have only {x.shape[1]} steps.")
    return asked


def _checked_components(model: Model, components: Sequence[str] | None) -> tuple[str, ...]:
    known = components_to_ask_for(model)
    for name in components or ():
        if name not in known:
            raise UnknownName(f"component of {model.called}", name, known)
    if components is not None and not components:
        raise UsageError(f"Components should be one or more of {', '.join(known)}, but none was given.")
    return known if components is None else tuple(dict.fromkeys(components))
