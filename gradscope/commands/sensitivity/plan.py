"""The cells of a run of ``gradscope sensitivity``: the scalar law, each architecture's memory dial, and the extras."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.commands.sensitivity.columns import SCALAR
from gradscope.commands.sensitivity.options import (
    DEPTH_STEPS,
    LONGEST_MODEL,
    LONGEST_SCALAR,
    SensitivityConfiguration,
)
from gradscope.commands.sensitivity.scalar_laws import ScalarCell
from gradscope.commands.sensitivity.sensitivities import SensitivityCell
from gradscope.commands.sensitivity.studies import DepthCell, HessianCell, LandscapeCell
from gradscope.contract.model import Model
from gradscope.errors import UsageError
from gradscope.experiments.linear_students import LINEAR_STUDENTS
from gradscope.experiments.residual_network import RECURRENCES
from gradscope.inputs.processes import KINDS, driven_input
from gradscope.measurements.stability import HORIZON_TIME_CONSTANTS, has_horizon
from gradscope.running.cell import Cell
from gradscope.running.definitions import data_of
from gradscope.running.input_choice import InputChoice
from gradscope.running.plan import Plan, plan_cells
from gradscope.theory import checked_series

UNDIALLED_STEPS = 1000
SINGLE_PRECISION = 5e-6  # 1 − λ; its spacing there is 6e-8
FEWEST_WINDOWS = 8  # of real data that the scalar law averages over, each with every feature
HESSIAN_TIME_CONSTANTS, LONGEST_HESSIAN = 3, 10_000  # the paper's 300 steps at λ* = 0.99


def plan_of(configuration: SensitivityConfiguration) -> Plan:
    """The scalar law's cell first; see :func:`~gradscope.running.plan.plan_cells` for the architectures'."""
    if configuration.data is not None:
        configuration = _with_data(configuration, configuration.data)
    chosen = configuration.chosen_input
    lengths = configuration.lengths(LONGEST_MODEL)
    _check_dtype(configuration)
    shown = ", ".join(f"{modulus:.9g}" for modulus in configuration.lambda_)
    messages = [
        f"λ: {shown}.",
        f"Steps: {', '.join(map(str, lengths))}; {max(_scalar_lengths(configuration))} for the scalar law.",
    ]
    if configuration.depth is not None:
        messages.append(_about_depth(configuration))
    if configuration.data is None and chosen.kind not in KINDS:
        messages.append(
            f"The scalar law is left out: it is driven by {', '.join(KINDS)} or real data, not by {chosen.kind}."
        )
    messages += _about_horizon("the architectures'", configuration, lengths)
    longest = max(_scalar_lengths(configuration))
    messages += _about_horizon("the scalar law's", configuration, [longest] * len(lengths))

    without: dict[str, Model] = {}

    def check(cell: SensitivityCell, model: Model) -> list[str]:
        if not model.has_memory_dial:
            without[cell.label] = model
        return []

    plan = plan_cells(
        configuration,
        messages,
        lambda common: SensitivityCell(
            **common,
            lambdas=configuration.lambda_,
            lengths=lengths,
            seeds=configuration.seed_numbers,
        ),
        check,
        every_seed=False,
    )
    about_dials = _about_dials(without, len(plan.cells))
    swept = [cell for cell in plan.cells if isinstance(cell, SensitivityCell)]
    common, cells = swept[0], [_undialled(cell) if cell.label in without else cell for cell in swept]
    extras = [cell for make in (_landscape_cells, _depth_cells, _hessian_cells) for cell in make(configuration, common)]
    every = (*_scalar_cells(configuration, common), *cells, *extras)
    return Plan(every, plan.device, (*plan.messages, *about_dials))


def _undialled(cell: SensitivityCell) -> SensitivityCell:
    """Measured once, at initialisation."""
    return replace(cell, lambdas=(), lengths=(min(UNDIALLED_STEPS, max(cell.lengths)),))


def _about_dials(without: dict[str, Model], count: int) -> list[str]:
    """What happens to architectures without a dial beside others that have one.

    Raises:
        UsageError: All are without, or one has no recurrent state to begin with.
    """
    if not without:
        return []
    those = f"those that have one: {', '.join(_with_dial())}"
    for label, model in without.items():
        if len(without) == count or model.state_size == 0:
            raise UsageError(f"{label} has no memory dial to set λ with; {those}.")
    names = " and ".join(without)
    verb = "has no memory dial and is" if len(without) == 1 else "have no memory dial and are"
    return [f"{names} {verb} measured at initialisation alone; {those}."]


def _with_dial() -> list[str]:
    """Names of the catalogue's architectures with a memory dial."""
    return [name for name, spec in ARCHITECTURES.items() if spec.memory_dial]


def _with_data(configuration: SensitivityConfiguration, file: Path) -> SensitivityConfiguration:
    """No more steps than the data have.

    Raises:
        UsageError: A constant column.
    """
    x = data_of(file)
    return replace(configuration, most_steps=checked_series(x if x.ndim == 3 else x[None]).shape[1])


def _check_dtype(configuration: SensitivityConfiguration) -> None:
    """Raises :class:`UsageError` for a λ whose distance to 1 single precision does not hold."""
    nearest = configuration.lambda_[-1]
    if configuration.dtype == "float32" and 1 - nearest < SINGLE_PRECISION:
        raise UsageError(
            f"λ = {nearest:.12g} is nearer to 1 than {SINGLE_PRECISION:g}, which float32 does not hold; add "
            "--dtype float64."
        )


def _about_horizon(whose: str, configuration: SensitivityConfiguration, lengths: Sequence[int]) -> list[str]:
    pairs = zip(configuration.lambda_, lengths, strict=True)
    short = [f"{modulus:.9g}" for modulus, length in pairs if not has_horizon(modulus, length)]
    if not short:
        return []
    return [
        f"At λ = {', '.join(short)} {whose} sequences are shorter than {HORIZON_TIME_CONSTANTS} time constants: powers "
        "fall short of the infinite horizon's, and exponents are fitted over the other values of λ."
    ]


def _about_depth(configuration: SensitivityConfiguration) -> str:
    blocks = "one residual block" if configuration.depth == 1 else f"{configuration.depth} residual blocks"
    steps = configuration.length or min(DEPTH_STEPS, configuration.most_steps)
    asked = configuration.input is not None or configuration.data is not None
    source = "the same input" if asked else "wiki-like input"
    return f"Depth: {blocks} of width {configuration.hidden_size}, T={steps}, {source}."


def _scalar_lengths(configuration: SensitivityConfiguration) -> tuple[int, ...]:
    if configuration.data is None:
        return configuration.lengths(LONGEST_SCALAR)
    *lead, time, _ = data_of(configuration.data).shape
    sequences = math.prod(lead)
    enough = max(2, min(time, sequences * time // FEWEST_WINDOWS))
    return tuple(min(enough, length) for length in configuration.lengths(LONGEST_SCALAR))


def _study(common: SensitivityCell, name: str, **changed: Any) -> dict[str, Any]:
    """The fields that a study has in common with the cells of architectures."""
    names = ("input", "seed", "dtype", "device", "content", "lambdas", "lengths", "seeds")
    return {name: getattr(common, name) for name in names} | {"name": name, "width": common.hidden_size} | changed


def _scalar_cells(configuration: SensitivityConfiguration, common: SensitivityCell) -> tuple[Cell, ...]:
    """One cell; none where the input is not one of those that the scalar law is about."""
    if configuration.data is None and configuration.chosen_input.kind not in KINDS:
        return ()
    sequences = replace(common.input, input_size=1, batch=configuration.samples)
    changed = {"input": sequences, "width": 1, "dtype": "float64", "seeds": (configuration.seed,)}
    return (
        ScalarCell(
            **_study(common, SCALAR, lengths=_scalar_lengths(configuration), **changed),
            samples=configuration.samples,
            parametrizations=configuration.parametrization,
            normalizations=configuration.normalization,
            attached=configuration.gamma == "attached",
            second=configuration.second,
        ),
    )


def _landscape_cells(configuration: SensitivityConfiguration, common: SensitivityCell) -> tuple[Cell, ...]:
    if not configuration.landscape:
        return ()
    return (
        LandscapeCell(
            **_study(common, "landscape", lambdas=(configuration.teacher,)),
            parametrizations=configuration.parametrization,
            normalizations=configuration.normalization,
            rho=_landscape_rho(configuration),
        ),
    )


def _landscape_rho(configuration: SensitivityConfiguration) -> float:
    """Of the input; white where it is none of one ρ."""
    chosen = configuration.chosen_input
    if configuration.data is not None or chosen.kind not in ("ar1", "constant"):
        return 0.0
    return driven_input(chosen.kind, **{name: float(value) for name, value in chosen.options}).rhos[0]


def _depth_cells(configuration: SensitivityConfiguration, common: SensitivityCell) -> tuple[Cell, ...]:
    """One cell for each recurrence of the experiment; wiki-like inputs where nothing else was asked for."""
    if configuration.depth is None:
        return ()
    length = configuration.length or min(DEPTH_STEPS, configuration.most_steps)
    changed: dict[str, Any] = {"lengths": (length,)}
    if configuration.data is None and configuration.input is None:
        changed |= {"input": replace(common.input, choice=InputChoice("wiki-like"))}
    return tuple(
        DepthCell(**_study(common, f"depth {name}", **changed), recurrence=name, depth=configuration.depth)
        for name in RECURRENCES
    )


def _hessian_cells(configuration: SensitivityConfiguration, common: SensitivityCell) -> tuple[Cell, ...]:
    """One cell for each student, over three time constants of the teacher."""
    if not configuration.hessian:
        return ()
    steps = math.ceil(HESSIAN_TIME_CONSTANTS / (1 - configuration.teacher) - 1e-6)
    lengths = (configuration.length or min(LONGEST_HESSIAN, steps),)
    return tuple(
        HessianCell(
            **_study(common, f"student {name}", lambdas=(configuration.teacher,), lengths=lengths), student=name
        )
        for name in LINEAR_STUDENTS
    )
