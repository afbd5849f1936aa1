"""How long gradscope takes against torch alone: ratios of times in one process, one thread.

    python benchmarks/overhead.py

`plain` is one forward and backward pass of ``torch.nn``; `loop` keeps every h_t with ``retain_grad()``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from timing import seconds

import gradscope

LENGTH, BATCH, HIDDEN, INPUT = 1000, 16, 64, 32
SWEEP = [10, 20, 50, 100, 200, 500, 1000]
FUSED = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


def loop_over_time(model: gradscope.Recurrence, x: torch.Tensor) -> list[torch.Tensor]:
    """What one writes by hand: every h_t kept, gradients by autograd."""
    u, s, kept = model.prepare(x), model.initial_state(len(x)), []
    primary = model.primary_component
    for index in range(x.shape[1]):
        s = model.step(s, {name: value[:, index] for name, value in u.items()}, torch.tensor(index + 1))
        s[primary].retain_grad()
        kept.append(s[primary])
    y = model.readout(s, {name: value[:, -1] for name, value in u.items()})
    y.square().sum().backward()
    return [h.grad.norm() for h in kept]


def fused_row(name: str, x: torch.Tensor) -> str:
    """One line for a cell that torch has a kernel for."""
    model = gradscope.build(name, input_size=INPUT, hidden_size=HIDDEN)
    net = FUSED[name](INPUT, HIDDEN, batch_first=True)

    def plain(lengths: list[int]) -> None:
        for length in lengths:
            net.zero_grad()
            net(x[:, :length])[0][:, -1].square().sum().backward()

    def measured(lengths: list[int], components: list[str] | None, weights: bool) -> Callable[[], object]:
        return lambda: gradscope.gradient_norms(model, x, lengths, components=components, weight_gradients=weights)

    one, seven = seconds(lambda: plain([LENGTH])), seconds(lambda: plain(SWEEP), 3)
    by_hand = seconds(lambda: [loop_over_time(model, x[:, :length]) for length in SWEEP], 1)
    state = "c" if name == "lstm" else "h"
    sweep = seconds(measured(SWEEP, ["h"], False), 3)
    cells = [
        seconds(measured([LENGTH], ["h"], False)) / one,
        sweep / seven,
        by_hand / sweep,
        seconds(measured([LENGTH], [state], False)) / one,
        seconds(measured([LENGTH], ["x"], False)) / one,
        seconds(measured([LENGTH], ["h"], True)) / one,
        seconds(measured([LENGTH], None, True)) / one,
    ]
    return f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |"


def diagonal_row(name: str, x: torch.Tensor) -> str:
    """One line for a diagonal recurrence."""
    model = gradscope.build(name, input_size=INPUT, hidden_size=HIDDEN)
    mine = seconds(lambda: gradscope.gradient_norms(model, x, [LENGTH], components=["h"], weight_gradients=False))
    return f"| {name} | {seconds(lambda: loop_over_time(model, x), 3) / mine:.0f} |"


def main() -> None:
    """Prints two Markdown tables."""
    torch.set_num_threads(1)
    x = gradscope.make_inputs("white", batch=BATCH, length=LENGTH, input_size=INPUT)
    print(
        f"T={LENGTH}, batch {BATCH}, hidden {HIDDEN}, input {INPUT}, float32, 1 thread; ÷ torch.nn forward + backward\n"
    )
    print("| | h | h, 7 lengths | loop ÷ 7 lengths | c (total) | x | weights | everything |")
    print("|---|---|---|---|---|---|---|---|")
    for name in FUSED:
        print(fused_row(name, x))
    print("\n| | autograd loop ÷ gradscope |\n|---|---|")
    for name in ("lru", "min-gru"):
        print(diagonal_row(name, x))


if __name__ == "__main__":
    main()
