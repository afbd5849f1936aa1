"""How many decades count: when a gradient has vanished, and where a dtype loses it."""

import math

VANISHED_DECADES = 2.0  # a gradient so far below its reference has vanished, so far above exploded; a memory is lost

LOG10_2 = math.log10(2)
# log10 of half the smallest subnormal: what is below rounds to zero on the way back.
LOST_BELOW = {"float32": -150 * LOG10_2, "float16": -25 * LOG10_2}
# log10 of half the distance from 1 to the next number: what is below, relative to a sum, leaves the sum as it is.
ABSORBED_BELOW = {"float32": -24 * LOG10_2, "bfloat16": -8 * LOG10_2}
