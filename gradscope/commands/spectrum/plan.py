"""The cells of a run of ``gradscope spectrum``."""

from __future__ import annotations

from gradscope.commands.spectrum.configuration import SpectrumConfiguration
from gradscope.contract.combinators import Stack
from gradscope.contract.diagonal import DiagonalRecurrence
from gradscope.contract.matrix_state import MatrixStateRecurrence
from gradscope.contract.model import Model
from gradscope.errors import UsageError
from gradscope.running.cell import SpectrumCell
from gradscope.running.plan import Plan, check_memory, plan_cells

MATRICES = 6  # dense Jacobians that are at hand at a time: the step's, its product, the inverse, and their copies


def plan_spectrum(configuration: SpectrumConfiguration) -> Plan:
    """One cell for each architecture and seed; see :func:`~gradscope.running.plan.plan_cells`."""

    def check(cell: SpectrumCell, model: Model) -> list[str]:
        if not model.state_size:
            return []
        if cell.warm_up >= cell.length:
            raise UsageError(
                f"--warm-up takes {cell.warm_up} of {cell.length} steps, which leaves nothing to measure; take a "
                "smaller one, or a longer --length."
            )
        smallest = min(layer.state_size for layer in _layers(model))
        if cell.exponents > smallest:
            raise UsageError(
                f"--lyapunov asks for {cell.exponents} exponents, but the state of {cell.label} has {smallest} numbers"
                f"{' in a layer' if isinstance(model, Stack) else ''}; ask for fewer, or for all."
            )
        if cell.leading > model.state_size:
            raise UsageError(
                f"--leading asks for {cell.leading} values, but the state of {cell.label} has {model.state_size} "
                "numbers."
            )
        needed = 8 * MATRICES * cell.batch * _dense_size(model) ** 2
        where = f"for the dense Jacobian of a state of {model.state_size:,} numbers"
        advice = "take a smaller --hidden-size or --batch, or allow more"
        return check_memory(cell.label, needed, configuration.max_memory, where, advice)

    return plan_cells(
        configuration,
        [f"Steps: {', '.join(map(str, configuration.steps.of_length(configuration.length)))}."],
        lambda common: SpectrumCell(
            **common,
            length=configuration.length,
            steps=configuration.steps.of_length(configuration.length),
            exponents=configuration.lyapunov,
            warm_up=configuration.warm_up,
            leading=configuration.leading or 0,
            temporal=configuration.temporal,
            products=not configuration.no_products,
            every_step=configuration.every_step,
        ),
        check,
    )


def _layers(model: Model) -> list[Model]:
    return list(model.layers) if isinstance(model, Stack) else [model]


def _dense_size(model: Model) -> int:
    """Rows of the largest matrix that is formed."""
    if isinstance(model, DiagonalRecurrence):
        return 0
    if isinstance(model, MatrixStateRecurrence):
        return model.state_size // model.copies
    return model.state_size
