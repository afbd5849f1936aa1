"""What a TOML file holds."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from gradscope.errors import UsageError


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
