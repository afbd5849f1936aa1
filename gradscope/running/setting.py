"""One option of a command, and the one reader for command lines, TOML files and cases."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradscope.errors import UnknownName, UsageError
from gradscope.running import values
from gradscope.running.defaults import DEFAULTS

Reader = Callable[[str, Any, Path], Any]


@dataclass(frozen=True)
class Setting:
    """One option.

    Attributes:
        read: ``read(shown, value, folder)`` turns what was given into a checked value; ``shown`` is the name in
            messages, relative paths start from ``folder``.
        metavar: What the help shows in place of the value; empty for a flag.
        panel: Heading in the help.
        default: What holds when nothing is given, from the table of defaults; None where the help says what then
            happens.
    """

    read: Reader
    metavar: str
    panel: str
    help: str
    default: str | None = None

    @property
    def is_flag(self) -> bool:
        """Whether it takes no value; one that is not given is false."""
        return not self.metavar


def without_folder(read: Callable[[str, Any], Any]) -> Reader:
    """Of a value that no folder matters for."""
    return lambda shown, value, folder: read(shown, value)


def one_of(kind: str, choices: tuple[str, ...]) -> Reader:
    """One word of a few."""
    return lambda shown, value, folder: values.known_word(shown, value, kind, choices)


def some_of(kind: str, choices: tuple[str, ...]) -> Reader:
    """One or more of a few words, in the order given."""

    def read(shown: str, value: Any, folder: Path) -> tuple[str, ...]:
        names = [name.strip() for name in values.joined_words(shown, value).split(",")]
        return tuple(dict.fromkeys(values.known_word(shown, name, kind, choices) for name in names))

    return read


def with_defaults(command: str, settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """The settings of a command with what its table of defaults says."""
    defaults = DEFAULTS[command]
    return {
        name: setting if setting.is_flag else replace(setting, default=defaults[name])
        for name, setting in settings.items()
    }


def shown_name(name: str) -> str:
    """A setting's name as the user writes it: dashes, and no underscore after a word that Python keeps for itself."""
    return name.rstrip("_").replace("_", "-")


def read_settings(
    settings: Mapping[str, Setting], given: Mapping[str, Any], folder: Path, prefix: str
) -> dict[str, Any]:
    """The values that options stand for, those not given at their defaults.

    Args:
        settings: The command's.
        given: Setting to value, as words of a command line or as values of a TOML file; None is not given.
        folder: Where relative paths start.
        prefix: What stands before a setting's name in messages.

    Raises:
        UsageError: A value that cannot be.
        UnknownName: A name that is not in its table; names the nearest.
    """
    read: dict[str, Any] = {}
    for name, setting in settings.items():
        value = given.get(name)
        if value is None:
            value = False if setting.is_flag else setting.default
        read[name] = None if value is None else setting.read(f"{prefix}{shown_name(name)}", value, folder)
    return read


def settings_of_table(
    settings: Mapping[str, Setting], table: Mapping[str, Any], kind: str, where: str = "", more: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Setting to value from the keys of a TOML table, with dashes or underscores.

    Args:
        settings: The command's.
        table: The table.
        kind: What a key is called in messages.
        where: What stands before a message.
        more: Other keys that there are, for messages.

    Raises:
        UnknownName: No such key; names the nearest.
        UsageError: A key given twice.
    """
    names = {shown_name(name): name for name in settings}
    given: dict[str, Any] = {}
    for key, value in table.items():
        name = names.get(key.replace("_", "-"))
        if name is None:
            raise UnknownName(kind, key, [*names, *more])
        if name in given:
            raise UsageError(f"{where}{key} is given twice, with a dash and with an underscore.")
        given[name] = value
    return given


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
