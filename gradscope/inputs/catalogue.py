"""The input processes by name, readable without importing torch. Adding one is one function and one entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gradscope.contract.option import Option, OptionValue

# (variance, ρ) of each of the independent AR(1) processes that add up to an input; ρ = 0 is white, ρ = 1 constant.
Parts = tuple[tuple[float, float], ...]
WIKI_LIKE: Parts = ((0.332, 0.0), (0.043056, 0.997005))  # Zucchet & Orvieto 2024, arXiv:2405.21064, section 5


@dataclass(frozen=True)
class InputSpec:
    """One line of the catalogue.

    Attributes:
        help: What it is, in one line.
        prefix_stable: Whether the beginning of a longer draw is the shorter draw.
        home: Of ``draw(random, length, batch, input_size, **options)``, time first.
        options: Options after a colon.
        fixed_input_size: The input size that the options imply, or None where any will do.
        parts: The processes that it is the sum of, from all options; None where it is no linear filter of white noise.
    """

    help: str
    prefix_stable: bool
    home: str
    options: tuple[Option, ...] = ()
    fixed_input_size: Callable[[dict[str, OptionValue]], int] | None = None
    parts: Callable[[Mapping[str, OptionValue]], Parts] | None = None

    def implied_input_size(self, given: dict[str, OptionValue]) -> int | None:
        """The input size that this process fixes, with the options given and the others at their defaults."""
        if self.fixed_input_size is None:
            return None
        return self.fixed_input_size(self.all_options(given))

    def all_options(self, given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
        """The options given and the others at their defaults."""
        return {option.name: given.get(option.name, option.default) for option in self.options}


INPUTS: dict[str, InputSpec] = {
    "white": InputSpec(
        "independent N(0, 1)",
        prefix_stable=True,
        home="gradscope.inputs.processes:white",
        parts=lambda options: ((1.0, 0.0),),
    ),
    "ar1": InputSpec(
        "stationary AR(1), unit variance, autocorrelation rho^|lag|",
        prefix_stable=True,
        home="gradscope.inputs.processes:ar1",
        options=(Option("rho", 0.9, "correlation of neighbouring steps", minimum=-1.0, maximum=1.0),),
        parts=lambda options: ((1.0, float(options["rho"])),),
    ),
    "constant": InputSpec(
        "one N(0, 1) value held for the whole sequence",
        prefix_stable=True,
        home="gradscope.inputs.processes:constant",
        parts=lambda options: ((1.0, 1.0),),
    ),
    "wiki-like": InputSpec(
        "autocorrelation of embedded Wikipedia text: white noise and a slow process",
        prefix_stable=True,
        home="gradscope.inputs.processes:wiki_like",
        parts=lambda options: WIKI_LIKE,
    ),
    "adding": InputSpec(
        "adding problem: a uniform value and a marker of the two to add",
        prefix_stable=False,
        home="gradscope.inputs.tasks:adding",
        fixed_input_size=lambda options: 2,
    ),
    "copy": InputSpec(
        "copy memory: symbols, then blanks, then a signal to recall them; one-hot",
        prefix_stable=False,
        home="gradscope.inputs.tasks:copy_memory",
        options=(
            Option("symbols", 8, "size of the alphabet", minimum=1),
            Option("memory", 10, "how many symbols to remember", minimum=1),
        ),
        fixed_input_size=lambda options: int(options["symbols"]) + 2,
    ),
}
