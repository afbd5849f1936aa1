"""``gradscope compare``: what it is made of."""

from __future__ import annotations

from gradscope.commands.compare.columns import REQUIRED, TABLES
from gradscope.commands.compare.options import OPTIONS, CompareConfiguration
from gradscope.running.command import MeasuringCommand

_HELP = (
    "Compare how far gradients travel back through time, exactly, at every length.\n\n"
    "One row an architecture: log10 of the gradient norm at the first step relative to the last, decades per step, "
    "horizons, where float32 and float16 lose it, a verdict and what to try. Verdict: vanishing or exploding from "
    "two decades on, saturated for an exact zero. Exit codes: 0 done, 2 wrong use, 4 some cells failed, "
    "130 interrupted."
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
)
