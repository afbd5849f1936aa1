"""Derivatives that an architecture writes down itself against those that autograd finds."""

from dataclasses import replace

import pytest
import torch

import gradscope
from gradscope.contract.chain import ChainRecurrence
from gradscope.dynamics.chain import diagonals
from gradscope.dynamics.segments import Segment
from tests.equations import EQUATIONS
from tests.models import SINGLE, inputs, small


def writes_derivatives(model):
    return isinstance(model, ChainRecurrence) and any(stage.derivatives for stage in model.stages)


WRITTEN = [(name, options) for name, options in SINGLE if writes_derivatives(small(name, **options))]


def test_some_architectures_write_their_derivatives():
    assert WRITTEN


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize(("name", "options"), WRITTEN, ids=str)
def test_closed_forms_equal_autograd(name, options, scale, monkeypatch):
    model, x = small(name, **options), inputs(length=20) * scale
    (trajectory,) = gradscope.linearize(model, x).recurrences
    here = trajectory.segment(Segment(0, 20, 1))
    written = diagonals(model, here, with_u=True)
    without = tuple(replace(stage, derivatives=None) for stage in model.stages)
    monkeypatch.setattr(type(model), "stages", without)
    found = diagonals(model, here, with_u=True)
    assert written.layout == found.layout
    differences = {written.layout.gates[-1][gate] for gate in EQUATIONS[name].differences}
    for mine, reference in zip(written.stages[-1], found.stages[-1], strict=True):
        assert mine.name == reference.name
        for group in ("slots", "nodes", "u"):
            ours, theirs = getattr(mine, group), getattr(reference, group)
            assert ours.keys() == theirs.keys()
            for key in ours:
                if key in differences or (differences and group == "u"):
                    assert (ours[key] - theirs[key]).abs().max() < 1e-15
                    continue
                assert torch.allclose(ours[key], theirs[key], rtol=1e-9, atol=1e-300), (mine.name, group, key)
