"""The equation of every architecture, written out with plain torch operations: what the tests hold the catalogue to.

One entry an architecture. A recurrence is one step, for any leading dimensions of x_t and of the state; its loop over
time, its Jacobian and its number of parameters follow. ``w`` has the parameters by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]
State = dict[str, Tensor]
Options = dict[str, object]


def first_block(w: Weights, x: Tensor, s: State) -> Tensor:
    return next(iter(s.values()))


@dataclass(frozen=True)
class Equation:
    """s_t = step(w, x_t, s_{t−1}, t, **options), t from 1; y_t = output(w, x_t, s_t).

    Attributes:
        step: Returns the blocks of the state in their order.
        output: The first block by default.
        variants: Options that the tests look at beside the defaults.
        second_biases: Parameters that add to a bias which is there already; they do not count.
        moduli: The |λ| of the memory dial, moduli(w, x_t, s_{t−1}) any leading dimensions; None where there is none.
        differences: Gates whose derivative has a difference of values that may both be 1, and loses its digits there.
    """

    step: Callable[..., State]
    output: Callable[[Weights, Tensor, State], Tensor] = first_block
    variants: tuple[Options, ...] = ()
    second_biases: tuple[str, ...] = ()
    moduli: Callable[[Weights, Tensor, State], Tensor] | None = None
    differences: tuple[int, ...] = ()

    def unrolled(self, w: Weights, x: Tensor, s: State, **options: object) -> dict[str, Tensor]:
        """States and outputs ``y`` of all steps, ``(time, batch, *)``, from s_0 and x ``(time, batch, input)``."""
        rows = []
        for t, x_t in enumerate(x, start=1):
            s = self.step(w, x_t, s, t, **options)
            rows.append(s | {"y": self.output(w, x_t, s)})
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


@dataclass(frozen=True)
class SequenceEquation:
    """Nodes, and the outputs ``y``, of a model without a recurrent state."""

    unrolled: Callable[..., dict[str, Tensor]]
    variants: tuple[Options, ...] = ()
    second_biases: tuple[str, ...] = ()
    moduli: None = None


class Part(Mapping[str, Tensor]):
    """The parameters whose names begin with a prefix, without it."""

    def __init__(self, whole: Weights, prefix: str) -> None:
        self.whole, self.prefix = whole, prefix

    def __getitem__(self, name: str) -> Tensor:
        return self.whole[self.prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self.prefix) for name in self.whole if name.startswith(self.prefix))

    def __len__(self) -> int:
        return len(list(iter(self)))


def radius_of(matrix: str) -> Callable[[Weights, Tensor, State], Tensor]:
    return lambda w, x, s: torch.linalg.eigvals(w[matrix]).abs().max()


def rnn(w: Weights, x: Tensor, s: State, t: int, nonlinearity: str = "tanh") -> State:
    phi = {"tanh": torch.tanh, "relu": torch.relu}[nonlinearity]
    return {"h": phi(x @ w["weight_ih_l0"].T + w["bias_ih_l0"] + s["h"] @ w["weight_hh_l0"].T + w["bias_hh_l0"])}


def residual_rnn(w: Weights, x: Tensor, s: State, t: int, alpha: float = 1.0) -> State:
    return {"h": s["h"] + alpha * torch.tanh(x @ w["weight_ih"].T + s["h"] @ w["weight_hh"].T + w["bias"])}


def rrn(w: Weights, x: Tensor, s: State, t: int, depth: int = 2, inner: str = "sigmoid") -> State:
    phi, y = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}[inner], s["h"]
    for m in range(1, depth + 1):
        y = phi(x @ w[f"weight_ih_{m}"].T + y @ w[f"weight_hh_{m}"].T + w[f"bias_{m}"])
    return {"h": torch.tanh(s["h"] + y)}


def linear_rnn(w: Weights, x: Tensor, s: State, t: int, **initial: object) -> State:
    return {"h": s["h"] @ w["A"].T + x @ w["B"].T}


def ind_rnn(w: Weights, x: Tensor, s: State, t: int, nonlinearity: str = "relu") -> State:
    phi = {"relu": torch.relu, "tanh": torch.tanh}[nonlinearity]
    return {"h": phi(x @ w["weight_ih"].T + s["h"] * w["u"] + w["bias"])}


def lstm_cell(w_ih: Tensor, w_hh: Tensor, b: Tensor, x: Tensor, s: State) -> tuple[Tensor, Tensor]:
    i, f, g, o = (x @ w_ih.T + s["h"] @ w_hh.T + b).chunk(4, dim=-1)
    c = torch.sigmoid(f) * s["c"] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def second_gate(suffix: str, biases: tuple[str, ...]) -> Callable[[Weights, Tensor, State], Tensor]:
    """σ of the second gate: f of i, f, g, o, and z of r, z and of r, z, n."""

    def gate(w: Weights, x: Tensor, s: State) -> Tensor:
        size = w[f"weight_hh{suffix}"].shape[1]
        w_ih, w_hh, *b = (w[name][size : 2 * size] for name in (f"weight_ih{suffix}", f"weight_hh{suffix}", *biases))
        return torch.sigmoid(x @ w_ih.T + s["h"] @ w_hh.T + sum(b))

    return gate


torch_second_gate = second_gate("_l0", ("bias_ih_l0", "bias_hh_l0"))


def lstm(w: Weights, x: Tensor, s: State, t: int, **initial: object) -> State:
    h, c = lstm_cell(w["weight_ih_l0"], w["weight_hh_l0"], w["bias_ih_l0"] + w["bias_hh_l0"], x, s)
    return {"h": h, "c": c}


def gru(w: Weights, x: Tensor, s: State, t: int) -> State:
    in_r, in_z, in_n = (x @ w["weight_ih_l0"].T + w["bias_ih_l0"]).chunk(3, dim=-1)
    re_r, re_z, re_n = (s["h"] @ w["weight_hh_l0"].T + w["bias_hh_l0"]).chunk(3, dim=-1)
    z = torch.sigmoid(in_z + re_z)
    return {"h": (1 - z) * torch.tanh(in_n + torch.sigmoid(in_r + re_r) * re_n) + z * s["h"]}


def gru_cho(w: Weights, x: Tensor, s: State, t: int) -> State:
    h = s["h"]
    r, z = torch.sigmoid(x @ w["weight_ih_rz"].T + h @ w["weight_hh_rz"].T + w["bias_rz"]).chunk(2, dim=-1)
    n = torch.tanh(x @ w["weight_ih_n"].T + (r * h) @ w["weight_hh_n"].T + w["bias_n"])
    return {"h": (1 - z) * h + z * n}


def gru_cho_kept(w: Weights, x: Tensor, s: State) -> Tensor:
    return 1 - second_gate("_rz", ("bias_rz",))(w, x, s)


def sc_lstm(w: Weights, x: Tensor, s: State, t: int, L: int = 20, alpha: float = 1.0) -> State:
    """b is the h of the last anchor, zero before the first."""
    h, c = lstm_cell(w["weight_ih"], w["weight_hh"], w["bias"], x, s)
    if (t - 1) % L:
        return {"h": h, "c": c, "b": s["b"]}
    h = h + w.get("alpha", alpha) * s["b"]
    return {"h": h, "c": c, "b": h}


def skip_rnn(w: Weights, x: Tensor, s: State, t: int, k: int = 4, alpha: float = 1.0) -> State:
    earlier = list(s.values())  # h_{t−1} … h_{t−k}
    h = torch.tanh(x @ w["weight_ih"].T + s["h"] @ w["weight_hh"].T + w["bias"]) + alpha * earlier[-1]
    return {"h": h} | {f"h_{lag}": earlier[lag - 1] for lag in range(1, k)}


def mean_of(variants: tuple[Options, ...] = (), **branches: Equation) -> Equation:
    """Branches side by side on the same input; the mean of their outputs."""

    def parts(w: Weights, s: State) -> Iterator[tuple[str, Equation, Weights, State]]:
        for name, branch in branches.items():
            own = {key.removeprefix(f"{name}."): value for key, value in s.items() if key.startswith(f"{name}.")}
            yield name, branch, Part(w, f"branches.{name}."), own

    def step(w: Weights, x: Tensor, s: State, t: int, **options: object) -> State:
        return {
            f"{name}.{block}": value
            for name, branch, own_w, own_s in parts(w, s)
            for block, value in branch.step(own_w, x, own_s, t, **options).items()
        }

    def output(w: Weights, x: Tensor, s: State) -> Tensor:
        return torch.stack([branch.output(own_w, x, own_s) for _, branch, own_w, own_s in parts(w, s)]).mean(dim=0)

    def moduli(w: Weights, x: Tensor, s: State) -> Tensor:
        dials = [(b.moduli, own_w, own_s) for _, b, own_w, own_s in parts(w, s) if b.moduli is not None]
        return torch.cat([found(own_w, x, own_s).flatten() for found, own_w, own_s in dials])

    has_dial = any(branch.moduli is not None for branch in branches.values())
    second = tuple(f"branches.{name}.{bias}" for name, branch in branches.items() for bias in branch.second_biases)
    return Equation(step, output, variants, second, moduli if has_dial else None)


def lru(w: Weights, x: Tensor, s: State, t: int, **initial: object) -> State:
    lam = torch.exp(torch.complex(-torch.exp(w["nu_log"]), torch.exp(w["theta_log"])))
    B = torch.complex(w["B_re"], w["B_im"])
    return {"h": lam * s["h"] + torch.exp(w["gamma_log"]) * (x.to(B.dtype) @ B.T)}


def lru_moduli(w: Weights, x: Tensor, s: State) -> Tensor:
    return torch.exp(-torch.exp(w["nu_log"]))


def lru_output(w: Weights, x: Tensor, s: State) -> Tensor:
    y = (s["h"] @ torch.complex(w["C_re"], w["C_im"]).T).real
    return y + w["D"] * x if "D" in w else y


def min_gru(w: Weights, x: Tensor, s: State, t: int) -> State:
    z = torch.sigmoid(x @ w["weight_z"].T + w["bias_z"])
    return {"h": (1 - z) * s["h"] + z * (x @ w["weight_h"].T + w["bias_h"])}


def min_gru_kept(w: Weights, x: Tensor, s: State) -> Tensor:
    return 1 - torch.sigmoid(x @ w["weight_z"].T + w["bias_z"])


def swish_of_length_one(a: Tensor) -> Tensor:
    a = torch.sigmoid(a) * a
    return a / a.norm(dim=-1, keepdim=True)


def deltanet(w: Weights, x: Tensor, s: State, t: int) -> State:
    k, v = swish_of_length_one(x @ w["weight_k"].T), x @ w["weight_v"].T
    beta = torch.sigmoid(x @ w["weight_beta"].T + w["bias_beta"])[..., None]
    erase = torch.eye(k.shape[-1], dtype=x.dtype) - beta * k[..., :, None] * k[..., None, :]
    return {"S": erase @ s["S"] + beta * k[..., :, None] * v[..., None, :]}


def deltanet_kept(w: Weights, x: Tensor, s: State) -> Tensor:
    return 1 - torch.sigmoid(x @ w["weight_beta"].T + w["bias_beta"])


def deltanet_output(w: Weights, x: Tensor, s: State) -> Tensor:
    q = swish_of_length_one(x @ w["weight_q"].T)
    return torch.einsum("...kv,...k->...v", s["S"], q) / math.sqrt(q.shape[-1])


def layer_norm(w: Weights, r: Tensor) -> Tensor:
    centred = r - r.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-5) * w["weight"] + w["bias"]


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """One head and one query at a time, each over the steps up to its own; time first."""
    size = v.shape[-1] // heads
    rows = []
    for t in range(len(v)):
        mixed = []
        for mine in (slice(head * size, (head + 1) * size) for head in range(heads)):
            score = torch.exp(torch.einsum("bd,sbd->sb", q[t, :, mine], k[: t + 1, :, mine]) / math.sqrt(size))
            mixed.append(torch.einsum("sb,sbd->bd", score / score.sum(0), v[: t + 1, :, mine]))
        rows.append(torch.cat(mixed, dim=-1))
    return torch.stack(rows)


def positions(length: int, d: int) -> Tensor:
    angles = [[t / 10000 ** (2 * (i // 2) / d) for i in range(d)] for t in range(length)]
    rows = [[math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(row)] for row in angles]
    return torch.tensor(rows, dtype=torch.float64)


def transformer(w: Weights, x: Tensor, s: State, heads: int = 0, ff: int = 4) -> dict[str, Tensor]:
    """Outputs, and the residual stream entering each layer."""
    length, d = len(x), len(w["weight_in"])
    heads = heads or max(n for n in (1, 2, 3, 4) if d % n == 0)
    r, entering = x @ w["weight_in"].T + positions(length, d)[:, None], []
    while f"layers.{len(entering)}.weight_o" in w:
        layer = Part(w, f"layers.{len(entering)}.")
        entering.append(r)
        q, k, v = (layer_norm(Part(layer, "norm_1."), r) @ layer["weight_qkv"].T + layer["bias_qkv"]).split(d, dim=-1)
        r = r + attention(q, k, v, heads) @ layer["weight_o"].T + layer["bias_o"]
        a = layer_norm(Part(layer, "norm_2."), r) @ layer["weight_1"].T + layer["bias_1"]
        assert a.shape[-1] == ff * d
        r = r + (a * 0.5 * (1 + torch.erf(a / math.sqrt(2)))) @ layer["weight_2"].T + layer["bias_2"]
    names = ["residual"] if len(entering) == 1 else [f"residual_l{index}" for index in range(len(entering))]
    return dict(zip(names, entering, strict=True)) | {"y": layer_norm(Part(w, "norm."), r)}


RRN = Equation(rrn, variants=({"depth": 1, "inner": "relu"}, {"depth": 3, "inner": "tanh"}))
LSTM = Equation(lstm, variants=({"chrono": 20},), second_biases=("bias_hh_l0",), moduli=torch_second_gate)
GRU = Equation(gru, second_biases=("bias_hh_l0",), moduli=torch_second_gate, differences=(1,))  # h_{t−1} − n

EQUATIONS: dict[str, Equation | SequenceEquation] = {
    "rnn": Equation(
        rnn,
        variants=({"nonlinearity": "relu"},),
        second_biases=("bias_hh_l0",),
        moduli=radius_of("weight_hh_l0"),
    ),
    "residual-rnn": Equation(residual_rnn, variants=({"alpha": 0.7},)),
    "rrn": RRN,
    "linear-rnn": Equation(linear_rnn, variants=({"init": "orthogonal", "radius": 0.9},), moduli=radius_of("A")),
    "ind-rnn": Equation(ind_rnn, variants=({"nonlinearity": "tanh"},), moduli=lambda w, x, s: w["u"].abs().max()),
    "lstm": LSTM,
    "gru": GRU,
    "gru-cho": Equation(gru_cho, moduli=gru_cho_kept),
    "sc-lstm-i": Equation(sc_lstm, variants=({"L": 2}, {"L": 1, "alpha": 0.3}), moduli=second_gate("", ("bias",))),
    "sc-lstm-p": Equation(sc_lstm, variants=({"L": 3, "alpha": 0.5},), moduli=second_gate("", ("bias",))),
    "skip-rnn": Equation(skip_rnn, variants=({"k": 1, "alpha": 0.3}, {"k": 3, "alpha": 0.6})),
    "hrl": mean_of(lstm=LSTM, rrn=RRN, variants=({"depth": 3, "inner": "tanh"},)),
    "lstm-gru": mean_of(lstm=LSTM, gru=GRU),
    "lru": Equation(lru, lru_output, variants=({"r_min": 0.5, "r_max": 0.9},), moduli=lru_moduli),
    "min-gru": Equation(min_gru, moduli=min_gru_kept),
    "deltanet": Equation(deltanet, deltanet_output, moduli=deltanet_kept),
    "transformer": SequenceEquation(transformer, variants=({"heads": 3, "ff": 1},)),
}
