"""How long sensitivities take against what one would write with numpy and torch: ratios in one process, one thread.

    python benchmarks/sensitivity.py

The loop is the scalar law step by step, all λ and samples at once; autograd takes two backward passes a sample.
"""

from __future__ import annotations

import numpy as np
import torch
from timing import seconds

import gradscope
from gradscope.experiments.scalar_law import scalar_law
from gradscope.inputs.processes import driven_input

LAMBDAS, STEPS, SAMPLES = (0.9, 0.968, 0.99, 0.997, 0.999), 10_000, 256
BATCH, LENGTH, HIDDEN = 4, 200, 32


def looped() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """h, h' and h'' step by step, on noise that is drawn in the same pieces."""
    random, value = np.random.RandomState(0), np.array(LAMBDAS)[:, None]
    h = first = second = np.zeros((len(LAMBDAS), SAMPLES))
    for _ in range(STEPS):
        h, first, second = (
            value * h + random.standard_normal(SAMPLES),
            value * first + h,
            value * second + 2 * first,
        )
    return np.stack([h, first, second])


def architectures(name: str) -> None:
    """One probe of the state and the gradient of one loss, of every sample, by group of parameters."""
    model = gradscope.build(name, input_size=8, hidden_size=HIDDEN, dtype=torch.float64)
    x = gradscope.make_inputs("white", batch=BATCH, length=LENGTH, input_size=8, dtype=torch.float64)

    def two_backward_passes_a_sample() -> None:
        for sample in x:
            output = model(sample.unsqueeze(0))[0, -1]
            for _ in range(2):
                torch.autograd.grad(output.sum(), list(model.parameters()), retain_graph=True, allow_unused=True)

    took = seconds(lambda: gradscope.memory_sensitivity(model, x, probes=1))
    print(f"{name}: {seconds(two_backward_passes_a_sample, 3) / took:.1f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    mine = seconds(lambda: scalar_law(LAMBDAS, driven_input("white"), length=STEPS, samples=SAMPLES))
    print(f"scalar law, {len(LAMBDAS)} λ, T={STEPS}, {SAMPLES} samples: times faster than a loop")
    print(f"{seconds(looped, 3) / mine:.1f}\n")
    print(
        f"memory_sensitivity, batch {BATCH}, T={LENGTH}, hidden {HIDDEN}: times faster than autograd, sample by sample"
    )
    for name in ("rnn", "lstm", "gru", "lru", "min-gru"):
        architectures(name)
