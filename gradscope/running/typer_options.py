"""A command's parameters from its settings table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from gradscope.running.settings import Setting, shown_name


def command_function(settings: Mapping[str, Setting], run: Callable[[dict[str, Any]], int], help_text: str) -> Any:
    """A function whose parameters are the table's entries; what is not given does not reach ``run``."""

    def command(**given: Any) -> int:
        return run({name: value for name, value in given.items() if value not in (None, False)})

    command.__doc__ = help_text
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [_parameter(name, setting) for name, setting in settings.items()], return_annotation=int
    )
    return command


def _parameter(name: str, setting: Setting) -> inspect.Parameter:
    flag = f"--{shown_name(name)}"
    default = "" if setting.is_flag or setting.default is None else f" [default: {setting.default}]"
    text = f"{setting.help}{default}"
    if setting.is_flag:
        kind: Any = Annotated[bool, typer.Option(flag, help=text, rich_help_panel=setting.panel)]
    else:
        option = typer.Option(
            flag, help=text, metavar=setting.metavar, rich_help_panel=setting.panel, show_default=False
        )
        kind = Annotated[str | None, option]
    value = False if setting.is_flag else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kind)
