"""The options that several commands share; each command's own table picks from them and adds its own."""

from __future__ import annotations

from dataclasses import replace

from gradscope.inputs.catalogue import INPUTS
from gradscope.measurements.loss_names import LOSSES
from gradscope.running import values
from gradscope.running.architecture_choice import parse_architectures
from gradscope.running.defaults import INPUT_KIND, INPUT_SIZE
from gradscope.running.input_choice import parse_input
from gradscope.running.lengths import parse_lengths
from gradscope.running.setting import Setting, one_of, without_folder

MATCHES = ("hidden", "parameters", "state")
DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("float32", "float64")
FORMATS = ("table", "json", "csv", "markdown")

WHAT, MODEL, INPUT, MEASURE, WHERE, RESULT = "What to measure", "Models", "Input", "Measurement", "Run", "Results"
COUNT, SEED = without_folder(values.whole_number), without_folder(values.seed_number)
POSITIVE, WORD, FLAG = (without_folder(read) for read in (values.positive_number, values.word, values.yes_or_no))

SHARED: dict[str, Setting] = {
    "arch": Setting(
        lambda shown, value, folder: parse_architectures(values.joined_words(shown, value), folder),
        "A,B,…",
        WHAT,
        "Architectures, with options: lstm:forget_bias=1, a sweep sc-lstm-p:L=10|20|50, label=NAME; 'all' or a family; "
        "path/to/file.py:ClassName or package.module:ClassName for your own. See: gradscope list.",
    ),
    "lengths": Setting(
        lambda shown, value, folder: parse_lengths(shown, values.joined_words(shown, value)),
        "SPEC",
        WHAT,
        "Sequence lengths: 10,100,1000; 10..1000 is the series 10, 20, 50, 100, …; 10..1000:12 is 12 log-spaced ones.",
    ),
    "hidden_size": Setting(COUNT, "N", MODEL, "Hidden units of each layer."),
    "num_layers": Setting(COUNT, "N", MODEL, "Layers stacked on each other."),
    "match": Setting(
        one_of("match", MATCHES),
        "|".join(MATCHES),
        MODEL,
        "What the models have in common: the hidden size, or the number of parameters or the state size of the first "
        "one at --hidden-size.",
    ),
    "checkpoint": Setting(values.path, "FILE", MODEL, "state_dict of a trained model (one architecture only)."),
    "input": Setting(
        without_folder(lambda shown, value: parse_input(values.word(shown, value))),
        "KIND",
        INPUT,
        f"{', '.join(INPUTS)}, with options: ar1:rho=0.9; {INPUT_KIND} when nothing is given. See: gradscope list.",
    ),
    "data": Setting(values.path, "FILE", INPUT, "Real input from .npy, .npz, .csv or .parquet instead."),
    "input_size": Setting(
        COUNT, "N", INPUT, f"Features of the input: {INPUT_SIZE}, or what the input or the data fix."
    ),
    "batch": Setting(COUNT, "N", INPUT, "Sequences per measurement."),
    "loss": Setting(
        one_of("loss", LOSSES), "|".join(LOSSES), MEASURE, "Squared error at the last step or at every step."
    ),
    "seeds": Setting(COUNT, "N", MEASURE, "How many seeds."),
    "seed": Setting(SEED, "FIRST", MEASURE, "The first seed."),
    "device": Setting(one_of("device", DEVICES), "|".join(DEVICES), WHERE, "auto picks cuda where there is one."),
    "dtype": Setting(one_of("dtype", DTYPES), "|".join(DTYPES), WHERE, "Precision of the model."),
    "threads": Setting(COUNT, "N", WHERE, "Threads that torch may use; small matrices are slower on more than one."),
    "max_memory": Setting(POSITIVE, "GIB", WHERE, "Refuse models that need more memory than this."),
    "format": Setting(one_of("format", FORMATS), "|".join(FORMATS), RESULT, "What is printed on stdout."),
    "out": Setting(values.path, "DIR", RESULT, "Write data files, run.json and plots here."),
    "every_step": Setting(FLAG, "", RESULT, "Every step in gradients.csv, not about 64 lags per length."),
    "resume": Setting(FLAG, "", RESULT, "Go on from what an interrupted run left in --out."),
    "quiet": Setting(FLAG, "", RESULT, "No progress and no messages on stderr."),
}


def shared(*names: str) -> dict[str, Setting]:
    """Some of them, in this order."""
    return {name: SHARED[name] for name in names}


def shared_with_help(name: str, text: str) -> dict[str, Setting]:
    """One of them with another help text."""
    return {name: replace(SHARED[name], help=text)}
