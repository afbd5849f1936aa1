"""What large Jacobians take: nearly empty columns, one inverse for all steps, the 2-norm by iteration; slow twins."""

import math

import pytest
import torch

import gradscope
from gradscope.numerics import two_norm as norms
from gradscope.numerics.products import product_norms
from gradscope.numerics.random_streams import random_stream
from gradscope.numerics.repeated_inverse import RepeatedInverse
from gradscope.numerics.sparse_columns import SMALLEST, sparse_columns
from tests.models import SINGLE, inputs, small
from tests.tolerances import DECADES, RELATIVE

EXACT = {"rtol": RELATIVE[torch.float64], "atol": RELATIVE[torch.float64]}
NEVER = 10**9


def gaussian(*shape, seed=0):
    return torch.from_numpy(random_stream("probes", seed).standard_normal(shape))


def cell_state(batch=2, hidden=4):
    """Columns of h full, of c with two entries each but one, which has one."""
    matrix = gaussian(batch, 2 * hidden, 2 * hidden)
    matrix[:, :, hidden:] = 0
    for unit in range(hidden):
        matrix[:, unit, hidden + unit] = 0.3 + 0.1 * unit if unit else 0.0
        matrix[:, hidden + unit, hidden + unit] = 0.9 - 0.2 * unit  # larger than the other one, and smaller
    return matrix


def test_nearly_empty_columns_are_left_out_of_matrix_products():
    matrix, vectors = cell_state(), gaussian(2, 8, 5, seed=1)
    structure = sparse_columns(matrix, 1)
    assert structure is not None
    assert structure.sparse.tolist() == [4, 5, 6, 7]
    assert torch.allclose(structure.times(vectors), matrix @ vectors, **EXACT)
    assert torch.allclose(structure.transposed_times(vectors), matrix.mT @ vectors, **EXACT)
    solved, info = structure.solve(vectors)
    assert not info.any()
    assert torch.allclose(solved, torch.linalg.solve(matrix, vectors), **EXACT)


def test_columns_that_cannot_be_pivots_are_left_to_lapack():
    shared = cell_state()
    shared[:, :, 4] = shared[:, :, 5]
    empty = cell_state()
    empty[:, :, 6] = 0
    unlike = cell_state()
    unlike[1, [0, 4], 4] = torch.tensor([100.0, 1e-3], dtype=torch.float64)  # the first sample's pivot is the fourth
    unlike[0, [0, 4], 4] = torch.tensor([1e-3, 200.0], dtype=torch.float64)
    for matrix in (shared, empty, unlike):
        assert sparse_columns(matrix, 1).solve(gaussian(2, 8, 3)) is None


def test_full_small_and_diagonal_matrices_have_no_such_structure():
    assert sparse_columns(gaussian(2, 7, 7), 1) is None
    assert sparse_columns(cell_state()) is None
    assert sparse_columns(torch.eye(7, dtype=torch.float64).expand(2, 7, 7), 1) is None


@pytest.mark.parametrize(("name", "options"), SINGLE, ids=str)
def test_products_by_structure_are_those_without(name, options):
    (part,) = gradscope.linearize(small(name, hidden_size=5, **options), inputs(length=9), accelerated=False).coupled
    fast, slow = (product_norms(part.core, part.null_directions, 9, range(1, 10), smallest) for smallest in (1, NEVER))
    for quantity in ("largest_singular_value", "smallest_singular_value", "frobenius_norm"):
        mine, twin = (getattr(found, f"log10_{quantity}") for found in (fast, slow))
        assert torch.allclose(mine, twin, rtol=0, atol=DECADES[torch.float64], equal_nan=True), quantity


def test_a_large_jacobian_is_applied_by_its_structure():
    (part,) = gradscope.linearize(small("lstm", hidden_size=SMALLEST // 2), inputs(length=3)).coupled
    assert sparse_columns(part.core(1)) is not None
    expected = eye = torch.eye(SMALLEST, dtype=torch.float64).expand(2, -1, -1)
    for step in (1, 2, 3):
        expected = part.core(step) @ expected
    assert torch.allclose(part.push(0, 3, eye), expected, **EXACT)


def test_one_inverse_serves_a_matrix_whose_rows_are_multiplied():
    repeated, matrix, right = RepeatedInverse(1), gaussian(2, 7, 7), gaussian(2, 7, 7, seed=1)
    assert repeated.solve(matrix, right) is None
    for seed in (2, 3):
        scaled = gaussian(2, 7, 1, seed=seed) * matrix
        found = repeated.solve(scaled, right)
        assert found is not None
        assert torch.allclose(found, torch.linalg.solve(scaled, right), **EXACT)


def test_another_matrix_and_a_badly_conditioned_one_are_left_to_lapack():
    repeated, matrix, right = RepeatedInverse(1), gaussian(2, 7, 7), gaussian(2, 7, 7, seed=1)
    other = matrix.clone()
    other[1, 3, 2] *= 1 + 1e-13
    off = matrix.clone()
    off[0, 2] = 0
    for one in (matrix, other, off, matrix):
        assert repeated.solve(one, right) is None
    flat = matrix.clone()
    flat[:, 0] = flat[:, 1] + 1e-9 * flat[:, 0]
    repeated = RepeatedInverse(1)
    assert repeated.solve(flat, right) is None
    assert repeated.solve(2 * flat, right) is None


def large(kind):
    size = norms.SMALLEST_ITERATED + 1
    matrix = gaussian(size, size)
    if kind == "graded":
        return matrix * torch.logspace(0, -30, size, dtype=torch.float64)
    if kind == "orthogonal":
        return torch.linalg.qr(matrix).Q
    if kind == "two alike":
        q, p = torch.linalg.qr(matrix).Q, torch.linalg.qr(gaussian(size, size, seed=1)).Q
        values = torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        values[:2] = torch.tensor([2.0, 2.0 - 1e-9], dtype=torch.float64)
        return q * values @ p
    if kind == "of rank one":
        return torch.outer(matrix[0], matrix[1])
    return torch.zeros_like(matrix) if kind == "zero" else matrix


@pytest.mark.parametrize("kind", ["random", "graded", "orthogonal", "two alike", "of rank one", "zero"])
def test_the_two_norm_of_large_matrices(kind):
    matrix = large(kind)
    expected = torch.linalg.svdvals(matrix)[0]
    assert torch.allclose(norms.two_norm(matrix), expected, rtol=RELATIVE[torch.float64], atol=0)
    assert torch.allclose(norms.by_gram_matrix(matrix), expected, rtol=RELATIVE[torch.float64], atol=0)


def test_the_two_norm_is_found_by_iteration(monkeypatch):
    monkeypatch.setattr(norms, "by_gram_matrix", lambda matrix: pytest.fail("the whole spectrum was taken"))
    assert float(norms.two_norm(large("random"))) > 0


def test_a_matrix_that_is_not_finite_has_no_norm():
    matrix = torch.stack([large("random"), large("random")])
    matrix[0, 3, 2] = math.inf
    found = norms.two_norm(matrix)
    assert found[0].isnan()
    assert found[1].isfinite()
