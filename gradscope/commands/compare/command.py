"""``gradscope compare``: what it is made of."""

from __future__ import annotations

from gradscope.commands.compare.columns import JUDGED_COLUMNS, REQUIRED, TABLES
from gradscope.commands.compare.options import OPTIONS, CompareConfiguration
from gradscope.measurements.verdict import VERDICTS
from gradscope.running.command import MeasuringCommand

_HELP = (
    "Compare how far gradients travel back through time, exactly, at every length.\n\n"
    "One row an architecture: log10 of the gradient norm at the first step relative to the last; of the whole state's "
    "gradient, which is judged, what is dropped at once and what is carried to the first step in decades, decades per "
    "step, the horizon from which on two decades are lost; where float32 and float16 lose it; a forecast of how well "
    "the last output can learn from the first input (higher is better, between models on the same inputs); a verdict, "
    "and what was tried and helps. Over seeds: median [smallest … largest].\n\n"
    f"Verdicts, the first that applies: {'; '.join(f'{word}, {says}' for word, says in VERDICTS.items())}. Over seeds "
    "that differ: mixed, with counts. Under --loss mean every step's error reaches the state directly, and the verdict "
    "is about that gradient, not about the way back from the last step.\n\n"
    "Exit codes: 0 done, 2 wrong use, 4 some cells failed, are not finite or saturated, 130 interrupted."
)
_EPILOG = (
    "Examples: gradscope compare · gradscope compare --arch lstm,rrn,lru --lengths 10..1000 --out results · "
    "gradscope compare --arch lstm:chrono=1000,lstm:forget_bias=0|1 --relative-to lstm:forget_bias=0 · "
    "gradscope compare --arch my_cell.py:MyCell,gru --data series.csv"
)

COMMAND = MeasuringCommand(
    name="compare",
    help=_HELP,
    epilog=_EPILOG,
    options=OPTIONS,
    configuration=CompareConfiguration,
    columns=TABLES,
    required=REQUIRED,
    plan="gradscope.commands.compare.cell:plan_of",
    report="gradscope.commands.compare.table:report_of",
    pictures="gradscope.commands.compare.pictures:pictures_of",
    follow_up="gradscope.commands.compare.trial:trials_after",
    later_columns={"summary": JUDGED_COLUMNS},
)
