"""One linear unit h_{t+1} = λ h_t + x_{t+1} and its tangents dh/dλ, d²h/dλ², run on random inputs.

State, tangents and input are one linear recursion s_{t+1} = M s_t + G e_{t+1} with white noise e, so that many steps
are one product: s_{t+C} = M^C s_t + Σ_j M^{C−j} G e_{t+j}. Nothing is approximated; 100,000 steps are 200 products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradscope.contract.random_streams import random_stream
from gradscope.errors import UsageError
from gradscope.inputs.driven import DrivenInput

CHUNK_STEPS = 512
Complex = NDArray[np.complex128]
Real = NDArray[np.float64]


@dataclass(frozen=True)
class ScalarLaw:
    """h_T and its derivatives with respect to λ, sample by sample, without input normalisation.

    Attributes:
        lambdas: The values of λ, complex.
        driver: What drove them.
        length: T.
        state: h_T, ``(lambdas, samples)`` complex.
        tangent: dh_T/dλ, shaped alike.
        second_tangent: d²h_T/dλ², shaped alike.
    """

    lambdas: Complex
    driver: DrivenInput
    length: int
    state: Complex
    tangent: Complex
    second_tangent: Complex


def scalar_law(
    lambdas: Sequence[complex], driver: DrivenInput, *, length: int, samples: int = 1024, seed: int = 0
) -> ScalarLaw:
    """Runs the recursion for several λ at once, all on the same inputs.

    Args:
        lambdas: With modulus below 1.
        driver: The process that drives it, variance the sum of its weights.
        length: T; h_0 = 0 and h_T has seen T inputs.
        samples: Independent sequences.
        seed: Of the stream ``inputs``.

    Raises:
        UsageError: |λ| is not below 1, or nothing to run.

    Cost:
        O(T · samples · lambdas) multiplications in products of 512 steps; drawing the noise takes most of the time.

    Example:
        >>> from gradscope.inputs.driven import driven_input
        >>> law = scalar_law([0.5], driven_input("white"), length=50, samples=20000)
        >>> round(float((abs(law.state) ** 2).mean()), 1)  # 1/(1 − λ²)
        1.3
    """
    values = np.asarray(list(lambdas), dtype=np.complex128)
    if len(values) == 0 or not (np.abs(values) < 1).all() or length < 1 or samples < 2:
        raise UsageError("The scalar law needs values of |λ| below 1, at least one step and two samples.")
    random = random_stream("inputs", seed)
    systems = [_System(value, driver) for value in values]
    noise = len(driver.rhos)
    state = np.zeros((len(values), 3 + noise, samples), dtype=np.complex128)
    done = 0
    while done < length:
        steps = min(CHUNK_STEPS, length - done)
        drawn = random.standard_normal((steps, noise, samples))
        for index, system in enumerate(systems):
            state[index] = system.advance(state[index], drawn, is_first=done == 0)
        done += steps
    return ScalarLaw(values, driver, length, state[:, 0], state[:, 1], state[:, 2])


class _System:
    """s = (h, h', h'', x_1, x_2, …) with the input's processes x_k: s_{t+1} = M s_t + G e."""

    def __init__(self, value: complex, driver: DrivenInput) -> None:
        size = 3 + len(driver.rhos)
        self.matrix = np.zeros((size, size), dtype=np.complex128)
        self.matrix[0, 0] = self.matrix[1, 1] = self.matrix[2, 2] = value
        self.matrix[1, 0], self.matrix[2, 1] = 1.0, 2.0
        self.gain = np.zeros((size, len(driver.rhos)), dtype=np.complex128)
        self.first_gain = np.zeros_like(self.gain)
        for k, (weight, rho) in enumerate(zip(driver.weights, driver.rhos, strict=True)):
            innovation = math.sqrt(weight * (1 - rho * rho))
            self.matrix[3 + k, 3 + k] = rho
            self.matrix[0, 3 + k] = rho
            self.gain[3 + k, k] = self.gain[0, k] = innovation
            self.first_gain[3 + k, k] = self.first_gain[0, k] = math.sqrt(weight)  # stationary from the first step
        self._kernels: dict[int, tuple[Complex, Complex]] = {}

    def advance(self, state: Complex, drawn: Real, *, is_first: bool) -> Complex:
        """Many steps at once, on ``(size, samples)``, from noise ``(steps, processes, samples)``."""
        if is_first:
            state = self.first_gain @ drawn[0]
            drawn = drawn[1:]
        if len(drawn) == 0:
            return state
        power, kernel = self._kernel(len(drawn))
        return power @ state + kernel @ drawn.reshape(-1, drawn.shape[-1])

    def _kernel(self, steps: int) -> tuple[Complex, Complex]:
        """M^steps, and M^{steps−1−j} G for j = 0 … steps − 1 side by side."""
        if steps not in self._kernels:
            columns = np.zeros((steps, *self.gain.shape), dtype=np.complex128)
            columns[-1] = self.gain
            for j in range(steps - 2, -1, -1):
                columns[j] = self.matrix @ columns[j + 1]
            power = np.linalg.matrix_power(self.matrix, steps)
            self._kernels[steps] = power, columns.transpose(1, 0, 2).reshape(len(self.matrix), -1)
        return self._kernels[steps]
