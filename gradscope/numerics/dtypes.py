"""Where a dtype loses a gradient: on its way back, and in the sum that updates a weight."""

import math

LOG10_2 = math.log10(2)
# log10 of half the smallest subnormal: what is below rounds to zero.
LOST_BELOW = {"float32": -150 * LOG10_2, "float16": -25 * LOG10_2}
# log10 of half the distance from 1 to the next number: what is below, relative to a sum, leaves the sum as it is.
ABSORBED_BELOW = {"float32": -24 * LOG10_2, "bfloat16": -8 * LOG10_2}
