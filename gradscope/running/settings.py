"""The options of the commands: one table each for the command line, the TOML files and the help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradscope.commands.sensitivity.lambdas import parse_lambdas
from gradscope.commands.spectrum.steps import parse_steps
from gradscope.inputs.catalogue import INPUTS
from gradscope.running import values
from gradscope.running.architecture_choice import parse_architectures
from gradscope.running.input_choice import parse_input
from gradscope.running.lengths import parse_lengths

MATCHES = ("hidden", "parameters", "state")
LOSSES = ("last", "mean", "last-probe")
DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("float32", "float64")
FORMATS = ("table", "json", "csv", "markdown")

Reader = Callable[[str, Any, Path], Any]


@dataclass(frozen=True)
class Setting:
    """One option.

    Attributes:
        read: ``read(shown, value, folder)`` turns what was given into a checked value; ``shown`` is the name in
            messages, relative paths start from ``folder``.
        default: What holds when nothing is given, in the user's words; None where the help says what then happens.
        metavar: What the help shows in place of the value; empty for a flag.
        panel: Heading in the help.
    """

    read: Reader
    default: str | bool | None
    metavar: str
    panel: str
    help: str

    @property
    def is_flag(self) -> bool:
        """Whether it takes no value."""
        return isinstance(self.default, bool)


def shown_name(name: str) -> str:
    """A setting's name as the user writes it: dashes, and no underscore after a word that Python keeps for itself."""
    return name.rstrip("_").replace("_", "-")


def _plain(read: Callable[[str, Any], Any]) -> Reader:
    return lambda shown, value, folder: read(shown, value)


def _choice(kind: str, choices: tuple[str, ...]) -> Reader:
    return lambda shown, value, folder: values.one_of(shown, value, kind, choices)


_count, _seed, _flag = _plain(values.whole_number), _plain(values.seed_number), _plain(values.yes_or_no)
_positive, _word = _plain(values.positive_number), _plain(values.word)
_WHAT, _MODEL, _INPUT, _MEASURE, _WHERE, _RESULT = "What to measure", "Models", "Input", "Measurement", "Run", "Results"

COMPARE: dict[str, Setting] = {
    "arch": Setting(
        lambda shown, value, folder: parse_architectures(values.joined_words(shown, value), folder),
        "rnn,lstm,lru",
        "A,B,…",
        _WHAT,
        "Architectures, with options: lstm:forget_bias=1, a sweep sc-lstm-p:L=10|20|50, label=NAME; 'all' or a family; "
        "path/to/file.py:ClassName or package.module:ClassName for your own. See: gradscope list.",
    ),
    "lengths": Setting(
        lambda shown, value, folder: parse_lengths(shown, values.joined_words(shown, value)),
        "10..1000",
        "SPEC",
        _WHAT,
        "Sequence lengths: 10,100,1000; 10..1000 is the series 10, 20, 50, 100, …; 10..1000:12 is 12 log-spaced ones.",
    ),
    "relative_to": Setting(
        _word,
        None,
        "ARCH",
        _WHAT,
        "Also show the ratios of the gradients at step 1, and of the recurrent weights' gradients, to this row's.",
    ),
    "hidden_size": Setting(_count, "64", "N", _MODEL, "Hidden units of each layer."),
    "num_layers": Setting(_count, "1", "N", _MODEL, "Layers stacked on each other."),
    "match": Setting(
        _choice("match", MATCHES),
        "hidden",
        "|".join(MATCHES),
        _MODEL,
        "What the models have in common: the hidden size, or the number of parameters or the state size of the first "
        "one at --hidden-size.",
    ),
    "checkpoint": Setting(values.path, None, "FILE", _MODEL, "state_dict of a trained model (one architecture only)."),
    "input": Setting(
        _plain(lambda shown, value: parse_input(values.word(shown, value))),
        None,
        "KIND",
        _INPUT,
        f"{', '.join(INPUTS)}, with options: ar1:rho=0.9; white when nothing is given. See: gradscope list.",
    ),
    "data": Setting(values.path, None, "FILE", _INPUT, "Real input from .npy, .npz, .csv or .parquet instead."),
    "input_size": Setting(_count, None, "N", _INPUT, "Features of the input: 32, or what the input or the data fix."),
    "batch": Setting(_count, "16", "N", _INPUT, "Sequences per measurement."),
    "loss": Setting(
        _choice("loss", LOSSES), "last", "|".join(LOSSES), _MEASURE, "Squared error at the last step or at every step."
    ),
    "component": Setting(
        _word, None, "NAME", _MEASURE, "What the table is about: h, c, x, <state>, …; each model's own when not given."
    ),
    "seeds": Setting(_count, "3", "N", _MEASURE, "How many seeds."),
    "seed": Setting(_seed, "0", "FIRST", _MEASURE, "The first seed."),
    "device": Setting(
        _choice("device", DEVICES), "auto", "|".join(DEVICES), _WHERE, "auto picks cuda where there is one."
    ),
    "dtype": Setting(_choice("dtype", DTYPES), "float32", "|".join(DTYPES), _WHERE, "Precision of the model."),
    "threads": Setting(_count, None, "N", _WHERE, "Threads that torch may use; its own choice when not given."),
    "max_memory": Setting(
        _positive, "8", "GIB", _WHERE, "Refuse models without a recurrence that need more memory than this."
    ),
    "clip_norm": Setting(
        _positive, None, "C", _RESULT, "Say by which factor clipping to this norm would shrink the weight gradients."
    ),
    "format": Setting(_choice("format", FORMATS), "table", "|".join(FORMATS), _RESULT, "What is printed on stdout."),
    "out": Setting(values.path, None, "DIR", _RESULT, "Write data files, run.json and plots here."),
    "every_step": Setting(_flag, False, "", _RESULT, "Every step in gradients.csv, not about 64 lags per length."),
    "resume": Setting(_flag, False, "", _RESULT, "Go on from what an interrupted run left in --out."),
    "quiet": Setting(_flag, False, "", _RESULT, "No progress and no messages on stderr."),
}

_SHARED = ("hidden_size", "num_layers", "match", "checkpoint", "input", "data", "input_size")

_ONE_THREAD = replace(
    COMPARE["threads"], default="1", help="Threads that torch may use; small matrices are slower on more than one."
)

SPECTRUM: dict[str, Setting] = {
    "arch": COMPARE["arch"],
    "length": Setting(_count, "200", "T", _WHAT, "Steps of the sequence that drives the recurrence."),
    "steps": Setting(
        lambda shown, value, folder: parse_steps(shown, values.joined_words(shown, value)),
        "every:20",
        "SPEC",
        _WHAT,
        "At which steps J_t is decomposed: 10,50,200; every:20; last.",
    ),
    "lyapunov": Setting(
        _plain(values.count_or_all), "all", "K|all", _WHAT, "How many leading Lyapunov exponents of each layer."
    ),
    "warm_up": Setting(
        _plain(lambda shown, value: values.whole_number(shown, value, minimum=0)),
        "50",
        "W",
        _WHAT,
        "Steps before the exponents are measured; a period that does not fit makes it longer.",
    ),
    "temporal": Setting(
        _flag, False, "", _WHAT, "Also the temporal Jacobian ∂y_T/∂x_t, of every architecture (slower)."
    ),
    "no_products": Setting(_flag, False, "", _WHAT, "Leave out the products ∂s_T/∂s_t."),
    "leading": Setting(
        _count,
        None,
        "K",
        _WHAT,
        "Only the K leading eigenvalues and singular values, by iteration; 16 for dense states above 512 numbers.",
    ),
    **{name: COMPARE[name] for name in _SHARED},
    "batch": replace(COMPARE["batch"], default="1"),
    **{name: COMPARE[name] for name in ("seeds", "seed", "device")},
    "dtype": replace(COMPARE["dtype"], default="float64"),
    "threads": _ONE_THREAD,
    "max_memory": replace(COMPARE["max_memory"], help="Refuse models that need more memory than this."),
    **{name: COMPARE[name] for name in ("format", "out")},
    "every_step": replace(COMPARE["every_step"], help="Products at every lag of sequences above 2000 steps."),
    **{name: COMPARE[name] for name in ("resume", "quiet")},
}

PARAMETRIZATIONS = ("direct", "exp-exp", "sigmoid", "softplus", "tanh", "log-delta", "polar")
NORMALIZATIONS = ("none", "sqrt", "exact", "coupled")
GAMMAS = ("detached", "attached")
BLOCKS = ("residual",)


def _names(kind: str, choices: tuple[str, ...]) -> Reader:
    """One or more words of a table, in the order given."""

    def read(shown: str, value: Any, folder: Path) -> tuple[str, ...]:
        names = [name.strip() for name in values.joined_words(shown, value).split(",")]
        return tuple(dict.fromkeys(values.one_of(shown, name, kind, choices) for name in names))

    return read


SENSITIVITY: dict[str, Setting] = {
    "arch": replace(COMPARE["arch"], default="lru,lstm,gru"),
    "lambda_": Setting(
        lambda shown, value, folder: parse_lambdas(shown, values.joined_words(shown, value, fractions=True)),
        "0.9..0.9999",
        "SPEC",
        _WHAT,
        "Moduli of λ: 0.9,0.99; 0.9..0.9999 is five values log-spaced in 1 − λ; 0.9..0.9999:7 seven.",
    ),
    "length": Setting(
        _plain(values.count_or_auto),
        "auto",
        "T|auto",
        _WHAT,
        "Steps; auto takes 10/(1 − λ), up to 100,000 for the scalar law and 10,000 for architectures.",
    ),
    "samples": Setting(
        _plain(lambda shown, value: values.whole_number(shown, value, minimum=2)),
        "1024",
        "N",
        _WHAT,
        "Sequences of the scalar law.",
    ),
    "parametrization": Setting(
        _names("parametrization", PARAMETRIZATIONS),
        "direct,exp-exp,sigmoid,tanh",
        "A,B,…",
        _WHAT,
        f"Of the scalar law's λ(ω): {', '.join(PARAMETRIZATIONS)} (the angle).",
    ),
    "normalization": Setting(
        _names("normalization", NORMALIZATIONS),
        "none,sqrt",
        "A,B,…",
        _WHAT,
        "Of the scalar law's input, γ(λ): none; sqrt √(1 − |λ|²); exact E|h|² = 1; coupled 1 − |λ|.",
    ),
    "gamma": Setting(
        _choice("gamma", GAMMAS), "detached", "|".join(GAMMAS), _WHAT, "Whether dh/dω goes through γ too."
    ),
    "second": Setting(_flag, False, "", _WHAT, "Also E|d²h/dω²|², with γ detached."),
    "landscape": Setting(
        _flag, False, "", _WHAT, "Also the loss surface over ω of a student λ that learns a teacher λ*."
    ),
    "hessian": Setting(
        _flag,
        False,
        "",
        _WHAT,
        "Also the curvature of linear students at their teacher, and the learning rates that Adam ends up with there.",
    ),
    "teacher": Setting(_plain(values.fraction), "0.99", "λ*", _WHAT, "The teacher of --landscape and --hessian."),
    "depth": Setting(
        _count,
        None,
        "N",
        _WHAT,
        "Also the signal through N blocks at initialisation, layer by layer: complex RNN, LRU, GRU with chrono "
        "initialisation; |λ| from each value of --lambda half-way up to 1; wiki-like input when nothing is given.",
    ),
    "block": Setting(
        _choice("block", BLOCKS),
        "residual",
        "|".join(BLOCKS),
        _WHAT,
        "The block of --depth: x + GLU(GELU(recurrence)).",
    ),
    **{name: COMPARE[name] for name in ("hidden_size", "num_layers")},
    "input": replace(
        COMPARE["input"],
        help="white (when nothing is given), ar1:rho=0.9, constant, wiki-like; adding or copy for architectures alone.",
    ),
    **{name: COMPARE[name] for name in ("data", "input_size")},
    "batch": replace(COMPARE["batch"], default="4", help="Sequences of each architecture, λ and seed."),
    "seeds": replace(COMPARE["seeds"], default="1"),
    **{name: COMPARE[name] for name in ("seed", "device", "dtype")},
    "threads": _ONE_THREAD,
    **{name: COMPARE[name] for name in ("format", "out", "resume", "quiet")},
}

GATES = ("gradients", "slope", "weights", "exponent", "radius", "sensitivity")


def _gate(shown: str, value: Any, folder: Path) -> tuple[str, ...]:
    """One or more names of quantities, in the order of ``GATES``."""
    given = [word.strip() for word in values.joined_words(shown, value).split(",")]
    chosen = {values.one_of(shown, word, "quantity to gate", GATES) for word in given}
    return tuple(gate for gate in GATES if gate in chosen)


CASE: dict[str, Setting] = {
    "arch": replace(COMPARE["arch"], default=None),
    "lengths": replace(COMPARE["lengths"], default="10,50,200"),
    "gate": Setting(
        _gate,
        "gradients,slope,weights",
        "A,B,…",
        _WHAT,
        "What is compared: gradients (log10 norms at about 16 steps of each length), slope, weights (log10 norms of "
        "weight gradients), exponent (Lyapunov), radius (spectral), sensitivity.",
    ),
    "tolerance": Setting(
        _positive,
        None,
        "DECADES",
        _WHAT,
        "Differences up to this many decades are no change; at least 0.01 and ten times the measured noise.",
    ),
    "hidden_size": replace(COMPARE["hidden_size"], default="32"),
    "num_layers": COMPARE["num_layers"],
    "input": COMPARE["input"],
    "input_size": replace(COMPARE["input_size"], help="Features of the input: 16, or what the input fixes."),
    "batch": replace(COMPARE["batch"], default="8"),
    "loss": COMPARE["loss"],
    "seeds": replace(COMPARE["seeds"], default="5"),
    "seed": COMPARE["seed"],
}
