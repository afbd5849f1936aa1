"""How well what is measured before training tells which models will learn to recall the first input.

    python benchmarks/trainability.py [--only lstm,lru:r_min=0.99] [--length 100] [--hidden-size 32] [--seeds 2]

The task: x_1 = ±1 in feature 0, white noise in the other feature and at all other steps; a logistic readout of the last
output, drawn from U(±1/√H), tells the sign. Binary cross-entropy, Adam at 3e-3, the gradient's norm clipped at 1, 32
fresh sequences an iteration, 800 iterations, float32. A model has learned where it is right in more than 75 % of the
last 100 iterations and has not below 60 %; what lies between is left out.

Every model is measured before it is trained, on white noise. The area under the receiver operating characteristic is
how often a model that learned was ranked above one that did not; its interval is the bootstrap's over configurations.
Models that share the form of a step, up to weights and plain numbers such as α, are trained side by side, each on its
own loss and with its own clipping.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.fx.experimental.proxy_tensor import make_fx

import gradscope
from gradscope.architectures.catalogue import ARCHITECTURES
from gradscope.contract.combinators import Stack
from gradscope.contract.model import Model
from gradscope.contract.recurrence import Recurrence
from gradscope.measurements.diagnose import Diagnosis

Array = NDArray[np.float64]
Run = tuple[str, int]  # configuration and seed

CONFIGURATIONS = (
    *ARCHITECTURES,
    "residual-rnn:alpha=0.1",
    "residual-rnn:alpha=0.01",
    "rnn:nonlinearity=relu",
    "rrn:inner=tanh",
    "linear-rnn:init=orthogonal",
    "lstm:forget_bias=1",
    "lstm:forget_bias=3",
    "lstm:forget_bias=5",
    "lstm:chrono=100",
    "sc-lstm-i:L=5",
    "skip-rnn:alpha=0.6",
    "lru:r_min=0.9",
    "lru:r_min=0.99",
)
BATCH, LEARNING_RATE, CLIP_NORM, JUDGED = 32, 3e-3, 1.0, 100
LEARNED_ABOVE, NOT_BELOW = 0.75, 0.60
RESAMPLED = 1000


@dataclass(frozen=True)
class Task:
    """Sizes, and how long is trained."""

    length: int
    input_size: int
    hidden_size: int
    num_layers: int
    iterations: int

    def build(self, run: Run, dtype: torch.dtype) -> Model:
        """A model with its initial weights."""
        configuration, seed = run
        name, *given = configuration.split(":")
        options: dict[str, Any] = {
            **ARCHITECTURES[name].parse_options(name, {key: value for key, _, value in map(_split, given)}),
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
        }
        return gradscope.build(name, seed=seed, dtype=dtype, **options)

    def batches(self, seeds: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs ``(models, batch, length, input_size)`` and labels ``(models, batch)``; alike for like seeds."""
        generators = {seed: torch.Generator().manual_seed(seed) for seed in seeds}
        while True:
            drawn = {seed: self._batch(generator) for seed, generator in generators.items()}
            x, label = (torch.stack(parts) for parts in zip(*(drawn[seed] for seed in seeds), strict=True))
            yield x, label

    def _batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.randn(BATCH, self.length, self.input_size, generator=generator)
        label = torch.randint(2, (BATCH,), generator=generator).float()
        x[:, 0, 0] = 2 * label - 1
        return x, label


def _split(text: str) -> tuple[str, str, str]:
    return text.partition("=")


def measured(run: Run, task: Task) -> Diagnosis:
    """At its initial weights, in float64."""
    model = task.build(run, torch.float64)
    x = gradscope.make_inputs(
        "white", batch=BATCH, length=task.length, input_size=task.input_size, seed=run[1], dtype=torch.float64
    )
    return gradscope.diagnose(model, x, seed=run[1], remedies=False)


# Training, side by side.


def kind(model: nn.Module) -> Hashable:
    """What models that are trained side by side have in common: classes, shapes, and options but plain numbers."""
    shapes = tuple((name, value.shape) for name, value in model.state_dict().items())
    options = tuple(
        (type(part), name, value)
        for part in model.modules()
        for name, value in vars(part).items()
        if name != "built_as" and (isinstance(value, int | str) or callable(value))
    )
    return shapes, options


def plain_numbers(module: nn.Module) -> dict[tuple[str, str], float]:
    """Options that a step reads as numbers, by the part's path and their name."""
    parts = dict(module.named_modules())
    return {
        (path, name): value
        for path, part in parts.items()
        for name, value in vars(part).items()
        if isinstance(value, float)
    }


def unrolled(model: Recurrence, x: Tensor) -> Tensor:
    """The outputs step by step: torch's fused kernels do not run several models at once."""
    u = {name: value.unbind(1) for name, value in model.prepare(x).items()}
    s, outputs = model.initial_state(len(x)), []
    for index, t in enumerate(torch.arange(1, x.shape[1] + 1)):
        u_t = {name: values[index] for name, values in u.items()}
        s = model.step(s, u_t, t)
        outputs.append(model.readout(s, u_t))
    return torch.stack(outputs, dim=1)


def trainable(model: Model) -> nn.Module:
    """The model as a module of which torch can run several at once."""
    module = nn.Sequential(*model.layers) if isinstance(model, Stack) else model  # layers may be no modules of a stack
    for part in module.modules():
        if isinstance(part, Recurrence):
            part.forward = partial(unrolled, part)  # type: ignore[method-assign]
    return module


def initial_readout(size: int, seed: int) -> nn.Linear:
    """torch's initialisation from a stream of its own."""
    layer, generator = nn.Linear(size, 1), torch.Generator().manual_seed(1000 + seed)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -1 / math.sqrt(size), 1 / math.sqrt(size), generator=generator)
    return layer


def trained_accuracies(runs: Sequence[Run], task: Task) -> list[float]:
    """Accuracy of every run over the last iterations; all of one kind."""
    models = [trainable(task.build(run, torch.float32)) for run in runs]
    readouts = [initial_readout(task.hidden_size, seed) for _, seed in runs]
    base, numbers = models[0], [plain_numbers(model) for model in models]
    differ = [key for key in numbers[0] if len({each[key] for each in numbers}) > 1]
    options = {key: torch.tensor([each[key] for each in numbers]) for key in differ}
    weights, buffers = stack_module_state(models)
    readout, _ = stack_module_state(readouts)

    def logits(
        weights: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        options: Mapping[tuple[str, str], Tensor],
        readout: Mapping[str, Tensor],
        x: Tensor,
    ) -> Tensor:
        for (path, name), value in options.items():
            setattr(base.get_submodule(path), name, value)
        last: Tensor = functional_call(base, (dict(weights), dict(buffers)), (x,))[:, -1]
        return F.linear(last, readout["weight"], readout["bias"]).squeeze(-1)

    batches = task.batches([seed for _, seed in runs])
    state = (weights, buffers, options, readout)
    with torch.no_grad():  # the activations are then torch's own, and autograd follows the plain trace
        together = make_fx(vmap(logits))(*state, next(batches)[0])
    learned = [*weights.values(), *readout.values()]
    optimizer = torch.optim.Adam(learned, lr=LEARNING_RATE)
    right = []
    for _ in range(task.iterations):
        x, label = next(batches)
        z = together(*state, x)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(z, label, reduction="none").mean(1).sum().backward()
        clip_each([p.grad for p in learned if p.grad is not None])
        optimizer.step()
        right.append(((z.detach() > 0) == (label > 0)).float().mean(1))
    accuracy: list[float] = torch.stack(right[-JUDGED:]).mean(0).tolist()
    return accuracy


def clip_each(gradients: Sequence[Tensor]) -> None:
    """Clips the norm of every model's own gradient; the first axis counts models."""
    norm = torch.stack([g.square().reshape(len(g), -1).sum(1) for g in gradients]).sum(0).sqrt()
    factor = (CLIP_NORM / (norm + 1e-6)).clamp(max=1.0)
    for g in gradients:
        g.mul_(factor.reshape(-1, *[1] * (g.dim() - 1)))


# Comparison.


def area(score: Array, learned: NDArray[np.bool_]) -> float:
    """Share of pairs of a learned and an unlearned run that a score ranks rightly, ties half: Mann and Whitney's."""
    above, below = score[learned][:, None], score[~learned][None, :]
    return float(np.mean((above > below) + 0.5 * (above == below)))


def area_with_interval(score: Array, learned: NDArray[np.bool_], configurations: Sequence[str]) -> str:
    """The area and its 95 % interval under resampling of configurations, whose seeds stay together."""
    names = sorted(set(configurations))
    members = {name: np.flatnonzero(np.array(configurations) == name) for name in names}
    random, areas = np.random.RandomState(0), []
    for _ in range(RESAMPLED):
        drawn = np.concatenate([members[names[index]] for index in random.randint(len(names), size=len(names))])
        if 0 < learned[drawn].sum() < len(drawn):
            areas.append(area(score[drawn], learned[drawn]))
    low, high = np.percentile(areas, [2.5, 97.5])
    return f"{area(score, learned):.3f}  ({low:.2f} to {high:.2f})"


def report(found: Mapping[Run, Diagnosis], accuracies: Mapping[Run, float]) -> None:
    """The table, the areas and the misses."""
    print_table(found, accuracies)
    runs = [run for run in found if not NOT_BELOW <= accuracies[run] <= LEARNED_ABOVE]
    learned = np.array([accuracies[run] > LEARNED_ABOVE for run in runs])
    print(f"\n{learned.sum()} runs learned, {(~learned).sum()} did not, {len(found) - len(runs)} lie between")
    if len(set(learned)) < 2:
        return
    scores = {
        "relative norm": [found[run].longest.log10_relative_norm for run in runs],
        "decades per step": [found[run].decades_per_step for run in runs],
        "robust rate": [found[run].rate_decades_per_step for run in runs],
        "carried decades": [found[run].carried_decades for run in runs],
        "forecast": [found[run].forecast for run in runs],
    }
    print("\narea under the curve")
    for name, score in scores.items():
        ranked = np.nan_to_num(np.array(score), nan=-math.inf, neginf=-math.inf)
        print(f"  {name:18s} {area_with_interval(ranked, learned, [run[0] for run in runs])}")
    misses(runs, np.array(scores["forecast"]), learned)
    for words in (("lost", "cut", "saturated"), ("fading",)):
        wrong = [run for run, yes in zip(runs, learned, strict=True) if yes and found[run].verdict in words]
        shown = ", ".join(f"{name} ({seed})" for name, seed in wrong) or "none"
        print(f"\nlearned although {' or '.join(words)}: {shown}")


def print_table(found: Mapping[Run, Diagnosis], accuracies: Mapping[Run, float]) -> None:
    """One line a run, the best forecast first."""
    print(f"{'configuration':34s} seed  accuracy  learned  verdict    carried decades  forecast")
    for run in sorted(found, key=lambda run: -found[run].forecast):
        row, accuracy = found[run], accuracies[run]
        outcome = "yes" if accuracy > LEARNED_ABOVE else "no" if accuracy < NOT_BELOW else "between"
        print(
            f"{run[0]:34s} {run[1]:4d}  {accuracy:8.3f}  {outcome:7s}  {row.verdict:9s}  "
            f"{row.carried_decades:15.2f}  {row.forecast:8.2f}"
        )


def misses(runs: Sequence[Run], score: Array, learned: NDArray[np.bool_]) -> None:
    """Runs on the wrong side of the threshold that separates best."""
    threshold = max(score, key=lambda value: (((score >= value) == learned).sum(), value))
    print(f"\nmisses of a threshold at {threshold:.2f}, where the fewest are")
    for run, value, yes in zip(runs, score, learned, strict=True):
        if (value >= threshold) != yes:
            print(f"  {run[0]} ({run[1]}): {value:.2f}, {'learned' if yes else 'did not learn'}")


def trained(runs: Sequence[Run], task: Task, jobs: int, kept: Path | None) -> dict[Run, float]:
    """Accuracies of all runs, those of one kind in one process."""
    known: dict[str, float] = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        if _key(run) not in known:
            groups.setdefault(kind(task.build(run, torch.float32)), []).append(run)
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawning, torch.set_num_threads, (1,)) as pool:
        largest_first = sorted(groups.values(), key=len, reverse=True)
        futures = {pool.submit(trained_accuracies, group, task): group for group in largest_first}
        for future in as_completed(futures):
            known |= dict(zip(map(_key, futures[future]), future.result(), strict=True))
            if kept is not None:
                kept.write_text(json.dumps(known, indent=1))
    return {run: known[_key(run)] for run in runs}


def _key(run: Run) -> str:
    return f"{run[0]}|{run[1]}"


def main() -> None:
    """Measures, trains and compares."""
    parser = argparse.ArgumentParser(description="Forecast against learning: recall of the first input.")
    parser.add_argument("--only", default=",".join(CONFIGURATIONS), help="configurations, by comma")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument("--input-size", type=int, default=2)
    parser.add_argument("--hidden-size", type=int, default=32)
    parser.add_argument("--num-layers", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=800)
    parser.add_argument("--jobs", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--keep", type=Path, help="file of accuracies: what it has is not trained again")
    given = parser.parse_args()
    task = Task(given.length, given.input_size, given.hidden_size, given.num_layers, given.iterations)
    runs = [(name, seed) for name in given.only.split(",") for seed in range(given.seeds)]
    start = time.perf_counter()
    found = {run: measured(run, task) for run in runs}
    accuracies = trained(runs, task, given.jobs, given.keep)
    report(found, accuracies)
    print(f"\n{(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
