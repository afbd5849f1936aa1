"""The cells of a comparison."""

from __future__ import annotations

from gradscope.commands.compare.configuration import CompareConfiguration
from gradscope.commands.compare.gradients import components_of
from gradscope.contract.model import Model
from gradscope.errors import UnknownName
from gradscope.running.cell import GradientCell
from gradscope.running.plan import Plan, plan_cells


def plan_comparison(configuration: CompareConfiguration) -> Plan:
    """One cell for each architecture and seed; see :func:`~gradscope.running.plan.plan_cells`."""

    def check(cell: GradientCell, model: Model) -> list[str]:
        if cell.component and cell.component not in components_of(model):
            raise UnknownName(f"component of {cell.label}", cell.component, components_of(model))
        return []

    return plan_cells(
        configuration,
        [f"Lengths: {', '.join(map(str, configuration.lengths))}."],
        lambda common: GradientCell(
            **common,
            lengths=configuration.lengths,
            loss=configuration.loss,
            component=configuration.component or "",
            every_component=True,
            every_step=configuration.every_step,
        ),
        check,
    )
