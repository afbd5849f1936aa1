"""``gradscope sensitivity``: what it is made of."""

from __future__ import annotations

from gradscope.commands.sensitivity.columns import LATER, REQUIRED, TABLES
from gradscope.commands.sensitivity.options import OPTIONS, SensitivityConfiguration
from gradscope.running.command import MeasuringCommand

_HELP = (
    "Measure the curse of memory: how the state's sensitivity to the recurrence grows as |λ| approaches 1.\n\n"
    "The scalar law for every parametrisation and normalisation, beside exact theory, and architectures swept over "
    "their memory dial: the median of a gate, the spectral radius of a recurrent matrix. Exponents are slopes of log E "
    "against log(1 − |λ|) where sequences are long enough, 4.2 time constants; an architecture's is the mean over "
    "draws of weights (--seeds), its error their scatter, two of which cover 95 %.\n\n"
    "Verdicts: cursed, E|dh/dω|² grows with an exponent of −2.5 or below; mitigated, −0.5 or above; softened, between; "
    "unknown, a border lies within two errors, or the reason in brackets: one draw of weights, sequences too short; "
    "no power law, local slopes differ by more than half beyond their errors (at most one false alarm in twenty), and "
    "are given instead of an exponent; exploding, powers are not finite or |h| grows a thousandfold over the second "
    "half of a sequence.\n\n"
    "Exit codes: 0 done, 2 wrong use, 4 some cells failed or are not finite, 130 interrupted."
)
_EPILOG = (
    "Examples: gradscope sensitivity · gradscope sensitivity --arch lru,lstm --lambda 0.9..0.9999 --out results · "
    "gradscope sensitivity --input ar1:rho=0.9 --parametrization direct,exp-exp,polar --normalization none,sqrt · "
    "gradscope sensitivity --depth 4 --hessian --landscape --out results"
)

COMMAND = MeasuringCommand(
    name="sensitivity",
    help=_HELP,
    epilog=_EPILOG,
    options=OPTIONS,
    configuration=SensitivityConfiguration,
    columns=TABLES,
    required=REQUIRED,
    plan="gradscope.commands.sensitivity.plan:plan_of",
    report="gradscope.commands.sensitivity.report:report_of",
    pictures="gradscope.commands.sensitivity.pictures:pictures_of",
    later_columns=LATER,
)
