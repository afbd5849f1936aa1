"""How often a regression check cries wolf, and which small changes it sees.

    python benchmarks/regression.py [--python OTHER/bin/python …]

False alarms: every case is measured again under conditions that must not matter (threads, order of samples, order of
hidden units and so of all sums, scalar kernels, another interpreter with another torch) and compared with a first
measurement. Detections: an LSTM with a small change against the same one without, for several sets of five seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lstm_cell import LSTMCell
from torch import Tensor

import gradscope
from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.commands.check.compare_case import compare_case
from gradscope.commands.check.measure import measure_model
from gradscope.commands.check.measured_case import plain_case, read_case
from gradscope.commands.check.rounding_probes import Permuted, permute_units
from gradscope.commands.check.subject import Subject, measure_subject
from gradscope.contract.model import Model
from gradscope.measurements.losses import Loss, ReorderedLoss
from gradscope.numerics.random_streams import random_stream
from gradscope.running.definitions import InputDefinition
from gradscope.running.input_choice import InputChoice

LENGTHS, SEEDS, BATCH, INPUT, HIDDEN = (10, 50, 200), 5, 8, 16, 32
GATE = ("gradients", "slope", "weights")
SEED_SETS = 8
CHAOTIC_GAIN = 3.0


@dataclass(frozen=True)
class Condition:
    """What must not matter."""

    name: str
    threads: int = 1
    samples: int = 0  # seed of an order of the samples; 0 leaves them
    units: int = 0  # seed of an order of the hidden units
    scalar_kernels: bool = False


CONDITIONS = (
    Condition("run again"),
    Condition("2 threads", threads=2),
    *(Condition(f"samples in another order, {seed}", samples=seed) for seed in (1, 2)),
    *(Condition(f"units in another order, {seed}", units=seed) for seed in (101, 102, 103)),
    Condition("scalar kernels", scalar_kernels=True),
    Condition("scalar kernels, 2 threads", threads=2, scalar_kernels=True),
    Condition("scalar kernels, samples in another order", samples=3, scalar_kernels=True),
    Condition("scalar kernels, units in another order", units=104, scalar_kernels=True),
    Condition("2 threads, all in another order", threads=2, samples=4, units=105),
)


def chaotic(seed: int) -> Model:
    """A tanh RNN deep in chaos, hardly driven by its input."""
    model = gradscope.build("rnn", input_size=INPUT, hidden_size=64, seed=seed, dtype=torch.float64)
    gaussian = torch.from_numpy(random_stream("weights", seed).standard_normal((64, 64)))
    with torch.no_grad():
        model.weight_hh_l0.copy_(CHAOTIC_GAIN / 8 * gaussian)
    return model


def makers() -> dict[str, Callable[[int], Model]]:
    """Every architecture of the catalogue, two settings of the LSTM, and a chaotic network."""

    def catalogue(name: str, **options: Any) -> Callable[[int], Model]:
        sizes = {"input_size": INPUT, "hidden_size": HIDDEN}
        return lambda seed: gradscope.build(name, seed=seed, dtype=torch.float64, **sizes, **options)

    found = {name: catalogue(name) for name in ARCHITECTURES}
    found |= {
        "lstm, forget bias 1": catalogue("lstm", forget_bias=1.0),
        "gru, 2 layers": catalogue("gru", num_layers=2),
    }
    return found | {"chaotic rnn, gain 3": chaotic}


@dataclass(frozen=True, kw_only=True)
class Reordered(Subject):
    """The same subject with samples and units in another order; targets follow.

    Attributes:
        samples: Order of the samples; None leaves them.
        orders: Seed to the model with its units in another order; ``make`` puts them in.
    """

    samples: Tensor | None
    orders: dict[int, Permuted]

    def inputs(self, length: int, seed: int) -> Tensor:
        """The same inputs, samples and features in their order."""
        x = super().inputs(length, seed)
        x = x if self.samples is None else x[self.samples]
        return x[..., self.orders[seed].inputs] if seed in self.orders else x

    def loss_of(self, seed: int) -> Loss:
        """The same loss, targets in the order of the samples and of the outputs."""

        def last(outputs: Tensor) -> Tensor:
            target = torch.from_numpy(random_stream("targets", seed).standard_normal((BATCH, outputs.shape[-1])))
            return 0.5 * (outputs[:, -1] - target[self.samples]).square().sum(-1)

        loss: Loss = self.loss if self.samples is None else last
        return ReorderedLoss(loss, self.orders[seed].outputs) if seed in self.orders else loss


def reordered(make: Callable[[int], Model], condition: Condition) -> Reordered:
    """What is measured under a condition."""
    orders: dict[int, Permuted] = {}

    def permuted(seed: int) -> Model:
        model = make(seed)
        found = permute_units(model, condition.units + seed) if condition.units else None
        if found is None:
            return model
        orders[seed] = found
        return found.model

    order = random_stream("probes", condition.samples).permutation(BATCH)
    return Reordered(
        make=permuted,
        lengths=LENGTHS,
        gate=GATE,
        input=InputDefinition(InputChoice("white"), INPUT, BATCH),
        loss="last",
        samples=torch.from_numpy(order) if condition.samples else None,
        orders=orders,
    )


def measure(condition: Condition, file: Path) -> None:
    """Every case under one condition, in this process."""
    torch.set_num_threads(condition.threads)
    found = {
        name: plain_case(measure_subject(name, reordered(make, condition), range(SEEDS), {}, is_own=True))
        for name, make in makers().items()
    }
    file.write_text(json.dumps(found), encoding="utf-8")


def measured(condition: int, python: str, folder: Path) -> dict[str, Any]:
    """The same in a process of its own."""
    file = folder / "numbers.json"
    scalar = CONDITIONS[condition].scalar_kernels
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "OMP_NUM_THREADS": "2"}
    environment |= {"ATEN_CPU_CAPABILITY": "default"} if scalar else {}
    command = [python, __file__, "--condition", str(condition), "--file", str(file)]
    subprocess.run(command, env=environment, check=True)
    return {name: read_case(name, plain, python) for name, plain in json.loads(file.read_text("utf-8")).items()}


def false_alarms(pythons: list[str]) -> None:
    """One line a condition: cases compared, alarms, and how far the quiet and the noisy ones moved."""
    here = sys.executable
    runs = [(index, here, condition.name) for index, condition in enumerate(CONDITIONS)]
    runs += [(0, python, f"torch of {python}") for python in pythons]
    print(f"{'condition':44s} cases  alarms  incomparable  largest shift: tight   robust")
    total = alarms = 0
    with tempfile.TemporaryDirectory() as folder:
        first = measured(0, here, Path(folder))
        for index, python, name in runs:
            again = measured(index, python, Path(folder))
            verdicts = [compare_case(first[case], again[case]) for case in first]
            tight, robust = (
                max((abs(s.shift_decades) for v in verdicts for s in v.statistics if s.tier == tier), default=0.0)
                for tier in ("tight", "robust")
            )
            changed = [v for v in verdicts if v.outcome == "changed"]
            other = sum(v.outcome in ("incomparable", "failed") for v in verdicts)
            print(f"{name:44s} {len(verdicts):5d}  {len(changed):6d}  {other:12d}  {tight:20.1e}  {robust:7.1e}")
            for verdict in changed:
                print(f"    {verdict.sentence}")
            total, alarms = total + len(verdicts), alarms + len(changed)
    print(f"{total} re-runs, {alarms} false alarms\n")


CHANGES: dict[str, dict[str, Any]] = {
    "none": {},
    "forget bias 1 → 0.99": {"forget_bias": 0.99},
    "initial gain × 1.01": {"gain": 1.01},
    "cell output (h and c) × 0.999": {"output_scale": 0.999},
    "sign of the input gate's bias": {"flipped_gate": 0},
    "sign of the candidate's bias": {"flipped_gate": 2},
    "sign of the output gate's bias": {"flipped_gate": 3},
}


def detections() -> None:
    """One line a change and length: in how many sets of five seeds it was seen."""
    print(f"{'change':32s}    T  detected  largest shift, smallest to largest over the sets")
    for length in (50, 200):
        bases = []
        for name, change in CHANGES.items():
            seen, shifts = 0, []
            for index in range(SEED_SETS):
                seeds = range(SEEDS * index, SEEDS * (index + 1))
                new = measure_model(lambda seed, c=change: LSTMCell(**c), name=name, lengths=[length], seeds=seeds)
                bases += [new] if not change else []
                verdict = compare_case(bases[index], new)
                seen += verdict.outcome == "changed"
                shifts.append(abs(verdict.decisive.shift_decades) if verdict.decisive else 0.0)
            print(f"{name:32s} {length:4d}  {seen:3d} / {SEED_SETS}  {min(shifts):.4f} to {max(shifts):.4f}")


def main() -> None:
    """Prints both tables, or measures one condition into a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", default=[], help="another interpreter, with another torch")
    parser.add_argument("--condition", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.file is not None:
        measure(CONDITIONS[given.condition], given.file)
        return
    false_alarms(given.python)
    detections()


if __name__ == "__main__":
    main()
