"""What ``import gradscope`` offers is the same to Python and to type checkers."""

import ast
from pathlib import Path

import gradscope

SOURCE = ast.parse(Path(gradscope.__file__).read_text(encoding="utf-8"))


def test_type_checkers_see_the_names_at_their_homes():
    (block,) = (node for node in SOURCE.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    aliases = [(alias, imported.module) for imported in block.body for alias in imported.names]
    assert all(alias.asname == alias.name for alias, _ in aliases)  # what makes it public to them
    assert {alias.name: module for alias, module in aliases} == gradscope._HOMES | {"theory": "gradscope"}


def test_every_name_is_found_and_listed():
    assert dir(gradscope) == gradscope.__all__ == sorted({*gradscope._HOMES, "theory", "__version__"})
    for name, home in gradscope._HOMES.items():
        assert getattr(gradscope, name).__module__ == home
    assert gradscope.theory.__name__ == "gradscope.theory"
