"""The random maps: fixed for ever, normal, length-preserving, within the bound that is promised."""

import math

import pytest
import torch
from polyrank.aggregation import SummarySpec
from polyrank.aggregation._summary_maps import (
    energy_bound,
    fourier_features,
    normal_matrix,
    project,
    unit_rows,
)


def test_the_maps_are_fixed_for_ever():
    first = normal_matrix(2, 3, "7", "projection")
    assert [round(value, 4) for value in first.reshape(-1).tolist()] == [
        0.5005,
        1.5744,
        0.0108,
        -0.4163,
        0.6533,
        1.7795,
    ]


def test_the_maps_follow_from_seed_and_width_and_from_no_global_state():
    rows = torch.randn(3, 20, dtype=torch.float64)
    one = project(SummarySpec(7), rows)
    torch.manual_seed(1)
    assert torch.equal(project(SummarySpec(7, classes=2), rows), one)
    assert not torch.equal(project(SummarySpec(8), rows), one)
    wide = normal_matrix(21, 32, "7", "projection")
    assert not torch.equal(wide[:20], normal_matrix(20, 32, "7", "projection"))
    assert not torch.equal(
        normal_matrix(20, 32, "7", "fourier"), normal_matrix(20, 32, "7", "projection")
    )


def test_the_numbers_are_standard_normal():
    numbers = normal_matrix(400, 250, "moments").reshape(-1)
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        assert float((numbers**power).mean()) == pytest.approx(moment, abs=0.1)
    below = float((numbers < 1.0).to(torch.float64).mean())
    assert below == pytest.approx(0.5 * math.erfc(-1 / math.sqrt(2)), abs=0.005)


def test_fourier_features_have_length_one_and_estimate_the_gaussian_kernel():
    rows = unit_rows(torch.randn(40, 30, generator=torch.Generator().manual_seed(2)))
    features = fourier_features(SummarySpec(3, fourier=1024), 0.9, rows)
    assert torch.allclose(features.norm(dim=1), torch.ones(40, dtype=torch.float64), atol=1e-12)
    kernel = torch.exp(-(torch.cdist(rows, rows) ** 2) / (2 * 0.9**2))
    errors = features @ features.T - kernel
    assert float(errors.abs().max()) < 5 / math.sqrt(512)
    assert float(errors.pow(2).mean().sqrt()) < 1 / math.sqrt(512)


def test_the_projection_keeps_squared_lengths_in_the_mean():
    rows = unit_rows(torch.randn(5, 30, generator=torch.Generator().manual_seed(2)))
    squares = [project(SummarySpec(seed), rows).pow(2).sum(dim=1) for seed in range(200)]
    assert torch.allclose(torch.stack(squares).mean(dim=0), torch.ones(5).double(), atol=0.08)


@pytest.mark.parametrize("width", [1, 2, 31, 384, 1024])
@pytest.mark.parametrize("projected", [1, 32, 200])
def test_no_unit_row_is_projected_beyond_the_bound(width: int, projected: int):
    for seed in range(2):
        spec = SummarySpec(seed, projected=projected)
        largest = float(torch.linalg.matrix_norm(project(spec, torch.eye(width).double()), 2))
        assert largest**2 <= energy_bound(spec, width)


def test_rows_are_scaled_to_length_one_and_zero_rows_stay_zero():
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0], [-3e-30, 4e-30], [3e30, 0.0]])
    expected = torch.tensor([[0.6, 0.8], [0.0, 0.0], [-0.6, 0.8], [1.0, 0.0]])
    assert torch.allclose(unit_rows(rows), expected.double(), atol=1e-7)
