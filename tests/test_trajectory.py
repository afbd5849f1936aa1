"""What a trajectory keeps and what it makes anew are the same."""

import pytest
import torch

import gradscope
from gradscope.dynamics.trajectory import Trajectory
from tests.models import RECURRENT_NAMES, SINGLE_NAMES, Convolved, inputs, small
from tests.tolerances import DECADES, RELATIVE

RANGES = [(0, 1), (0, 300), (127, 129), (128, 256), (100, 290), (255, 256), (299, 300), (64, 65)]


def counted(model):
    """The model, and how many steps it has prepared."""
    plain, steps = model.prepare, []

    def prepare(x):
        steps.append(x.numel() // x.shape[-1] // 2)  # a batch of 2
        return plain(x)

    model.prepare = prepare
    return model, steps


def made(name):
    if name == "reaches back":
        torch.manual_seed(0)
        return Convolved(4, 3).double()
    return small(name)


@pytest.mark.parametrize("states", ["kept", "checkpointed"])
@pytest.mark.parametrize("name", [*SINGLE_NAMES, "reaches back"])
@torch.no_grad()
def test_what_is_prepared_is_made_once_and_the_same(name, states, monkeypatch):
    if states == "checkpointed":
        monkeypatch.setattr("gradscope.dynamics.trajectory.KEPT_BYTES", 0)
    x = inputs(length=300).transpose(0, 1).contiguous()
    reference = {n: v.transpose(0, 1) for n, v in made(name).prepare(x.transpose(0, 1)).items()}
    for budget in (1 << 30, 0):
        monkeypatch.setattr("gradscope.dynamics.trajectory.PREPARED_BYTES", budget)
        model, steps = counted(made(name))
        trajectory = Trajectory(model, x)
        before = len(steps)
        for start, stop in RANGES:
            found = trajectory.prepared(start, stop)
            assert found.keys() == reference.keys()
            for key, value in found.items():
                assert torch.allclose(value, reference[key][start:stop], rtol=RELATIVE[torch.float64], atol=1e-13)
        assert len(steps) - before == (0 if budget else len(RANGES))


@torch.no_grad()
def test_a_short_last_block_is_not_kept_alone(monkeypatch):
    model, x = small("lstm"), inputs(length=130).transpose(0, 1).contiguous()
    monkeypatch.setattr("gradscope.dynamics.trajectory.PREPARED_BYTES", 2000)  # 2 steps of 192 bytes, not 128
    found = Trajectory(model, x).prepared(0, 2)
    assert torch.allclose(found["a"], model.prepare(x[:2])["a"], rtol=RELATIVE[torch.float64], atol=0)


@pytest.mark.parametrize("name", RECURRENT_NAMES)
def test_numbers_do_not_depend_on_what_is_kept(name, monkeypatch):
    monkeypatch.setattr("gradscope.dynamics.linearize.SEGMENT_STEPS", (50, 50))  # some cross the blocks
    x, model = inputs(length=150), small(name)
    kept = gradscope.gradient_norms(model, x, [90, 150], loss="mean")
    monkeypatch.setattr("gradscope.dynamics.trajectory.PREPARED_BYTES", 0)
    anew = gradscope.gradient_norms(model, x, [90, 150], loss="mean")
    for mine, reference in (
        (kept.log10_norm, anew.log10_norm),
        (kept.log10_weight_gradient_norm, anew.log10_weight_gradient_norm),
    ):
        for key, norm in reference.items():
            assert torch.allclose(mine[key], norm, rtol=0, atol=DECADES[torch.float64], equal_nan=True)
