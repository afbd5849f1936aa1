"""One linear unit h_{t+1} = λ h_t + x_{t+1} and its tangents dh/dλ, d²h/dλ², run on random inputs.

State, tangents and input are one linear recursion s_{t+1} = M s_t + G e_{t+1} with white noise e, so that many steps
are one product: s_{t+C} = M^C s_t + Σ_j M^{C−j} G e_{t+j}. Nothing is approximated; 100,000 steps are 200 products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gradscope.errors import UsageError
from gradscope.inputs.processes import DrivenInput
from gradscope.numerics.random_streams import random_stream
from gradscope.theory import Autocorrelation, estimate

CHUNK_STEPS = 512
Complex = NDArray[np.complex128]
Real = NDArray[np.float64]


@dataclass(frozen=True)
class ScalarLaw:
    """h_T and its derivatives with respect to λ, sample by sample, without input normalisation.

    Attributes:
        lambdas: The values of λ, complex.
        process: Autocorrelation of what drove them.
        length: T.
        state: h_T, ``(lambdas, samples)`` complex.
        tangent: dh_T/dλ, shaped alike.
        second_tangent: d²h_T/dλ², shaped alike.
        features: How many samples in a row are features of one window of data.
        blocks: Runs of windows, or samples, that are independent of each other.
    """

    lambdas: Complex
    process: Autocorrelation
    length: int
    state: Complex
    tangent: Complex
    second_tangent: Complex
    features: int
    blocks: int


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
        >>> from gradscope.inputs.processes import driven_input
        >>> law = scalar_law([0.5], driven_input("white"), length=50, samples=20000)
        >>> round(float((abs(law.state) ** 2).mean()), 1)  # 1/(1 − λ²)
        1.3
    """
    values = np.asarray(list(lambdas), dtype=np.complex128)
    if len(values) == 0 or not (np.abs(values) < 1).all() or length < 1 or samples < 2:
        raise UsageError("The scalar law needs values of |λ| below 1, at least one step and two samples.")
    random, systems = random_stream("inputs", seed), _Systems(values, driver)
    done = 0
    while done < length:
        steps = min(CHUNK_STEPS, length - done)
        systems.advance(random.standard_normal((steps, len(driver.rhos), samples)))
        done += steps
    state, tangent, second_tangent = systems.state[:, 0], systems.state[:, 1], systems.state[:, 2]
    process = Autocorrelation(driver.weights, driver.rhos)
    return ScalarLaw(values, process, length, state, tangent, second_tangent, features=1, blocks=samples)


def scalar_law_of_data(lambdas: Sequence[complex], x: Real, *, length: int, samples: int = 1024) -> ScalarLaw:
    """The same recursion driven by real data, every feature of every window by itself.

    Args:
        lambdas: With modulus below 1.
        x: ``(sequences, time, features)``.
        length: T, steps of a window.
        samples: Windows at most, evenly spread over the data; they overlap where the data are short.

    Returns:
        Samples are windows and, in a row, their features; blocks are as many windows as fit beside each other. The
        autocorrelation is estimated from all the data.

    Raises:
        UsageError: |λ| is not below 1, or the data have no window of this length.

    Cost:
        O(T · samples · lambdas), one product.
    """
    values = np.asarray(list(lambdas), dtype=np.complex128)
    sequences, time, features = x.shape
    starts = time - length + 1  # of each sequence
    if len(values) == 0 or not (np.abs(values) < 1).all() or length < 1 or starts < 1:
        raise UsageError(
            f"The scalar law needs values of |λ| below 1 and data of {length} steps or more, not of {time}."
        )
    places = np.unique(np.linspace(0, sequences * starts - 1, samples).round().astype(int))
    which, start = np.divmod(places, starts)
    windows = np.stack([x[w, s : s + length] for w, s in zip(which, start, strict=True)], axis=1)
    age = np.arange(length - 1, -1, -1.0)  # of each input at the last step
    found = [_impulse_responses(value, age) @ windows.reshape(length, -1) for value in values]
    state, tangent, second = np.stack(found, axis=1)
    blocks = min(len(places), sequences * (time // length))
    process = estimate(x, length - 1)
    return ScalarLaw(values, process, length, state, tangent, second, features=features, blocks=blocks)


def _impulse_responses(value: complex, age: Real) -> Complex:
    """λ^n and its first and second derivative, ``(3, length)``."""
    orders = [np.ones_like(age), age, age * (age - 1)]
    return np.stack([order * value ** np.maximum(age - k, 0) for k, order in enumerate(orders)])


class _Systems:
    """s = (h, h', h'', x_1, x_2, …) with the input's processes x_k: s_{t+1} = M s_t + G e, for every λ."""

    def __init__(self, values: Complex, driver: DrivenInput) -> None:
        processes = len(driver.rhos)
        size = 3 + processes
        self.state: Complex = np.zeros((len(values), size, 0), dtype=np.complex128)
        self._matrix = np.zeros((len(values), size, size), dtype=np.complex128)
        self._matrix[:, 0, 0] = self._matrix[:, 1, 1] = self._matrix[:, 2, 2] = values
        self._matrix[:, 1, 0], self._matrix[:, 2, 1] = 1.0, 2.0
        self._gain: Real = np.zeros((size, processes))
        self._first_gain = np.zeros_like(self._gain)
        for k, (weight, rho) in enumerate(zip(driver.weights, driver.rhos, strict=True)):
            self._matrix[:, 3 + k, 3 + k] = self._matrix[:, 0, 3 + k] = rho
            self._gain[3 + k, k] = self._gain[0, k] = math.sqrt(weight * (1 - rho * rho))
            self._first_gain[3 + k, k] = self._first_gain[0, k] = math.sqrt(weight)  # stationary from the first step
        self._kernels: dict[int, tuple[Complex, Complex]] = {}

    def advance(self, drawn: Real) -> None:
        """Many steps at once, from noise ``(steps, processes, samples)``."""
        if self.state.shape[-1] == 0:
            first = self._first_gain @ drawn[0]
            self.state = np.repeat(first[None], len(self._matrix), axis=0).astype(np.complex128)
            drawn = drawn[1:]
        if len(drawn):
            power, kernel = self._kernel(len(drawn))
            self.state = power @ self.state + _product(kernel, drawn.reshape(-1, drawn.shape[-1]))

    def _kernel(self, steps: int) -> tuple[Complex, Complex]:
        """M^steps, and M^{steps−1−j} G for j = 0 … steps − 1 side by side."""
        if steps not in self._kernels:
            lambdas, size, _ = self._matrix.shape
            columns = np.zeros((steps, lambdas, *self._gain.shape), dtype=np.complex128)
            columns[-1] = self._gain
            for j in range(steps - 2, -1, -1):
                columns[j] = self._matrix @ columns[j + 1]
            power = np.linalg.matrix_power(self._matrix, steps)
            self._kernels[steps] = power, columns.transpose(1, 2, 0, 3).reshape(lambdas, size, -1)
        return self._kernels[steps]


def _product(kernel: Complex, noise: Real) -> Complex:
    """``(lambdas, size, n)`` times real ``(n, samples)``, in real arithmetic and one pass over the noise.

    By torch, which keeps to the number of threads that it was told.
    """
    rows = kernel.reshape(-1, kernel.shape[-1])
    parts = [rows.real, rows.imag] if rows.imag.any() else [rows.real]
    product = torch.from_numpy(np.concatenate(parts)) @ torch.from_numpy(noise)
    re, *im = product.numpy().reshape(len(parts), *kernel.shape[:2], -1)
    combined: Complex = re + 1j * (im[0] if im else 0)
    return combined
