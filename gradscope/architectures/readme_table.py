"""The table of architectures in README, which ``make readme`` writes anew."""

from __future__ import annotations

from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.errors import UsageError

BEGIN, END = "<!-- architectures: make readme -->\n", "<!-- /architectures -->\n"


def readme_table() -> str:
    """Families and their members, in the catalogue's order."""
    families: dict[str, list[str]] = {}
    for name, spec in ARCHITECTURES.items():
        families.setdefault(spec.family, []).append(f"`{name}`")
    rows = [f"| {family} | {', '.join(names)} |" for family, names in families.items()]
    return "\n".join(["| family | names |", "|---|---|", *rows, ""])


def with_table(text: str) -> str:
    """A page with the table between its two markers as it should be.

    Raises:
        UsageError: The page has no such markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise UsageError(f"The page should have a line {BEGIN.strip()} and after it a line {END.strip()}.")
    return f"{before}{begin}{readme_table()}{end}{after}"
