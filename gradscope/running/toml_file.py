"""Configuration files: ``command = "compare"`` and every option of the command as a key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from gradscope.errors import UnknownName, UsageError
from gradscope.running.settings import COMPARE, SENSITIVITY, SPECTRUM, Setting, shown_name

COMMANDS: dict[str, dict[str, Setting]] = {"compare": COMPARE, "spectrum": SPECTRUM, "sensitivity": SENSITIVITY}


def read_toml(file: Path) -> tuple[str, dict[str, Any]]:
    """The command and its settings by name.

    Args:
        file: A TOML file whose keys are the command's options, with dashes or underscores.

    Raises:
        UsageError: No such file, no TOML, or a key given twice.
        UnknownName: No such command or key; names the nearest.
    """
    document = toml_document(file)
    if "case" in document:
        raise UsageError(f"{file} holds cases of a regression check; measure them with gradscope check --cases {file}.")
    command = document.pop("command", "compare")
    if not isinstance(command, str) or command not in COMMANDS:
        raise UnknownName(f"command in {file}", str(command), COMMANDS)
    settings = COMMANDS[command]
    given: dict[str, Any] = {}
    names = {shown_name(name): name for name in settings}
    for key, value in document.items():
        name = names.get(key.replace("_", "-"), "")
        if not name:
            raise UnknownName(f"key in {file}", key, names)
        if name in given:
            raise UsageError(f"{file}: {key} is given twice, with a dash and with an underscore.")
        given[name] = value
    return command, given


def toml_document(file: Path) -> dict[str, Any]:
    """What a TOML file holds.

    Raises:
        UsageError: No such file, or no TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"There is no file {file}; give the path of a TOML file.") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}); give the path of a TOML file.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is no text in UTF-8; give the path of a TOML file.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not valid TOML: {error}.") from None
