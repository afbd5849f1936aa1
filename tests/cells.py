"""Cells of a user's, written in many styles; ``CELLS`` are followed, ``REPLAYED`` are not, and right all the same."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

CELLS: dict[str, type[nn.Module]] = {}
REPLAYED: dict[str, type[nn.Module]] = {}


def cell(table: dict[str, type[nn.Module]], name: str, *layers: str, **made: Callable[[int, int], Any]) -> Any:
    """Registers a forward pass with the layers that it uses, ``"xh"`` a Linear from input to hidden size, …"""

    def decorate(forward: Any) -> Any:
        class Cell(nn.Module):
            def __init__(self, input_size, hidden_size):
                super().__init__()
                self.input_size, self.hidden_size = input_size, hidden_size
                sizes = {"x": input_size, "h": hidden_size, "v": input_size + hidden_size, "w": 4 * hidden_size}
                for layer in layers:
                    setattr(self, layer, nn.Linear(sizes[layer[0]], sizes[layer[1]]))
                for key, make in made.items():
                    setattr(self, key, make(input_size, hidden_size))

        Cell.forward, Cell.__name__ = forward, name
        table[name] = Cell
        return forward

    return decorate


@cell(CELLS, "Joined", "vw")
def joined(self, x, state):
    h, c = state
    i, f, g, o = self.vw(torch.cat((x, h), dim=1)).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


@cell(CELLS, "JoinedOtherWay", "vh")
def joined_other_way(self, x, h):
    return F.elu(self.vh(torch.cat([h, x], -1)))


@cell(CELLS, "Separate", "xh_z", "hh_z", "xh_n", "hh_n")
def separate(self, x, h):
    z = torch.sigmoid(self.xh_z(x) + self.hh_z(h))
    return z * h + (1 - z) * torch.tanh(self.xh_n(x) + self.hh_n(h * z))


@cell(CELLS, "Einsum", "xh", u=lambda i, h: nn.Parameter(torch.randn(h, h) / h**0.5))
def einsum(self, x, h):
    return torch.tanh(torch.einsum("bi,oi->bo", h, self.u) + self.xh(x))


@cell(CELLS, "Inner", inner=nn.LSTMCell)
def inner(self, x, state):
    h, c = self.inner(x, state)
    return h, 0.9 * c


@cell(CELLS, "InnerGRU", inner=nn.GRUCell)
def inner_gru(self, x, h):
    return 0.5 * (h + self.inner(x, h))


@cell(CELLS, "LayerNorm", "xh", "hh", norm=lambda i, h: nn.LayerNorm(h))
def layer_norm(self, x, h):
    return torch.tanh(self.norm(self.hh(h) + self.xh(x)))


@cell(CELLS, "RootMeanSquare", "xh", "hh")
def root_mean_square(self, x, h):
    a = self.hh(h) + self.xh(x)
    return torch.tanh(a * torch.rsqrt(a.pow(2).mean(-1, keepdim=True) + 1e-5))


@cell(CELLS, "Highway", "xh_a", "hh_a", "xh_t", "hh_t", "hh_b", "hh_s")
def highway(self, x, h):
    t = torch.sigmoid(self.xh_t(x) + self.hh_t(h))
    h = torch.tanh(self.xh_a(x) + self.hh_a(h)) * t + h * (1 - t)
    t = torch.sigmoid(self.hh_s(h))
    return torch.tanh(self.hh_b(h)) * t + h * (1 - t)


@cell(CELLS, "Softplus", "xh", "hh")
def softplus(self, x, h):
    return F.softplus(self.xh(x) + self.hh(h)) - 0.5 * h


@cell(CELLS, "Gelu", "xh", "hh")
def gelu(self, x, h):
    return 0.5 * h + F.gelu(self.hh(h) + self.xh(x))


@cell(CELLS, "LeakyRelu", "xh", "hh")
def leaky_relu(self, x, h):
    return F.leaky_relu(self.hh(h) + self.xh(x), 0.2)


@cell(CELLS, "Halves", "xh", lower=lambda i, h: nn.Linear(h // 2, h - h // 2))
def halves(self, x, h):
    middle = h.shape[1] // 2
    a, b, w = h[:, :middle], h[:, middle:], self.xh(x)
    return torch.cat([0.7 * a + w[:, :middle], torch.tanh(self.lower(a) - b + w[:, middle:])], 1)


@cell(CELLS, "Ring", "xh")
def ring(self, x, h):
    return 0.95 * torch.roll(h, 1, -1) + self.xh(x)


@cell(CELLS, "TwoProducts", "xh", "hh_a", "hh_b")
def two_products(self, x, h):
    return torch.tanh(self.hh_a(h) * self.hh_b(h) + self.xh(x))


@cell(CELLS, "Softmax", "xh", "hh")
def softmax(self, x, h):
    return torch.softmax(self.hh(h) + self.xh(x), -1) * h + self.xh(x)


@cell(CELLS, "Clamped", "xh", "hh")
def clamped(self, x, h):
    return (self.hh(h) + self.xh(x)).clamp(-1, 1)


@cell(CELLS, "Chosen", "xh", "hh")
def chosen(self, x, h):
    a = self.hh(h) + self.xh(x)
    return torch.where(a > 0, torch.tanh(a), 0.1 * a)


@cell(
    CELLS,
    "Transposed",
    u=lambda i, h: nn.Parameter(torch.randn(h, h) / h**0.5),
    w=lambda i, h: nn.Parameter(torch.randn(i, h)),
)
def transposed(self, x, h):
    return torch.tanh(h.matmul(self.u.t()) + x.mm(self.w))


@cell(
    CELLS,
    "Sequential",
    f=lambda i, h: nn.Sequential(nn.Linear(i + h, 2 * h), nn.Tanh(), nn.Linear(2 * h, h), nn.Sigmoid()),
)
def sequential(self, x, h):
    return self.f(torch.cat([x, h], -1)) - 0.3 * h


@cell(CELLS, "Multiplied", "xh", "hh")
def multiplied(self, x, h):
    return torch.tanh(self.xh(x) * self.hh(h))


@cell(CELLS, "Subtracted", "xh", "hh")
def subtracted(self, x, h):
    return torch.tanh(self.xh(x) - self.hh(h)) - (1 - h) / 4


@cell(CELLS, "Mean", "xh", "hh")
def mean(self, x, h):
    return torch.tanh(self.xh(x) + self.hh(torch.relu(h))) * 0.8 + 0.1 * h.mean(-1, keepdim=True)


@cell(CELLS, "MadeForTheBatch", "xh", "hh")
def made_for_the_batch(self, x, h):
    kept = torch.full((x.shape[0], h.shape[1]), 0.25, dtype=h.dtype)
    return torch.tanh(self.xh(x) + self.hh(h)) * (1 - kept) + kept * h.view(len(h), -1)


@cell(CELLS, "AddedInTurn", "xh", "hh", b=lambda i, h: nn.Parameter(torch.randn(h)))
def added_in_turn(self, x, h):
    a, b = (x.new_zeros(()) + self.xh(x) + self.hh(h) - self.b + 0.1).chunk(2, -1)
    return torch.cat([torch.tanh(a), torch.sigmoid(b)], -1)


@cell(CELLS, "AddedToWhatOthersRead", "xh", "hh")
def added_to_what_others_read(self, x, h):
    a = self.hh(h)
    first, second = (a + self.xh(x)).chunk(2, -1)
    return torch.cat([torch.tanh(first), torch.sin(second)], -1) + 0.3 * a


@cell(CELLS, "AddedToTheState", w=lambda i, h: nn.Parameter(torch.randn(i, h)))
def added_to_the_state(self, x, h):
    return h + x @ self.w


@cell(CELLS, "Scaled", "xh", "hh", a=lambda i, h: nn.Parameter(torch.tensor(0.8)))
def scaled(self, x, h):
    return self.a * torch.tanh(self.xh(x) + self.hh(h))


@cell(CELLS, "Blind", "hh")
def blind(self, x, h):
    return torch.tanh(self.hh(h) + 0.3)


@cell(CELLS, "Methods", "xh", "hh", p=lambda i, h: nn.Parameter(torch.randn(h)))
def methods(self, x, h):
    a = self.hh(h) + self.xh(x)
    kept = F.normalize(a.where(a > 0, 0.1 * a) + 0.2, dim=-1)
    first, second = torch.stack([kept, torch.special.expit(a)], 1).unbind(1)
    return F.dropout(first * torch.linalg.vector_norm(second, dim=-1, keepdim=True), 0.5, False) * self.p


@cell(CELLS, "Dropped", "xh", "hh")
def dropped(self, x, h):
    kept = torch.cat([h[:, 1:], torch.zeros(len(h), 1, dtype=h.dtype)], 1)
    return 0.5 * torch.tanh(self.hh(kept) + self.xh(x)) + 0.4 * kept


@cell(REPLAYED, "NoGradOfInput", "xh", "hh")
def no_grad_of_input(self, x, h):
    with torch.no_grad():
        kept = torch.tanh(self.xh(x))
    return torch.tanh(self.hh(h) + self.xh(x)) + kept


class _Reversed(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return -0.3 * grad


@cell(REPLAYED, "OwnDerivativeOfInput", "xh", "hh")
def own_derivative_of_input(self, x, h):
    return torch.tanh(self.hh(h) + _Reversed.apply(self.xh(x)))


@cell(REPLAYED, "InPlaceActivation", "xh", "hh", relu=lambda i, h: nn.ReLU(inplace=True))
def in_place_activation(self, x, h):
    return torch.tanh(self.hh(h) + self.relu(self.xh(x) + 0.1))


@cell(REPLAYED, "KeywordJoin", "vh")
def keyword_join(self, x, h):
    return torch.tanh(self.vh(torch.cat(tensors=(x, h), dim=-1)))


@cell(REPLAYED, "Detached", "xh", "hh")
def detached(self, x, h):
    return torch.tanh(self.hh(h) + self.xh(x)) + 0.1 * h.detach()


@cell(REPLAYED, "NoGrad", "xh", "hh")
def no_grad(self, x, h):
    with torch.no_grad():
        kept = 0.5 * h
    return torch.tanh(self.hh(h) + self.xh(x)) + kept


@cell(REPLAYED, "Branching", "xh", "hh")
def branching(self, x, h):
    a = self.hh(h) + self.xh(x)
    return torch.tanh(a) if bool((a < 100).all()) else a


@cell(REPLAYED, "InPlace", "xh", "hh")
def in_place(self, x, h):
    a = self.hh(h) + self.xh(x)
    a.mul_(0.5)
    return torch.tanh(a)


@cell(REPLAYED, "StraightThrough", "xh", "hh")
def straight_through(self, x, h):
    a = torch.tanh(self.hh(h) + self.xh(x))
    return (a.sign() - a).detach() + a


@cell(CELLS, "Outer", "xh", "hh")
def outer(self, x, h):
    return torch.tanh((h.unsqueeze(2) * h.unsqueeze(1)).sum(1) + self.xh(x) + self.hh(h))
