"""``gradscope spectrum``: what it is made of."""

from __future__ import annotations

from gradscope.commands.spectrum.columns import JUDGED_COLUMNS, REQUIRED, TABLES
from gradscope.commands.spectrum.options import OPTIONS, SpectrumConfiguration
from gradscope.running.command import MeasuringCommand

_HELP = (
    "Measure why gradients die or survive: the state Jacobian's eigenvalues, singular values, Lyapunov exponents.\n\n"
    "One row an architecture: spectral radius and largest singular value of one step (median over the steps), exp of "
    "the largest and the median Lyapunov exponent (growth a step in the long run), the share of eigenvalues above "
    "0.99, the longest time constant. Verdict, from the largest exponent Λ₁: marginal within two standard errors of 0 "
    "or 1/T, else contracting or expanding; seeds that differ are mixed, with counts. Where what Λ₁ makes of a "
    "gradient over the length has another verdict of gradscope compare than the gradient of the last output, a line "
    "below the table says why.\n\nExit codes: 0 done, 2 wrong use, 4 some cells failed or were not finite, "
    "130 interrupted."
)
_EPILOG = (
    "Examples: gradscope spectrum · gradscope spectrum --arch rnn,lstm,gru,lru --length 200 --out results · "
    "gradscope spectrum --arch sc-lstm-i:alpha=0.2|0.5|1 --lyapunov 4 · "
    "gradscope spectrum --arch my_cell.py:MyCell --steps last · gradscope spectrum --arch transformer,lstm --temporal"
)

COMMAND = MeasuringCommand(
    name="spectrum",
    help=_HELP,
    epilog=_EPILOG,
    options=OPTIONS,
    configuration=SpectrumConfiguration,
    columns=TABLES,
    required=REQUIRED,
    plan="gradscope.commands.spectrum.cell:plan_of",
    report="gradscope.commands.spectrum.table:report_of",
    pictures="gradscope.commands.spectrum.pictures:pictures_of",
    later_columns={"summary": JUDGED_COLUMNS},
)
