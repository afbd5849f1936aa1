"""Norms of weight gradients from factors, against the stored sums and against autograd, in float64 at odd sizes."""

from collections import deque

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradscope
from gradscope.dynamics.cotangents import Only, Wants
from gradscope.dynamics.linearize import adjoint_segments, linearize_model
from gradscope.dynamics.rank_one_sums import RankOneSum
from gradscope.measurements.losses import SegmentCotangents, output_cotangents
from gradscope.numerics.scaled import Scaled
from tests.models import inputs, small
from tests.test_gradients import LOSSES, check_against_autograd
from tests.tolerances import DECADES, RELATIVE

BATCH, ROWS, COLUMNS = 3, 5, 4
STEPS, ACTIVE = (2, 3, 4), (1, 1, 3)  # of the segments, latest first


def terms(dtype=torch.float64, seed=0, bits=40):
    """Factors of every segment with exponents and magnitudes of their own."""
    draw = torch.Generator().manual_seed(seed)
    for steps, active in zip(STEPS, ACTIVE, strict=True):
        y = torch.randn(steps, BATCH, COLUMNS, dtype=dtype, generator=draw)
        a_bar = torch.randn(steps, active, BATCH, ROWS, dtype=dtype, generator=draw)
        exponent = torch.randint(-bits, bits, (steps, active, BATCH), dtype=torch.int32, generator=draw)
        yield y, Scaled(a_bar, exponent)


def kept(given):
    found = RankOneSum()
    for y, a_bar in given:
        found.append(y, a_bar)
    return found


def stored(given):
    """The slow twin: each sum in float64, term by term."""
    sums = torch.zeros(ACTIVE[-1], BATCH, ROWS, COLUMNS, dtype=torch.float64)
    for y, a_bar in given:
        plain = a_bar.mantissa.double() * 2.0 ** a_bar.exponent.double().unsqueeze(-1)
        sums[: plain.shape[1]] += torch.einsum("tabr,tbc->abrc", plain, y.double())
    return sums


def norm_of(scaled):
    return (scaled.norm().mantissa * 2.0 ** scaled.exponent.double().unsqueeze(-1)).squeeze(-1)


@pytest.mark.parametrize("numbers", [1, 1 << 22])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_norms_and_sums_are_those_of_the_stored_sums(dtype, numbers, monkeypatch):
    monkeypatch.setattr("gradscope.dynamics.rank_one_sums.GRAM_NUMBERS", numbers)
    given = list(terms(dtype))
    reference = stored(given)
    norms = torch.linalg.vector_norm(reference, dim=(-2, -1))
    # the factors are exact in float64, whatever their dtype
    assert torch.allclose(norm_of(kept(given).norm()), norms, rtol=RELATIVE[torch.float64], atol=0)
    total = kept(given).total()
    assert total.mantissa.dtype == dtype
    assert torch.allclose(norm_of(total), norms, rtol=RELATIVE[dtype], atol=0)
    plain = total.mantissa.double() * 2.0 ** total.exponent.double()[..., None, None]
    assert torch.allclose(plain, reference, rtol=RELATIVE[dtype], atol=float(RELATIVE[dtype] * norms.min()))


def test_terms_far_outside_the_dtype_meet_at_the_largest():
    for shift in (-3000, 3000):
        given = [(y, Scaled(a_bar.mantissa, a_bar.exponent + shift)) for y, a_bar in terms()]
        reference = torch.linalg.vector_norm(stored(list(terms())), dim=(-2, -1)).log10()
        moved = kept(given).norm().log10_norm() - shift * torch.tensor(2.0, dtype=torch.float64).log10()
        assert (moved - reference).abs().max() < DECADES[torch.float64]


def test_large_inputs_meet_small_cotangents():
    y, a_bar = torch.ones(2, 1, COLUMNS).double(), torch.ones(2, 1, 1, ROWS).double()
    y[0] *= 1e-200
    a_bar[1] *= 1e-200
    found = kept([(y, Scaled.of(a_bar, 3))]).norm().log10_norm()
    assert abs(float(found) + 200 - 0.5 * float(torch.tensor(4.0 * ROWS * COLUMNS).log10())) < 1e-6


@pytest.mark.parametrize("left", [1e-1, 1e-2, 1e-4, 1e-7, 1e-10])
def test_terms_that_cancel_keep_the_digits_of_the_sum(left):
    draw = torch.Generator().manual_seed(0)
    half = [torch.randn(20, 1, BATCH, ROWS, dtype=torch.float64, generator=draw) for _ in range(2)]
    y = torch.randn(20, BATCH, COLUMNS, dtype=torch.float64, generator=draw)
    whole = torch.cat([half[0], left * half[1] - half[0]]), torch.cat([y, y])
    found = norm_of(kept([(whole[1], Scaled.of(whole[0], 3))]).norm())
    pairs = whole[0].unflatten(0, (2, 20)).sum(0)  # nothing cancels: the halves are added first
    reference = torch.linalg.vector_norm(torch.einsum("tabr,tbc->abrc", pairs, y), dim=(-2, -1))
    rounding = 1e-15 / left  # of the terms themselves
    assert torch.allclose(found, reference, rtol=RELATIVE[torch.float64] + 10 * rounding, atol=0)


def test_zeros_stay_zeros_and_no_number_stays_none():
    y, a_bar = torch.ones(2, BATCH, COLUMNS), torch.ones(2, 1, BATCH, ROWS)
    y[:, 0] = 0
    a_bar[1, :, 1] = -1
    a_bar[0, :, 2, 0] = torch.nan
    found = kept([(y, Scaled.of(a_bar, 3))]).norm().log10_norm()[0]
    assert found[:2].isneginf().all()
    assert found[2].isnan()


WIDE = {"input_size": 15, "hidden_size": 17}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "gru-cho", "lru", "deltanet", "rrn", "hrl"])
def test_wide_models_have_autograds_norms(name, num_layers, loss):
    check_against_autograd(small(name, num_layers, **WIDE), inputs(input_size=15), loss)


def weight_gradients(model, x, lengths, loss, asked):
    """What a walk with these lengths finds."""
    linearization = linearize_model(model, x)
    cotangents = SegmentCotangents(output_cotangents(loss, linearization.outputs, lengths, 0))
    segments = adjoint_segments(linearization, lengths, cotangents, Wants(frozenset(), parameters=asked))
    _, _, walk = deque(segments, maxlen=1).pop()
    return walk.weight_gradients()


def both_ways(*asked):
    """As gradients and as norms."""
    return weight_gradients(*asked, True), weight_gradients(*asked, Only.NORMS)


@pytest.mark.parametrize("lengths", [[31, 7, 3], [31], [8, 3]], ids=str)
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru-cho", "deltanet"])
def test_short_lengths_stay_factors_and_long_ones_are_stored(name, lengths, monkeypatch):
    monkeypatch.setattr("gradscope.dynamics.linearize.SEGMENT_STEPS", (4, 4))
    model = small(name, **WIDE)
    gradients, norms = both_ways(model, inputs(length=31, input_size=15), lengths, LOSSES["every"])
    assert gradients.keys() == norms.keys()
    limit = {n: p.numel() / sum(p.shape) for n, p in model.named_parameters() if p.dim() == 2}
    for name, reference in gradients.items():
        mine = norms[name]
        assert mine.exponent.shape == (len(lengths), 2)
        if limit.get(name, 0) > min(lengths):
            assert mine.mantissa.shape == (len(lengths), 2, 1)
        assert (mine.log10_norm() - reference.log10_norm()).abs().max() < DECADES[torch.float64]


@pytest.mark.parametrize("name", ["linear-rnn", "rnn"])
def test_steps_too_far_back_for_a_long_length_count_for_a_short_one(name, monkeypatch):
    model = small(name, **WIDE)
    with torch.no_grad():
        model.get_parameter(gradscope.linearize(model, inputs(input_size=15)).recurrent_parameters[0]).mul_(1e-3)
    monkeypatch.setattr("gradscope.dynamics.linearize.SEGMENT_STEPS", (4, 4))
    asked = model, inputs(length=60, input_size=15), [60, 30, 7], LOSSES["last"]
    norms = weight_gradients(*asked, Only.NORMS)
    monkeypatch.setattr("gradscope.dynamics.parameter_gradients.ABSORBED_BITS", 1 << 20)  # nothing is left out
    for name, reference in weight_gradients(*asked, True).items():
        assert (norms[name].log10_norm() - reference.log10_norm()).abs().max() < DECADES[torch.float64]


class Tied(gradscope.Recurrence):
    """One matrix in the step, in ``prepare`` and in ``readout``, where asked for."""

    recurrent_parameter_names = ("A",)

    def __init__(self, *, in_prepare, in_readout):
        super().__init__()
        self.input_size = self.output_size = 17
        self.state_spec = (gradscope.Block("h", (17,)),)
        torch.manual_seed(0)
        self.A, self.V = nn.Parameter(torch.randn(17, 17) / 4), nn.Parameter(torch.randn(17, 17) / 4)
        self._in_prepare, self._in_readout = in_prepare, in_readout

    def prepare(self, x):
        u = F.linear(torch.sin(F.linear(x, self.V)), self.A) if self._in_prepare else F.linear(x, self.V)
        return {"a": u}

    def step(self, s, u, t):
        return {"h": torch.tanh(F.linear(s["h"], self.A) + u["a"])}

    def readout(self, s, u):
        return F.linear(s["h"], self.V) if self._in_readout else s["h"]


class TiedStep(gradscope.Recurrence):
    """The same in the first two alone, and a bias in both."""

    recurrent_parameter_names = ("A",)

    def __init__(self):
        super().__init__()
        self.input_size = self.output_size = 17
        self.state_spec = (gradscope.Block("h", (17,)),)
        torch.manual_seed(0)
        self.A, self.b = nn.Parameter(torch.randn(17, 17) / 4), nn.Parameter(torch.randn(17))

    def step(self, s, u, t):
        return {"h": torch.tanh(F.linear(s["h"], self.A, self.b) + u["a"])}

    def prepare(self, x):
        return {"a": F.linear(x, self.A, self.b)}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("length", [7, 12])
def test_a_matrix_of_a_step_may_be_one_of_prepare(length, loss):
    model = TiedStep().double()
    check_against_autograd(model, inputs(input_size=17), loss)
    gradients, norms = both_ways(model, inputs(length, input_size=17), [length, 4, 3], loss)
    assert norms["A"].mantissa.shape == (3, 2, 1)  # 2 · 4 (17 + 17) < 17²
    for name, reference in gradients.items():
        assert (norms[name].log10_norm() - reference.log10_norm()).abs().max() < DECADES[torch.float64]


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("in_readout", [False, True])
@pytest.mark.parametrize("in_prepare", [False, True])
def test_one_matrix_in_several_places_has_autograds_norm(in_prepare, in_readout, loss, monkeypatch):
    monkeypatch.setattr("gradscope.dynamics.linearize.SEGMENT_STEPS", (2, 2))
    model = Tied(in_prepare=in_prepare, in_readout=in_readout).double()
    check_against_autograd(model, inputs(input_size=17), loss)
