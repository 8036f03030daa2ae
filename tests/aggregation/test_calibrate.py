"""Thresholds: an order statistic that keeps its promise for any distribution."""

import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import ArgumentError, calibrate

from .worlds import QUICK

LOW = -1e9


@QUICK
@given(st.integers(1, 300), st.sampled_from([100, 50, 20, 10, 4, 2]))
def test_a_further_value_is_above_it_with_at_most_that_probability(count: int, one_in: int):
    """Among count + 1 exchangeable values each rank is equally likely for the last one."""
    threshold = calibrate(list(range(count)), level=1 / one_in, floor=LOW)
    above = Fraction(count - int(threshold), count + 1)  # ranks of the last value above it
    promised = max(Fraction(1, one_in), Fraction(1, count + 1))
    assert above <= promised
    if threshold > 0:
        assert above + Fraction(1, count + 1) > promised or above == promised  # and not laxer


def test_the_promise_holds_where_an_interpolated_quantile_breaks_it():
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(4000, 100, generator=generator, dtype=torch.float64).exp()
    ours = torch.tensor([calibrate(row[:99].tolist(), level=0.02, floor=LOW) for row in values])
    rate = float((values[:, 99] > ours).double().mean())
    assert rate == pytest.approx(0.02, abs=3.3 * math.sqrt(0.02 * 0.98 / 4000))


def test_the_floor_is_the_least_and_the_answer_without_values():
    assert calibrate([], level=0.01, floor=2.33) == 2.33
    assert calibrate([1.0, 2.0], level=0.01, floor=2.33) == 2.33
    assert calibrate([1.0, 9.0], level=0.01, floor=2.33) == 9.0


def test_the_order_of_values_does_not_matter_and_they_are_left_alone():
    values = [3.0, 1.0, 2.0]
    assert calibrate(values, level=0.5, floor=LOW) == calibrate(values[::-1], level=0.5, floor=LOW)
    assert values == [3.0, 1.0, 2.0]


BAD: list[tuple[Any, Any, Any]] = [
    ([1.0], 0.0, 2.33),
    ([1.0], 0.99, 2.33),
    ([1.0], math.nan, 2.33),
    ([1.0, math.nan], 0.01, 2.33),
    ([math.inf], 0.01, 2.33),
    ([1.0], 0.01, math.nan),
    (["x"], 0.01, 2.33),
    ([None], 0.01, 2.33),
]


@pytest.mark.parametrize(("values", "level", "floor"), BAD)
def test_a_level_is_a_rate_and_values_are_finite(values: Any, level: Any, floor: Any):
    with pytest.raises(ArgumentError):
        calibrate(values, level=level, floor=floor)
