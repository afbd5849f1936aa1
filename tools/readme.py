"""Writes the table of architectures in README anew: ``make readme``."""

from __future__ import annotations

from pathlib import Path

from gradscope.architectures.readme_table import with_table

README = Path(__file__).parents[1] / "README.md"
README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
