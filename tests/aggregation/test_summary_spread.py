"""Traces of the covariance's powers, held against brute force and against the known truth."""

import itertools
import math

import pytest
import torch
from polyrank.aggregation._summary_spread import MAX_CUBE, MAX_SQUARE, spread
from torch import Tensor


def some_rows(count: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, width, generator=generator, dtype=torch.float64) + 0.5
    return rows / rows.norm(dim=1, keepdim=True)


def mean_of_pairs(rows: Tensor) -> float:
    """<x1 - x2, y1 - y2>^2 / 4 over all choices of four rows in order."""
    values = [
        float((rows[a] - rows[b]) @ (rows[c] - rows[d])) ** 2 / 4
        for a, b, c, d in itertools.permutations(range(len(rows)), 4)
    ]
    return math.fsum(values) / len(values)


def mean_of_triples(rows: Tensor) -> float:
    centred = rows - rows.mean(dim=0)
    gram = (centred @ centred.T).tolist()
    values = [
        gram[a][b] * gram[b][c] * gram[c][a]
        for a, b, c in itertools.permutations(range(len(rows)), 3)
    ]
    return math.fsum(values) / len(values)


@pytest.mark.parametrize(("count", "width"), [(4, 3), (6, 9), (9, 4), (7, 7)])
def test_sums_are_means_over_distinct_rows(count: int, width: int):
    rows = some_rows(count, width)
    sums = spread(rows)
    assert sums.count == count
    assert sums.square_sum == pytest.approx(count * mean_of_pairs(rows), rel=1e-9)
    scale = (count / (count - 1)) ** 3
    assert sums.cube_sum == pytest.approx(count * scale * mean_of_triples(rows), rel=1e-9)


@pytest.mark.parametrize("count", [16, 30, 64])
def test_over_many_windows_the_sums_find_the_true_traces(count: int):
    values = torch.tensor([0.5, 0.3, 0.2, 0.1, 0.1, 0.05]).double()
    generator = torch.Generator().manual_seed(3)
    square, cube, windows = 0.0, 0.0, 1500
    for _ in range(windows):
        rows = torch.randn(count, 6, generator=generator, dtype=torch.float64) * values.sqrt()
        sums = spread(rows)
        square, cube = square + sums.square_sum, cube + sums.cube_sum
    assert square / (windows * count) == pytest.approx(float((values**2).sum()), rel=0.04)
    assert cube / (windows * count) == pytest.approx(float((values**3).sum()), rel=0.08)


def test_windows_too_small_for_an_unbiased_estimate_say_nothing():
    for count in range(4):
        sums = spread(some_rows(count, 5))
        assert (sums.square_sum, sums.cube_sum, sums.count) == (0.0, 0.0, 0)


def test_equal_rows_and_opposite_rows_stay_within_the_bounds():
    same = spread(some_rows(1, 5).expand(40, 5))
    assert (same.square_sum, same.cube_sum) == pytest.approx((0.0, 0.0), abs=1e-12)
    for count in (4, 5, 40):
        ends = torch.ones(count, 1, dtype=torch.float64)
        ends[::2] = -1.0
        sums = spread(ends)
        assert 0.9 * count < sums.square_sum <= MAX_SQUARE * count
        assert abs(sums.cube_sum) <= MAX_CUBE * count
