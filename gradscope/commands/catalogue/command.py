"""``gradscope list`` and ``gradscope explain``: what there is, without importing torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.contract.option import Option
from gradscope.errors import UnknownName
from gradscope.inputs.catalogue import INPUTS
from gradscope.running.architecture_choice import ArchitectureChoice, parse_architectures
from gradscope.running.console import print_wide

if TYPE_CHECKING:
    from gradscope.contract.model import Model

EXPLAINED_INPUT, EXPLAINED_HIDDEN, EXPLAINED_STEPS = 4, 8, 16  # sizes at which a class of one's own is looked at


def register_list(app: typer.Typer) -> None:
    """Adds ``gradscope list``."""
    app.command("list", epilog="Examples: gradscope list · gradscope list --executors")(list_everything)


def register_explain(app: typer.Typer) -> None:
    """Adds ``gradscope explain``."""
    app.command(
        "explain",
        epilog="Examples: gradscope explain lstm · gradscope explain ar1 · gradscope explain my_cell.py:MyCell",
    )(explain)


def list_everything(
    executors: Annotated[
        bool, typer.Option("--executors", help="How each architecture is run and differentiated instead, and why.")
    ] = False,
) -> None:
    """Show all architectures and inputs: family, equation, paper, options."""
    if executors:
        _list_executors()
        return
    table = Table(title="Architectures (H is the hidden size)", title_justify="left", box=box.SIMPLE_HEAD)
    for header in ("name", "family", "equation", "state", "path length", "parallel", "options", "paper"):
        table.add_column(header, no_wrap=True)
    for name, spec in ARCHITECTURES.items():
        options = " ".join(f"{option.name}={_shown(option)}" for option in spec.options)
        parallel = "yes" if spec.parallelisable else "no"
        path = spec.gradient_path
        table.add_row(name, spec.family, spec.equation, spec.state_size, path, parallel, options, spec.paper)
    inputs = Table(title="Inputs", title_justify="left", box=box.SIMPLE_HEAD)
    for header in ("name", "what it is", "options"):
        inputs.add_column(header, no_wrap=True)
    for name, entry in INPUTS.items():
        inputs.add_row(name, entry.help, " ".join(f"{option.name}={_shown(option)}" for option in entry.options))
    print_wide(table, inputs)


def _list_executors() -> None:
    table = Table(title="How architectures are run and differentiated", title_justify="left", box=box.SIMPLE_HEAD)
    for header in ("name", "how it is run", "why it is replayed"):
        table.add_column(header, no_wrap=True)
    for name in ARCHITECTURES:
        for executor, why in _executors(ArchitectureChoice(name, (), name)):
            table.add_row(name, executor, why)
    print_wide(table)


def _executors(choice: ArchitectureChoice) -> list[tuple[str, str]]:
    """How each recurrence of an architecture is run, and why it is replayed, if it is."""
    import torch

    from gradscope.dynamics.linearize import linearize_model
    from gradscope.inputs.make import make_inputs

    model = _example(choice)
    if not model.state_size:
        return [("as a whole, by its own forward and backward pass: it has no recurrent state", "")]
    x = make_inputs("white", batch=2, length=EXPLAINED_STEPS, input_size=EXPLAINED_INPUT, dtype=torch.float64)
    recurrences = linearize_model(model, x).recurrences
    return list(dict.fromkeys((trajectory.executor, trajectory.why_replayed) for trajectory in recurrences))


def _example(choice: ArchitectureChoice) -> Model:
    from gradscope.running.definitions import ModelDefinition

    return ModelDefinition(choice, EXPLAINED_INPUT, EXPLAINED_HIDDEN, 1).build(0)


def explain(
    name: Annotated[
        str, typer.Argument(help="An architecture or an input of gradscope list, or path/to/file.py:ClassName.")
    ],
) -> None:
    """Explain one architecture or input: equation, paper, options, what its gradient goes through.

    Of a class of your own, path/to/file.py:ClassName, how it is run and differentiated, and what stands in the way of a
    faster way.
    """
    if ":" in name:
        _explain_own(name)
        return
    if name not in ARCHITECTURES and name not in INPUTS:
        raise UnknownName("architecture or input", name, [*ARCHITECTURES, *INPUTS])
    if name in INPUTS:
        typer.echo(f"{name}: {INPUTS[name].help}.")
        _echo_options(INPUTS[name].options)
        return
    spec = ARCHITECTURES[name]
    typer.echo(f"{name} ({spec.family})")
    typer.echo(f"  equation        {spec.equation}")
    typer.echo(f"  state           {spec.state_size} real numbers a sample and layer, H = hidden size")
    typer.echo(f"  gradient path   {spec.gradient_path} factors from the loss to a step k steps back")
    typer.echo(f"  parallelisable  {'yes' if spec.parallelisable else 'no'}")
    typer.echo(f"  memory dial     {spec.memory_dial or 'none'}")
    typer.echo(f"  paper           {spec.paper}")
    _echo_options(spec.options)
    typer.echo(f"  try             gradscope compare --arch {name} --lengths 10..1000")


def _explain_own(reference: str) -> None:
    (choice,) = parse_architectures(reference, Path())
    model = _example(choice)
    typer.echo(f"{choice.label}")
    typer.echo(f"  state           {model.state_size} real numbers a sample at hidden size {EXPLAINED_HIDDEN}")
    typer.echo(f"  parameters      {model.parameters_counted:,}")
    for executor, why in _executors(choice):
        typer.echo(f"  how it is run   {executor}")
        if why:
            typer.echo(f"  why             {why}")


def _echo_options(options: tuple[Option, ...]) -> None:
    for option in options:
        words = f" ({', '.join(option.choices)})" if option.choices else ""
        typer.echo(f"  option          {option.name}={_shown(option)}  {option.help}{words}")


def _shown(option: Option) -> str:
    return f"{option.default:g}" if isinstance(option.default, float) else str(option.default)
