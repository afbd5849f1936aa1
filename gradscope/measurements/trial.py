"""Measures what may help in place of a model: the same inputs, sizes, layers and loss, fresh weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gradscope.architectures.build import build
from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.architectures.spec import Situation
from gradscope.contract.component import INPUT, count_layers, judged_component
from gradscope.contract.model import Model
from gradscope.contract.option import OptionValue, split_option
from gradscope.contract.recurrence import Recurrence
from gradscope.errors import GradscopeError
from gradscope.measurements.advice import Candidate, Trial, candidates
from gradscope.measurements.gradient_norms import gradient_norms
from gradscope.measurements.judgement import Judgement, judge
from gradscope.measurements.losses import Loss
from gradscope.measurements.verdict import UNKNOWN

NOT_TRIED = (GradscopeError, torch.OutOfMemoryError, MemoryError)  # a candidate that raises one of them is no advice


def tried(model: Model, x: Tensor, loss: Loss, seed: int) -> tuple[Trial, ...]:
    """Candidates in place of a model, one after the other until one helps.

    Args:
        model: The model.
        x: Inputs, ``(batch, length, input_size)``.
        loss: As in :func:`gradscope.gradient_norms`.
        seed: Of the candidates' weights and the loss.
    """
    width, layers = _width(model), count_layers(model)
    name, options = _recipe(model)
    situation = Situation(x.shape[1], width, layers, lambda: median_kept(model, x))
    found: list[Trial] = []
    for candidate in candidates(name, options, situation):
        try:
            judgement = judged(built(candidate, model, width, layers, seed), x, loss, seed)
        except NOT_TRIED:
            found.append(Trial(candidate.label, (UNKNOWN,), (math.nan,)))
            continue
        found.append(Trial(candidate.label, (judgement.verdict,), (judgement.carried_decades,)))
        if found[-1].helps:
            break
    return tuple(found)


def judged(model: Model, x: Tensor, loss: Loss, seed: int) -> Judgement:
    """What is said of a model at the length of its inputs, without what only files hold."""
    components = list(dict.fromkeys((judged_component(model), INPUT)))
    norms = gradient_norms(model, x, loss=loss, seed=seed, components=components, weight_gradients=False)
    return judge(norms, model)[0]


def median_kept(model: Model, x: Tensor) -> float:
    """The median factor by which the gates keep the state in a step; NaN where there are none, or they break."""
    try:
        return float(model.memory_moduli(x).nanmedian()) if model.has_memory_dial else math.nan
    except GradscopeError:
        return math.nan


def built(candidate: Candidate, model: Model, hidden_size: int, num_layers: int, seed: int) -> Model:
    """A candidate of the size of a model, in its dtype and on its device."""
    like = next(model.parameters(), None)
    options = dict(candidate.options)
    sizes = {"input_size": model.input_size, "hidden_size": hidden_size, "num_layers": num_layers, "seed": seed}
    other = build(candidate.name, **sizes, **options)  # type: ignore[arg-type]
    return other if like is None else other.to(device=like.device, dtype=like.dtype.to_real())


def _width(model: Model) -> int:
    """Hidden units of a layer; of a module for whole sequences those that it, or the first inside it, says."""
    if isinstance(model, Recurrence) and not model.built_as:
        return model.state_spec[0].shape[-1] if model.state_spec[0].shape else 1
    stated = () if model.built_as else (getattr(inner, "hidden_size", None) for inner in model.modules())
    return next((size for size in stated if isinstance(size, int)), model.output_size)


def _recipe(model: Model) -> tuple[str, dict[str, OptionValue]]:
    """Name and options that the catalogue built a model by; the name is empty for a class of the user's."""
    name, *parts = model.built_as.split(":")
    if name not in ARCHITECTURES:
        return "", {}
    return name, dict(split_option(name, part) for part in parts)
