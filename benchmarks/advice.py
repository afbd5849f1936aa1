"""Whether advice holds: every recommendation over the catalogue, sizes, layers and lengths, applied and judged again.

Prints one line for each architecture and situation where something is wrong: the verdict, what was recommended, and the
verdict of that when it is built and measured anew. The last line counts recommendations that do not hold, of which
there should be none.

    python benchmarks/advice.py
    python benchmarks/advice.py --arch lstm,rrn --lengths 100
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import torch

import gradscope
from gradscope.measurements.advice import Trial
from gradscope.measurements.diagnose import Diagnosis
from gradscope.measurements.verdict import TROUBLES
from gradscope.running.architecture_choice import ArchitectureChoice, parse_architectures

INPUT_SIZE, BATCH = 32, 4


def main() -> None:
    """The table, and how many recommendations fail."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="all")
    parser.add_argument("--hidden-sizes", default="32,128")
    parser.add_argument("--num-layers", default="1,2")
    parser.add_argument("--lengths", default="100,1000")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    sizes, layers, lengths = (
        [int(number) for number in text.split(",")] for text in (given.hidden_sizes, given.num_layers, given.lengths)
    )
    print(f"{'architecture':28s} {'H':>4s} {'layers':>6s} {'T':>5s} seed  {'verdict':10s} recommended, and found again")
    fine = failed = without = 0
    for choice in parse_architectures(given.arch, Path()):
        for size, count, length, seed in itertools.product(sizes, layers, lengths, range(given.seeds)):
            found = _diagnosed(choice, size, count, length, seed, remedies=True)
            if found.verdict not in TROUBLES:
                continue
            helping = [trial for trial in found.trials if trial.helps]
            texts = [_applied(trial, size, count, length, seed) for trial in helping]
            fine += sum(text.endswith("carried") for text in texts)
            failed += sum(not text.endswith("carried") for text in texts)
            without += not helping
            said = "; ".join(texts) or found.advice
            where = f"{choice.label:28s} {size:4d} {count:6d} {length:5d} {seed:4d}"
            print(f"{where}  {found.verdict:10s} {said}", flush=True)
    print(f"{fine} recommendations hold, {failed} do not, {without} times nothing that was tried helped.")


def _diagnosed(
    choice: ArchitectureChoice, size: int, layers: int, length: int, seed: int, *, remedies: bool
) -> Diagnosis:
    options = dict(choice.options)
    model = gradscope.build(
        choice.name, input_size=INPUT_SIZE, hidden_size=size, num_layers=layers, seed=seed, **options
    )
    x = gradscope.make_inputs("white", batch=BATCH, length=length, input_size=INPUT_SIZE, seed=seed)
    return gradscope.diagnose(model, x, seed=seed, remedies=remedies)


def _applied(trial: Trial, size: int, layers: int, length: int, seed: int) -> str:
    (choice,) = parse_architectures(trial.label, Path())
    again = _diagnosed(choice, size, layers, length, seed, remedies=False)
    return f"{trial.label} ({again.carried_decades:+.1f}): {again.verdict}"


if __name__ == "__main__":
    main()
