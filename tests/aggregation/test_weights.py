"""Weights: shares that add up to one, and nothing that vanishes silently."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import NothingToAggregateError, WeightError, normalise
from polyrank.aggregation._weights import weight_for

from .worlds import QUICK


@QUICK
@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=20))
def test_shares_add_up_to_one_and_keep_their_proportions(counts: list[float]):
    if max(counts) == 0:
        return
    shares = normalise(counts)
    assert math.isclose(math.fsum(shares), 1.0, rel_tol=1e-12)
    largest = counts.index(max(counts))
    for count, share in zip(counts, shares, strict=True):
        expected = count / counts[largest] * shares[largest]
        assert math.isclose(share, expected, rel_tol=1e-12, abs_tol=1e-300)


def test_no_counts_at_all_are_refused():
    with pytest.raises(NothingToAggregateError):
        normalise([])


@pytest.mark.parametrize(
    "counts", [[0.0, 0.0], [1.0, -1.0], [math.nan], [math.inf, 1.0], ["3"], [None], [True]]
)
def test_counts_without_a_meaning_are_refused(counts: list[float]):
    with pytest.raises(WeightError):
        normalise(counts)


def test_one_weight_holds_for_every_module():
    assert weight_for(0.25, "anything") == 0.25
    assert weight_for(2, "anything") == 2.0


def test_per_module_weights_that_forget_a_module_are_refused():
    with pytest.raises(WeightError) as caught:
        weight_for({"q": 1.0}, "v")
    assert caught.value.module == "v"


@pytest.mark.parametrize("weight", [math.nan, math.inf, "1", {"q": math.nan}, 10**400])
def test_weights_that_are_not_finite_numbers_are_refused(weight: object):
    with pytest.raises(WeightError):
        weight_for(weight, "q")  # type: ignore[arg-type]
