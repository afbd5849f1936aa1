"""The temporal Jacobian ∂y_T/∂x_t against autograd, for every architecture."""

import math

import pytest
import torch

import gradscope
from tests.models import ALL, inputs, small
from tests.tolerances import DECADES


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(("name", "options"), ALL, ids=str)
def test_blocks_equal_autograd(name, options, num_layers):
    model, x = small(name, num_layers=num_layers, **options), inputs()
    temporal = gradscope.temporal_jacobian(model, x)
    full = torch.autograd.functional.jacobian(lambda v: model(v)[:, -1], x)  # (batch, out, batch, time, in)
    for sample in range(2):
        for lag in range(7):
            block = full[sample, :, sample, 6 - lag]
            values = torch.linalg.svdvals(block)
            mine = temporal.log10_singular_values[sample, lag]
            if values[0] == 0:
                assert (mine == -math.inf).all()
                continue
            assert torch.allclose(mine[0], values[0].log10(), rtol=0, atol=DECADES[torch.float64])
            resolved = values > 1e-4 * values[0]  # smaller ones are what rounding makes of either
            assert torch.allclose(mine[resolved], values[resolved].log10(), rtol=0, atol=1e-8)
            norm = torch.linalg.matrix_norm(block).log10()
            assert torch.allclose(temporal.log10_frobenius_norm[sample, lag], norm, rtol=0, atol=DECADES[torch.float64])


def test_far_below_the_dtype():
    model = small("linear-rnn", dtype=torch.float32, init="orthogonal", radius=1e-3)
    norms = gradscope.temporal_jacobian(model, inputs(length=500, dtype=torch.float32)).log10_frobenius_norm[0]
    assert math.isclose(norms[499] - norms[0], -3 * 499, rel_tol=1e-6)


def test_a_module_of_ones_own():
    class Sum(gradscope.SequenceModel):
        input_size = output_size = 4
        components = ("x",)
        primary_component = "x"

        def forward_with_nodes(self, x):
            return x.cumsum(1), {}

    assert (gradscope.temporal_jacobian(Sum(), inputs()).log10_singular_values.abs() < 1e-12).all()


def test_what_is_not_finite_is_refused():
    class Huge(gradscope.SequenceModel):
        input_size = output_size = 4
        components = ("x",)
        primary_component = "x"

        def forward_with_nodes(self, x):
            return torch.exp(1e3 * x * x).cumsum(1), {}

    with pytest.raises(gradscope.Unmeasurable, match="not finite"):
        gradscope.temporal_jacobian(Huge(), inputs())
