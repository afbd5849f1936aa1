"""The cells of a run of ``gradscope sensitivity``: the scalar law, and a sweep of each architecture's memory dial."""

from __future__ import annotations

from gradscope.architectures.build import build
from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.config.sensitivity import LONGEST_MODEL, LONGEST_SCALAR, SensitivityConfiguration
from gradscope.contract.model import Model
from gradscope.errors import UsageError
from gradscope.inputs.driven import KINDS
from gradscope.plan.cells import Plan, plan_cells
from gradscope.sweep.cell import Cell, ScalarCell, SensitivityCell

HORIZON = 4.2  # time constants 1/(1 − λ) after which the last step's E|h'|² is within 1 % of the infinite horizon's


def plan_sensitivity(configuration: SensitivityConfiguration) -> Plan:
    """The scalar law's cell first; see :func:`~gradscope.plan.cells.plan_cells` for the architectures'."""
    chosen = configuration.chosen_input
    label = str(configuration.data) if configuration.data else chosen.label
    lengths = configuration.lengths(LONGEST_MODEL)
    shown = ", ".join(f"{modulus:.6g}" for modulus in configuration.lambda_)
    messages = [
        f"λ: {shown}.",
        f"Steps: {', '.join(map(str, lengths))}; {max(_scalar_lengths(configuration))} for the scalar law.",
    ]
    short = [f"{m:.6g}" for m, length in zip(configuration.lambda_, lengths, strict=True) if length * (1 - m) < HORIZON]
    if short:
        messages.append(
            f"At λ = {', '.join(short)} the architectures' sequences are shorter than {HORIZON} time constants: their "
            "powers there, and exponents fitted through them, fall short of the infinite horizon's."
        )

    def check(cell: SensitivityCell, model: Model) -> list[str]:
        if not model.has_memory_dial:
            raise UsageError(
                f"{cell.label} has no memory dial to set λ with; those that have one: {', '.join(_with_dial())}."
            )
        return []

    plan = plan_cells(
        configuration,
        messages,
        lambda common: SensitivityCell(
            **common,
            lambdas=configuration.lambda_,
            lengths=lengths,
            seeds=configuration.seed_numbers,
            input_label=label,
        ),
        check,
        every_seed=False,
    )
    scalar = _scalar_cells(configuration, plan.device)
    return Plan((*scalar, *plan.cells), plan.device, plan.messages)


def _with_dial() -> list[str]:
    """Names of the catalogue's architectures with a memory dial."""
    small = {name: build(name, input_size=1, hidden_size=2) for name in ARCHITECTURES}
    return [name for name, model in small.items() if model.has_memory_dial]


def _scalar_lengths(configuration: SensitivityConfiguration) -> tuple[int, ...]:
    return configuration.lengths(LONGEST_SCALAR)


def _scalar_cells(configuration: SensitivityConfiguration, device: str) -> tuple[Cell, ...]:
    """One cell; none where the input is not one of those that the scalar law is about."""
    chosen = configuration.chosen_input
    if configuration.data is not None or chosen.kind not in KINDS:
        return ()
    return (
        ScalarCell(
            label="scalar",
            architecture="scalar",
            options=(),
            seed=configuration.seed,
            input_kind=chosen.kind,
            input_options=chosen.options,
            data="",
            batch=configuration.samples,
            input_size=1,
            hidden_size=1,
            num_layers=1,
            dtype="float64",
            device=device,
            checkpoint="",
            lambdas=configuration.lambda_,
            lengths=_scalar_lengths(configuration),
            seeds=(configuration.seed,),
            input_label=chosen.label,
            samples=configuration.samples,
            parametrizations=configuration.parametrization,
            normalizations=configuration.normalization,
            attached=configuration.gamma == "attached",
            second=configuration.second,
            landscape=configuration.landscape,
            teacher=configuration.teacher,
        ),
    )
