"""The thresholds of all verdicts on a gradient, in decades, with their reasons, and where a dtype loses it."""

import math

LOG10_2 = math.log10(2)
# log10 of half the smallest subnormal: what is below rounds to zero on the way back.
LOST_BELOW = {"float32": -150 * LOG10_2, "float16": -25 * LOG10_2}
# log10 of half the distance from 1 to the next number: what is below, relative to a sum, leaves the sum as it is.
ABSORBED_BELOW = {"float32": -24 * LOG10_2, "bfloat16": -8 * LOG10_2}

# A gradient a hundred times as small as at the end is a hundred times as slow to learn from; recall of the first input
# was learned above it and hardly below (benchmarks/trainability.py). A memory is lost by the same measure.
FADED_DECADES = 2.0
EXPLODED_DECADES = 2.0  # as much in the other direction: what clips at the norm of 1 then leaves 1 % of a step
LOST_DECADES = 7.2  # half the distance from 1 to float32's next number: added to the last steps' it changes nothing
# A state that hardly moves: all inputs together move it by less than 10 %, and none of them by more than 0.3 %. Chrono
# initialisation for 1000 steps, which learns, writes 1 % with an input; a residual step of α = 0.002 writes 0.1 %.
FROZEN_TOGETHER, FROZEN_EACH = -1.0, -2.5  # log10, a layer
FROZEN_ALONE = -1.5  # so far below the first of them, nothing more is asked: one frozen layer of a stack is enough
