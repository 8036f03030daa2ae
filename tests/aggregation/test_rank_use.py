"""How much of a rank budget is in use: against a brute-force cut, and at its borders."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from polyrank.aggregation import Adapter, ArgumentError, Factors, rank_use, spectrum, truncate

SHAPE = (16, 16)


def use(*spectra: list[float], budget: int = 8, max_error: float = 0.1, shape=SHAPE):
    named = {str(i): values for i, values in enumerate(spectra)}
    return rank_use(named, budget, shapes=dict.fromkeys(named, shape), max_error=max_error)


def test_a_module_is_full_when_99_percent_of_its_energy_need_nine_tenths_of_the_budget():
    flat, steep = [1.0] * 8, [1.0, 0.5, 0.01, 0.01]
    assert use(flat).saturated_share == 1.0
    assert use(flat, steep).saturated_share == 0.5
    assert use(flat, budget=9).saturated_share == 0.0, "8 is less than 8.1"
    assert use([1.0] * 9, budget=10).saturated_share == 1.0
    assert use(flat, shape=(8, 16)).saturated_share == 0.0, "its shape has no room for more"


def test_an_elbow_is_a_gap_of_two_that_may_be_cut_at_and_asks_for_no_more_than_the_energy():
    gap = [4.0, 3.0, 0.04, 0.03, 0.02]
    assert (use(gap).elbow, use(gap).energy_rank) == (2, 2)
    early = [10.0, 3.0, 1.6, 1.5, 1.4, 1.3]
    assert use(early).elbow is None, "one strong direction is not all there is"
    assert use(early, max_error=0.5).elbow == 1
    assert use(early, max_error=0.5).energy_rank == 6
    late = [10.0, 0.9, 0.6, 0.4, 0.3, 0.01]
    assert (use(late).elbow, use(late).energy_rank) == (None, 2), "99 % come before its last gap"


def test_of_several_modules_the_one_that_needs_most_counts():
    found = use([4.0, 3.0, 0.01], [1.0, 1.0, 1.0, 1.0])
    assert (found.elbow, found.energy_rank) == (4, 4)
    assert found.cut_error == 0.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 6), st.integers(1, 6))
def test_the_error_is_that_of_the_cut(seed: int, first: int, second: int):
    generator = torch.Generator().manual_seed(seed)

    def drawn(rank: int) -> Factors:
        b, a = (torch.randn(9, rank, generator=generator) for _ in range(2))
        return Factors(b * torch.logspace(0, -2, rank), a.T.contiguous())

    adapter = Adapter({"q": drawn(first), "v": drawn(second)})
    spectra = {name: values.tolist() for name, values in spectrum(adapter).items()}
    found = rank_use(spectra, 6, shapes=adapter.shapes, max_error=0.1)
    cut = found.energy_rank if found.elbow is None else found.elbow
    assert found.cut_error == pytest.approx(truncate(adapter, cut).error.overall, abs=1e-6)
    assert found.cut_error <= math.sqrt(0.01) + 1e-9
    less = truncate(adapter, {"q": max(cut - 1, 0), "v": max(cut - 1, 0)}).error
    assert max(less.per_module.values()) > math.sqrt(0.01) - 1e-6 or found.elbow is not None


def test_nothing_learnt_and_no_modules_need_nothing():
    assert use([0.0, 0.0]) == use([]) == use()
    assert (use().energy_rank, use().elbow, use().cut_error) == (0, None, 0.0)


@pytest.mark.parametrize("values", [[math.nan], [math.inf], [-1.0]])
def test_values_that_cannot_be_are_refused(values: list[float]):
    with pytest.raises(ArgumentError):
        use(values)


def test_a_bad_budget_error_or_shape_is_refused():
    for budget, error in ((0, 0.1), (True, 0.1), (4, 1.5), (4, -0.1), (4, math.nan)):
        with pytest.raises(ArgumentError):
            use([1.0], budget=budget, max_error=error)
    with pytest.raises(ArgumentError, match="shape"):
        rank_use({"q": [1.0]}, 4, shapes={}, max_error=0.1)
