"""The permutation symmetry of hidden units: a model computes the same in whatever order its units are stored.

An architecture declares it by naming the axes of its parameters, as in ``einops``, one name or group a dimension:

    "hidden input"                        W of h = W x
    "(gate hidden) input"                 rows of every gate below each other: gate × hidden, hidden varying fastest
    "hidden (hidden + input)"             W of h' = W [h, x]: columns of h, then columns of x

Every name with a size stands for one permutation, the same wherever the name stands; a name without a size (``gate``)
is left in place, and its size follows from the parameter's shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NAME = re.compile(r"[^\s()+]+")


@dataclass(frozen=True)
class Symmetry:
    """Which axes of a model's parameters and buffers are permuted together.

    Attributes:
        parameters: Name of a parameter or buffer to its axes; those with a single entry can be left out.
        sizes: Size of every axis that is permuted, and of those in ``fixed``.
        inputs: The axis of the model's inputs.
        outputs: The axis of the model's outputs; the same as ``inputs`` where the one is added to the other.
        fixed: Axes with a size that stay in place, such as one that carries positions.

    Example:
        Of h_t = tanh(W x_t + U h_{t−1} + b) the units of h, and the inputs:

        >>> axes = {"W": "hidden input", "U": "hidden hidden", "b": "hidden"}
        >>> Symmetry(axes, {"input": 3, "hidden": 4}).outputs
        'hidden'
    """

    parameters: Mapping[str, str]
    sizes: Mapping[str, int]
    inputs: str = "input"
    outputs: str = "hidden"
    fixed: frozenset[str] = frozenset()

    def placed(self, prefix: str, suffix: str, shared: Mapping[str, str]) -> Symmetry:
        """The same symmetry inside a larger model.

        Args:
            prefix: What the larger model puts before the names of parameters.
            suffix: Appended to the names of axes.
            shared: New names of the axes that it has in common with other parts, which get no suffix.
        """

        def axis(old: str) -> str:
            return shared.get(old, old + suffix)

        return Symmetry(
            {prefix + old: NAME.sub(lambda found: axis(found[0]), axes) for old, axes in self.parameters.items()},
            {axis(old): size for old, size in self.sizes.items()},
            axis(self.inputs),
            axis(self.outputs),
            frozenset(map(axis, self.fixed)),
        )


def joined(parts: Sequence[Symmetry]) -> Symmetry:
    """The symmetry of a model of several parts, from the inputs of the first to the outputs of the last."""
    return Symmetry(
        {name: axes for part in parts for name, axes in part.parameters.items()},
        {axis: size for part in parts for axis, size in part.sizes.items()},
        parts[0].inputs,
        parts[-1].outputs,
        frozenset().union(*(part.fixed for part in parts)),
    )
