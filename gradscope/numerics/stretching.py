"""How fast an orthonormal frame is stretched along a trajectory: Q_t R_t = J_t Q_{t−1}."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LONGEST_BLOCK = 32
TARGET_SPREAD = math.log(3e6)  # natural log of R's largest by its smallest diagonal entry that a block aims at
LARGEST_SPREAD = math.log(1e7)  # beyond it, the frame has lost too many digits, and the block is done again in halves
LARGEST_STRETCH = 600.0  # nats of a block, below float64's overflow at 709
UNRESOLVED = math.log(1e-14)  # a stretch so far below the block's largest is rounding

Array = NDArray[np.float64]
Advance = Callable[[int, int, Tensor], Tensor]  # (start, stop, frame) -> J_stop ⋯ J_{start+1} frame


@dataclass(frozen=True)
class Stretching:
    """log R[i, i] of blocks of consecutive steps.

    Attributes:
        log_stretch: ``(blocks, batch, count)`` in nats, float64; −inf for an exact zero.
        stops: Last step of each block.
        unresolved: ``(batch, count)``; True where a stretch was so small that it is rounding, not dynamics.
    """

    log_stretch: Tensor
    stops: tuple[int, ...]
    unresolved: Tensor


def stretching(
    advance: Advance, frame: Tensor, length: int, cuts: Sequence[int] = (), *, every_step: bool = False
) -> Stretching:
    """Stretches a frame along steps 1 … ``length``, orthonormalising it as seldom as it stays well conditioned.

    R of a block is the product of the R of its steps, so the logarithms of its diagonal are the sums; only rounding
    sets a limit, and the number of steps in a block follows from the spread of the diagonal so far.

    Args:
        advance: ``advance(start, stop, frame)`` is J_stop ⋯ J_{start+1} · frame; called for consecutive blocks, and
            again for one that has to be done in halves.
        frame: ``(batch, n, count)`` with orthonormal columns, float64.
        length: How many steps.
        cuts: Steps at which a block must end.
        every_step: Orthonormalise after each step, the slow twin.
    """
    ends = sorted({*cuts, length})
    found: list[Array] = []
    stops: list[int] = []
    done, block = 0, 1
    with np.errstate(divide="ignore", invalid="ignore"):  # log 0, and −inf − (−inf) of a frame that is gone
        while done < length:
            stop = min(done + block, next(end for end in ends if end > done))
            q, r = torch.linalg.qr(advance(done, stop, frame))
            # numpy from here on: a dozen tensor operations a block would cost as much as its QR
            log_r: Array = np.log(np.abs(r.numpy().diagonal(axis1=-2, axis2=-1)))
            highest, lowest = log_r.max(-1), log_r.min(-1)
            spread, stretch = float((highest - lowest).max()), float(max(highest.max(), -lowest.min()))
            if not spread <= LARGEST_SPREAD and stop - done > 1:
                block = (stop - done) // 2
                continue
            found.append(log_r)
            stops.append(stop)
            block = 1 if every_step else _next_block(spread / (stop - done), stretch / (stop - done))
            frame, done = q, stop
    log_stretch = torch.from_numpy(np.stack(found))
    unresolved = (log_stretch < log_stretch.amax(-1, keepdim=True) + UNRESOLVED).any(0)
    return Stretching(log_stretch, tuple(stops), unresolved)


def _next_block(spread: float, stretch: float) -> int:
    """As many steps as keep the frame well conditioned and its numbers in range."""
    if not math.isfinite(spread + stretch):
        return 1
    return max(1, min(LONGEST_BLOCK, int(TARGET_SPREAD / max(spread, 1e-9)), int(LARGEST_STRETCH / max(stretch, 1e-9))))
