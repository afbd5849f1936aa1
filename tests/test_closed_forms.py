"""Derivatives that an architecture writes down itself against those that autograd finds."""

from dataclasses import replace

import pytest
import torch

import gradscope
from gradscope.architectures.dense.rnn import RNN
from gradscope.architectures.gated.gru import GRU
from gradscope.architectures.gated.lstm import LSTM
from gradscope.dynamics.chain import diagonals
from gradscope.dynamics.segments import Segment
from tests.models import inputs, small


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize(("name", "cls"), [("lstm", LSTM), ("rnn", RNN), ("gru", GRU)])
def test_closed_forms_equal_autograd(name, cls, scale, monkeypatch):
    model, x = small(name), inputs(length=20) * scale
    (trajectory,) = gradscope.linearize(model, x).recurrences
    here = trajectory.segment(Segment(0, 20, 1))
    written = diagonals(model, here, with_u=True)
    stages = cls.stages.fget
    monkeypatch.setattr(cls, "stages", property(lambda self: (replace(stages(self)[0], derivatives=None),)))
    found = diagonals(model, here, with_u=True)
    assert written.layout == found.layout
    for mine, reference in zip(written.stages[0], found.stages[0], strict=True):
        assert mine.name == reference.name
        for group in ("slots", "nodes", "u"):
            ours, theirs = getattr(mine, group), getattr(reference, group)
            assert ours.keys() == theirs.keys()
            for key in ours:
                if (name, key) in (("gru", 2), ("gru", "a")):  # h − n of z's derivative cancels where both saturate
                    assert (ours[key] - theirs[key]).abs().max() < 1e-15
                    continue
                assert torch.allclose(ours[key], theirs[key], rtol=1e-9, atol=1e-300), (mine.name, group, key)
