"""How long spectra take against what one would write with torch alone: ratios of times in one process, one thread.

    python benchmarks/spectrum.py

`definition` is ``vmap(jacrev(model.step))`` over all steps; `plain` the same of a bare function with the equation of
the cell and nothing else; `loop` calls ``torch.autograd.functional.jacobian`` on that function step by step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from timing import seconds
from torch import Tensor, nn
from torch.func import jacrev, vmap

import gradscope
from gradscope.dynamics.dense_jacobians import jacobians_by_autograd
from gradscope.dynamics.segments import Segment

LENGTH, HIDDEN, INPUT = 1000, 64, 32
CHUNK = 250  # steps whose Jacobians stay in the cache
LOOPED = 20  # steps of the slow loop that are timed


def plain_step(name: str, model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """One step of a cell as one would write it, from state and input to state."""
    weights = [getattr(model, f"{kind}_l0").detach() for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    w_ih, w_hh, b_ih, b_hh = weights

    def rnn(s: Tensor, x: Tensor) -> Tensor:
        return torch.tanh(w_ih @ x + b_ih + w_hh @ s + b_hh)

    def gru(s: Tensor, x: Tensor) -> Tensor:
        (x_r, x_z, x_n), (h_r, h_z, h_n) = (w_ih @ x + b_ih).chunk(3), (w_hh @ s + b_hh).chunk(3)
        z = torch.sigmoid(x_z + h_z)
        return (1 - z) * torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n) + z * s

    def lstm(s: Tensor, x: Tensor) -> Tensor:
        h, c = s.chunk(2)
        i, f, g, o = (w_ih @ x + b_ih + w_hh @ h + b_hh).chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.cat([torch.sigmoid(o) * torch.tanh(c), c])

    return {"rnn": rnn, "gru": gru, "lstm": lstm}[name]


def jacobians(name: str, dtype: torch.dtype) -> None:
    """All one-step Jacobians along a trajectory of 1000 steps."""
    model = gradscope.build(name, input_size=INPUT, hidden_size=HIDDEN, dtype=dtype)
    x = gradscope.make_inputs("white", batch=1, length=LENGTH, input_size=INPUT, dtype=dtype)
    linearization = gradscope.linearize(model, x)
    kept = linearization.trajectory.states(0, LENGTH - 1)
    before = torch.cat([value[:, 0] for value in kept.values()], dim=-1)
    step = plain_step(name, model)

    here = linearization.trajectory.segment(Segment(0, LENGTH, 1))

    memory = torch.empty((CHUNK, 1, model.state_size, model.state_size), dtype=dtype)

    def mine() -> None:
        for start in range(0, LENGTH, CHUNK):
            linearization.jacobians.blocks(start, min(start + CHUNK, LENGTH), memory)

    def loop() -> None:
        for s, u in zip(before[:LOOPED], x[0, :LOOPED], strict=True):
            torch.autograd.functional.jacobian(lambda v, u=u: step(v, u), s)

    reference = vmap(jacrev(step))(before, x[0])
    assert torch.allclose(linearization.jacobians.matrix(7)[0].to(dtype), reference[6], atol=1e-5)
    took = seconds(mine)
    times = (
        seconds(lambda: jacobians_by_autograd(model, here), 3),
        seconds(lambda: vmap(jacrev(step))(before, x[0])),
        seconds(loop) * LENGTH / LOOPED,
    )
    print(f"| {name} | {str(dtype).removeprefix('torch.')} | " + " | ".join(f"{t / took:.0f}" for t in times) + " |")


def exponents() -> None:
    """All 64 Lyapunov exponents of an RNN over 1000 steps."""
    model = gradscope.build("rnn", input_size=INPUT, hidden_size=HIDDEN, dtype=torch.float64)
    x = gradscope.make_inputs("white", batch=1, length=LENGTH, input_size=INPUT, dtype=torch.float64)
    jacobian = gradscope.linearize(model, x).jacobians
    matrix = jacobian.matrix(7)[0]
    reference = seconds(lambda: [torch.linalg.qr(matrix) for _ in range(LENGTH)])
    alone = seconds(lambda: gradscope.linearize(model, x).jacobians.stretching(HIDDEN, [50]))
    whole = seconds(lambda: gradscope.lyapunov_exponents(model, x))
    print(f"exponents, with the forward pass: {alone / reference:.2f}; lyapunov_exponents: {whole / reference:.2f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("all one-step Jacobians, T=1000, batch 1, hidden 64, 1 thread: times faster than\n")
    print("| | | definition | plain | loop |\n|---|---|---|---|---|")
    for dtype in (torch.float32, torch.float64):
        for name in ("rnn", "lstm", "gru"):
            jacobians(name, dtype)
    print("\nall 64 Lyapunov exponents of rnn over 1000 steps, float64, ÷ 1000 torch.linalg.qr of 64 x 64")
    exponents()
