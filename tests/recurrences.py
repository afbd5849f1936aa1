"""Recurrences of every shape that a program can give a Jacobian; ``SHAPES`` says which shape each has."""

import torch
import torch.nn.functional as F
from torch import nn

import gradscope
from gradscope import Block

INPUT, SIZE = 4, 6
SHAPES: dict[str, str] = {}
RECURRENCES: dict[str, type[gradscope.Recurrence]] = {}


class Base(gradscope.Recurrence):
    """Sizes and a parameter drawn by name."""

    def __init__(self):
        super().__init__()
        self.input_size, self.output_size = INPUT, SIZE
        self.draw = torch.Generator().manual_seed(0)

    def parameter(self, *shape, scale=0.4):
        return nn.Parameter(scale * torch.randn(*shape, generator=self.draw, dtype=torch.float64))


def shape(kind):
    def register(cls):
        SHAPES[cls.__name__], RECURRENCES[cls.__name__] = kind, cls
        return cls

    return register


@shape("matrix state")
class GatedLinearAttention(Base):
    """S_t = D(α_t) S_{t−1} + k_t v_tᵀ."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("S", (3, SIZE)),)
        self.k, self.v, self.a = self.parameter(3, INPUT), self.parameter(SIZE, INPUT), self.parameter(3, INPUT)

    def prepare(self, x):
        return {"k": F.linear(x, self.k), "v": F.linear(x, self.v), "a": torch.sigmoid(2 + F.linear(x, self.a))}

    def step(self, s, u, t):
        return {"S": u["a"].unsqueeze(-1) * s["S"] + u["k"].unsqueeze(-1) * u["v"].unsqueeze(-2)}

    def readout(self, s, u):
        return torch.einsum("...kv,...k->...v", s["S"], u["k"])


@shape("matrix state")
class DeltaRuleBySums(Base):
    """The delta rule with keys wider than values, written with products and sums."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("S", (7, SIZE)),)
        self.k, self.v, self.b = self.parameter(7, INPUT), self.parameter(SIZE, INPUT), self.parameter(1)

    def prepare(self, x):
        return {"k": F.normalize(F.linear(x, self.k), dim=-1), "v": F.linear(x, self.v)}

    def step(self, s, u, t):
        key = u["k"].unsqueeze(-1)
        retrieved = (s["S"] * key).sum(-2, keepdim=True)
        return {"S": s["S"] + torch.sigmoid(self.b) * key * (u["v"].unsqueeze(-2) - retrieved)}

    def readout(self, s, u):
        return s["S"].sum(-2)


@shape("parts")
class MatrixMemory(Base):
    """A matrix state with a normaliser beside it, as an mLSTM has: each key meets its own row alone."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("C", (3, SIZE)), Block("n", (3,)))
        self.k, self.v, self.f = self.parameter(3, INPUT), self.parameter(SIZE, INPUT), self.parameter(1, INPUT)

    def prepare(self, x):
        return {"k": F.linear(x, self.k), "v": F.linear(x, self.v), "f": torch.sigmoid(1 + F.linear(x, self.f))}

    def step(self, s, u, t):
        n = u["f"] * s["n"] + u["k"]
        C = u["f"].unsqueeze(-1) * s["C"] + torch.einsum("bk,bv->bkv", torch.tanh(n), u["v"])
        return {"C": C, "n": n}

    def readout(self, s, u):
        return torch.einsum("...kv,...k->...v", s["C"], s["n"])


@shape("diagonal")
class DiagonalStateSpace(Base):
    """h_t = exp(Δ_t A) ⊙ h_{t−1} + Δ_t B_t x_t for every channel, a state of two dimensions."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("h", (INPUT, 3)),)
        self.output_size = INPUT
        self.A, self.dt, self.B = self.parameter(INPUT, 3), self.parameter(INPUT, INPUT), self.parameter(3, INPUT)

    def prepare(self, x):
        return {"dt": F.softplus(F.linear(x, self.dt)), "B": F.linear(x, self.B), "x": x}

    def step(self, s, u, t):
        decay = torch.exp(-u["dt"].unsqueeze(-1) * torch.exp(self.A))
        return {"h": decay * s["h"] + (u["dt"] * u["x"]).unsqueeze(-1) * u["B"].unsqueeze(-2)}

    def readout(self, s, u):
        return (s["h"] * u["B"].unsqueeze(-2)).sum(-1)


@shape("diagonal")
class ComplexDiagonal(Base):
    """h_t = exp(Δ λ) ⊙ h_{t−1} + x_t with λ computed in the step."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("h", (SIZE,), is_complex=True),)
        self.log_real, self.imaginary, self.B = self.parameter(SIZE), self.parameter(SIZE), self.parameter(SIZE, INPUT)

    def prepare(self, x):
        return {"b": F.linear(x, self.B)}

    def step(self, s, u, t):
        eigenvalue = torch.exp(torch.complex(-torch.exp(self.log_real), 3 * self.imaginary))
        return {"h": eigenvalue * s["h"] + u["b"]}

    def readout(self, s, u):
        return s["h"].real


@shape("dense")
class DiagonalPlusLowRank(Base):
    """h_t = Λ h_{t−1} − p (qᴴ h_{t−1}) + B x_t, complex."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("h", (SIZE,), is_complex=True),)
        self.parts, self.B = self.parameter(6, SIZE), self.parameter(SIZE, INPUT)

    def prepare(self, x):
        return {"b": F.linear(x, self.B)}

    def step(self, s, u, t):
        eigenvalue, p, q = (torch.complex(self.parts[2 * k], self.parts[2 * k + 1]) for k in range(3))
        kept = (q.conj() * s["h"]).sum(-1, keepdim=True)
        return {"h": eigenvalue * s["h"] - p * kept + u["b"]}

    def readout(self, s, u):
        return s["h"].real + s["h"].imag


@shape("dense")
class ComplexMatrix(Base):
    """h_t = U h_{t−1} + B x_t with a complex matrix that is made of two real ones in the step."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("h", (SIZE,), is_complex=True),)
        self.re, self.im, self.B = self.parameter(SIZE, SIZE), self.parameter(SIZE, SIZE), self.parameter(SIZE, INPUT)

    def prepare(self, x):
        b = F.linear(x, self.B)
        return {"b": torch.complex(b, 0.5 * b)}

    def step(self, s, u, t):
        return {"h": F.linear(s["h"], torch.complex(self.re, self.im)) + u["b"]}

    def readout(self, s, u):
        return s["h"].imag


@shape("parts")
class Heads(Base):
    """Recurrent matrices of two heads, which never meet."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("h", (2, 3)),)
        self.W, self.U = self.parameter(SIZE, INPUT), self.parameter(2, 3, 3)

    def prepare(self, x):
        return {"a": F.linear(x, self.W).unflatten(-1, (2, 3))}

    def step(self, s, u, t):
        return {"h": torch.tanh(u["a"] + torch.einsum("bhd,hde->bhe", s["h"], self.U))}

    def readout(self, s, u):
        return s["h"].flatten(-2)


@shape("parts")
class HeadsByBmm(Heads):
    """The same by matmul with vectors as rows, and a norm in each head."""

    def step(self, s, u, t):
        a = u["a"] + torch.matmul(s["h"].unsqueeze(-2), self.U).squeeze(-2)
        return {"h": torch.tanh(a * torch.rsqrt(a.pow(2).mean(-1, keepdim=True) + 0.1))}


@shape("parts")
class TwoBlocks(Base):
    """A plain RNN beside units that keep what they have."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("h", (SIZE,)), Block("c", (2,)))
        self.W, self.U, self.V = self.parameter(SIZE, INPUT), self.parameter(SIZE, SIZE), self.parameter(2, INPUT)

    def prepare(self, x):
        return {"a": F.linear(x, self.W), "b": F.linear(x, self.V)}

    def step(self, s, u, t):
        return {"h": torch.tanh(u["a"] + F.linear(s["h"], self.U)), "c": 0.9 * s["c"] + u["b"]}

    def readout(self, s, u):
        return torch.cat([s["h"][..., :-2], s["c"] * s["h"][..., -2:]], -1)


@shape("dense")
class Clockwork(Base):
    """Units that wait for their turn: a mask of t with a period for each."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("h", (SIZE,)),)
        self.W, self.U = self.parameter(SIZE, INPUT), self.parameter(SIZE, SIZE)
        self.register_buffer("periods", torch.tensor([1, 1, 2, 2, 4, 4]))

    def prepare(self, x):
        return {"a": F.linear(x, self.W)}

    def step(self, s, u, t):
        new = torch.tanh(u["a"] + F.linear(s["h"], self.U))
        return {"h": torch.where(t % self.periods == 0, new, s["h"])}


@shape("dense")
class AttentionOverThePast(Base):
    """Softmax scores over a ring of earlier states, a product of states with states."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("h", (SIZE,)), Block("past", (3, SIZE), is_buffer=True))
        self.W, self.U = self.parameter(SIZE, INPUT), self.parameter(SIZE, SIZE)

    def prepare(self, x):
        return {"a": F.linear(x, self.W)}

    def step(self, s, u, t):
        scores = torch.softmax(torch.einsum("bnd,bd->bn", s["past"], s["h"]), -1)
        read = torch.einsum("bn,bnd->bd", scores, s["past"])
        h = torch.tanh(u["a"] + F.linear(read, self.U) + 0.5 * s["h"])
        return {"h": h, "past": torch.cat([h.unsqueeze(1), s["past"][:, :-1]], 1)}


@shape("dense")
class SlowSums(Base):
    """Sums without keepdim, a matrix computed from parameters in the step, and a row of h_0 that is learned."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("h", (SIZE,)),)
        self.W, self.U, self.g = self.parameter(SIZE, INPUT), self.parameter(SIZE, SIZE), self.parameter(SIZE, 1)

    def prepare(self, x):
        return {"a": F.linear(x, self.W)}

    def step(self, s, u, t):
        weight = self.g * self.U / self.U.norm(dim=1, keepdim=True)
        level = (s["h"] * s["h"]).sum(-1)
        return {"h": torch.sin(u["a"] + s["h"] @ weight.T) / (1 + level).unsqueeze(-1)}


@shape("dense")
class TwoMasks(Base):
    """Truth values as factors, and divisions by the number of the step."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("h", (SIZE,)),)
        self.W, self.U = self.parameter(SIZE, INPUT), self.parameter(SIZE, SIZE)

    def prepare(self, x):
        return {"a": F.linear(x, self.W), "m": x[..., :1] > 0}

    def step(self, s, u, t):
        kept = 0.5 * (s["h"] * (t % 2 == 0) + s["h"] * (t % 3 == 0)) + 0.1 * s["h"] * u["m"]
        return {"h": kept + torch.tanh(F.linear(s["h"], self.U) + u["a"] / t) / t.float()}


@shape("diagonal")
class SometimesNonlinear(Base):
    """A matrix state that is linear at the first steps alone."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("S", (3, SIZE)),)
        self.k, self.v = self.parameter(3, INPUT), self.parameter(SIZE, INPUT)

    def prepare(self, x):
        return {"k": F.linear(x, self.k), "v": F.linear(x, self.v)}

    def step(self, s, u, t):
        kept = torch.where(t < 4, 0.9 * s["S"], torch.tanh(s["S"]))
        return {"S": kept + u["k"].unsqueeze(-1) * u["v"].unsqueeze(-2)}

    def readout(self, s, u):
        return s["S"].sum(-2)


@shape("parts")
class Interleaved(Base):
    """Two parts whose numbers alternate, and products that are one number a sample."""

    def __init__(self):
        super().__init__()
        self.state_spec = (Block("h", (SIZE,)), Block("c", (SIZE,)))
        self.W = self.parameter(SIZE, INPUT)

    def prepare(self, x):
        return {"a": F.linear(x, self.W)}

    def step(self, s, u, t):
        level = torch.einsum("bi,bi->b", u["a"], u["a"]).sigmoid()
        return {"h": torch.sin(s["c"]) + level.unsqueeze(-1) * u["a"], "c": 0.9 * s["h"] * s["c"] + 0.1 * u["a"]}
