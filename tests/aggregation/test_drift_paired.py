"""Paired differences: sums that pool, a z that one row cannot decide, lies that are refused."""

import math
from statistics import fmean, variance
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import ArgumentError, Paired, SummaryError, paired, pool

from .windows import binomial_limit
from .worlds import QUICK

VALUES = st.lists(st.floats(-15, 15), min_size=2, max_size=40)


@QUICK
@given(VALUES)
def test_mean_error_and_z_are_those_of_a_paired_t_test(values: list[float]):
    got = paired(values)
    clipped = [max(-10.0, min(10.0, value)) for value in values]
    error = math.sqrt(max(1e-4, variance(clipped)) / len(clipped))
    assert got.mean == pytest.approx(fmean(clipped), abs=1e-9)
    assert got.standard_error == pytest.approx(error, rel=1e-5)
    assert got.z == pytest.approx(max(-40, min(40, got.mean / error)), abs=1e-4)


@QUICK
@given(st.lists(VALUES, max_size=5))
def test_pooled_results_are_those_of_all_rows_together(parts: list[list[float]]):
    got = pool(paired(part) for part in parts)
    whole = paired([value for part in parts for value in part])
    assert got.count == whole.count
    assert got.sum == pytest.approx(whole.sum, abs=1e-9)
    assert got.square_sum == pytest.approx(whole.square_sum, abs=1e-9)


def test_equal_differences_give_a_bounded_z_and_tiny_ones_none():
    assert paired([0.5] * 64).z == 40.0
    assert abs(paired([1e-5] * 64).z) < 0.01


@pytest.mark.parametrize("values", [[], [3.0]])
def test_fewer_than_two_rows_decide_nothing(values: list[float]):
    got = paired(values)
    assert (got.count, got.z, got.standard_error) == (len(values), 0.0, 1.0)


def test_one_row_cannot_decide():
    assert paired([1e9] + [0.0] * 63).z < 1.1
    assert paired([math.inf, -math.inf, math.nan]).sum == 0.0
    assert paired([5.0, 1.0], limit=2.0).sum == 3.0


def test_null_differences_pass_the_threshold_as_rarely_as_they_should():
    generator = torch.Generator().manual_seed(3)
    values = 0.3 * torch.randn(2000, 64, generator=generator)
    hits = sum(paired(row.tolist()).z > 2.33 for row in values)
    assert hits <= binomial_limit(2000, 0.0125)  # Student's t at 63 degrees passes 2.33 in 1.15 %


@pytest.mark.parametrize("limit", [0.0, -1.0, math.inf, math.nan])
def test_a_limit_is_positive(limit: float):
    with pytest.raises(ArgumentError):
        paired([1.0], limit=limit)


def test_differences_are_numbers():
    with pytest.raises(ArgumentError):
        paired(["x"])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "values",
    [
        (-1, 0.0, 0.0),
        (2.0, 0.0, 0.0),
        (True, 0.0, 0.0),
        (10**9 + 1, 0.0, 0.0),
        (2, math.nan, 1.0),
        (2, 1.0, math.inf),
        (2, "1", 1.0),
        (2, 2.0, 1.9),
        (2, 0.0, -1.0),
        (2, 5e6, 2e13),
        (0, 1.0, 1.0),
        (0, 0.0, 1.0),
    ],
)
def test_sums_that_no_rows_can_have_are_refused(values: tuple[Any, Any, Any]):
    with pytest.raises(SummaryError):
        Paired(*values)
