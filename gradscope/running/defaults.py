"""What holds where the user says nothing, for every option of every command that measures: one table.

Values are in the user's words; None where something else decides, which the option's help says.
"""

from __future__ import annotations

_EVERYWHERE: dict[str, str | None] = {
    "arch": "rnn,lstm,lru",
    "hidden_size": "64",
    "num_layers": "1",
    "match": "hidden",
    "checkpoint": None,
    "input": None,  # white, unless there are data
    "data": None,
    "input_size": None,  # INPUT_SIZE, unless the input or the data fix it
    "batch": "16",
    "loss": "last",
    "seeds": "3",
    "seed": "0",
    "device": "auto",
    "dtype": "float32",
    "threads": "1",  # small products are several times slower on two, and the cores belong to other processes
    "max_memory": "8",
    "format": "table",
    "out": None,
}

DEFAULTS: dict[str, dict[str, str | None]] = {
    "compare": _EVERYWHERE | {"lengths": "10..1000", "relative_to": None, "component": None, "clip_norm": None},
    "spectrum": _EVERYWHERE
    | {
        "length": "200",
        "steps": "every:20",
        "lyapunov": "all",
        "warm_up": "50",
        "leading": None,
        "batch": "1",
        "dtype": "float64",
    },
    "sensitivity": _EVERYWHERE
    | {
        "arch": "lru,lstm,gru",
        "lambda_": "0.9..0.9999",
        "length": "auto",
        "samples": "1024",
        "parametrization": "direct,exp-exp,sigmoid,tanh",
        "normalization": "none,sqrt",
        "gamma": "detached",
        "teacher": "0.99",
        "depth": None,
        "block": "residual",
        "batch": "1",
        "seeds": "4",  # draws of weights, whose scatter is the error of an exponent
    },
    # small models are enough to see a change, and fast; the sizes stand in baselines, so they never change
    "check": _EVERYWHERE
    | {
        "arch": None,
        "lengths": "10,50,200",
        "gate": "gradients,slope,weights",
        "tolerance": None,
        "hidden_size": "32",
        "batch": "8",
        "seeds": "5",
    },
}
INPUT_KIND = "white"
INPUT_SIZE, CASE_INPUT_SIZE = 32, 16  # of commands that measure, and of a check's cases
