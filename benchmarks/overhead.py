"""How long gradscope takes against torch alone: ratios of things timed alternately in one process, one thread.

    python benchmarks/overhead.py

A plain pass is one forward and backward pass of ``torch.nn``; a loop is what one writes by hand, every h_t kept with
``retain_grad()``. Ratios are medians of pairs with their range; they hold for the CPU capability that is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from timing import Ratio, ratio
from torch import Tensor, nn

import gradscope

sys.path.insert(0, str(Path(__file__).parent.parent / "sample_configs"))
from own_cell import CoupledLSTMCell

LENGTH, BATCH, HIDDEN, INPUT = 1000, 16, 64, 32
SWEEP = [10, 20, 50, 100, 200, 500, 1000]
FUSED: dict[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
OWN: Sequence[tuple[type[nn.Module], int]] = (
    (CoupledLSTMCell, 2),
    (nn.GRUCell, 1),
    (nn.LSTMCell, 2),
    (nn.RNNCell, 1),
)


def measured(
    model: nn.Module, x: Tensor, lengths: list[int], components: list[str] | None, *, weights: bool
) -> Callable[[], object]:
    """A measurement to be timed."""
    return lambda: gradscope.gradient_norms(model, x, lengths, components=components, weight_gradients=weights)


def plain_passes(net: nn.RNNBase, x: Tensor, lengths: list[int]) -> None:
    """Forward and backward with a loss of the last output, length by length."""
    for length in lengths:
        net.zero_grad()
        net(x[:, :length])[0][:, -1].square().sum().backward()


def fused_row(name: str, x: Tensor) -> str:
    """One line for a cell that torch has a kernel for, against plain passes of the same lengths."""
    model = gradscope.build(name, input_size=INPUT, hidden_size=HIDDEN)
    net = FUSED[name](INPUT, HIDDEN, batch_first=True)
    state = "c" if name == "lstm" else "h"
    asked: list[tuple[list[int], list[str] | None, bool, int]] = [
        ([LENGTH], ["h"], False, 9),
        (SWEEP, ["h"], False, 5),
        ([LENGTH], [state], False, 5),
        ([LENGTH], ["x"], False, 5),
        ([LENGTH], ["h"], True, 5),
        ([LENGTH], None, True, 5),
    ]
    cells = [
        ratio(measured(model, x, lengths, names, weights=weights), lambda: plain_passes(net, x, lengths), pairs)  # noqa: B023
        for lengths, names, weights, pairs in asked
    ]
    return f"| {name} | " + " | ".join(map(str, cells)) + " |"


def loop_over_cell(cell: nn.Module, blocks: int, x: Tensor) -> list[Tensor]:
    """A user's cell called step by step, the first part of its state kept."""
    zeros = tuple(x.new_zeros(len(x), HIDDEN) for _ in range(blocks))
    state: object = zeros if blocks > 1 else zeros[0]
    kept: list[Tensor] = []
    for x_t in x.unbind(1):
        state = cell(x_t, state)
        h: Tensor = state[0] if isinstance(state, tuple) else state  # type: ignore[assignment]
        h.retain_grad()
        kept.append(h)
    kept[-1].square().sum().backward()
    return [h.grad.norm() for h in kept if h.grad is not None]


def loop_over_model(model: gradscope.Recurrence, x: Tensor) -> list[Tensor]:
    """The same of a recurrence with gradscope's contract."""
    u, s, kept = model.prepare(x), model.initial_state(len(x)), []
    primary = model.primary_component
    for index in range(x.shape[1]):
        s = model.step(s, {name: value[:, index] for name, value in u.items()}, torch.tensor(index + 1))
        s[primary].retain_grad()
        kept.append(s[primary])
    model.readout(s, {name: value[:, -1] for name, value in u.items()}).square().sum().backward()
    return [h.grad.norm() for h in kept if h.grad is not None]


def own_row(cell_class: type[nn.Module], blocks: int, x: Tensor) -> str:
    """One line for a cell of one's own: how many times faster than the loop."""
    cell = cell_class(INPUT, HIDDEN)
    model = gradscope.as_model(cell, input_size=INPUT, hidden_size=HIDDEN)
    one = ratio(lambda: loop_over_cell(cell, blocks, x), measured(model, x, [LENGTH], ["h"], weights=False))
    seven = ratio(
        lambda: [loop_over_cell(cell, blocks, x[:, :length]) for length in SWEEP],
        measured(model, x, SWEEP, ["h"], weights=False),
        3,
    )
    return f"| `{cell_class.__name__}` | {one} | {seven} |"


def catalogue_row(name: str, x: Tensor) -> str:
    """One line for an architecture whose shape is declared."""
    model = gradscope.build(name, input_size=INPUT, hidden_size=HIDDEN)
    assert isinstance(model, gradscope.Recurrence)
    one: Ratio = ratio(lambda: loop_over_model(model, x), measured(model, x, [LENGTH], ["h"], weights=False), 3)
    return f"| {name} | {one} | |"


def main() -> None:
    """Prints two Markdown tables."""
    torch.set_num_threads(1)
    x = gradscope.make_inputs("white", batch=BATCH, length=LENGTH, input_size=INPUT)
    print(
        f"T={LENGTH}, batch {BATCH}, hidden {HIDDEN}, input {INPUT}, float32, 1 thread, CPU capability "
        f"{torch.backends.cpu.get_cpu_capability()}; gradscope ÷ torch.nn forward + backward\n"
    )
    print("| | h | h, 7 lengths | c (total) | x | weights | everything |")
    print("|---|---|---|---|---|---|---|")
    for name in FUSED:
        print(fused_row(name, x), flush=True)
    print("\n| | loop ÷ gradscope | 7 lengths |\n|---|---|---|")
    for cell_class, blocks in OWN:
        print(own_row(cell_class, blocks, x), flush=True)
    for name in ("lru", "min-gru", "gru-cho"):
        print(catalogue_row(name, x), flush=True)


if __name__ == "__main__":
    main()
