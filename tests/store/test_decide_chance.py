"""Probabilities of false alarms, against exact sums, the standard library and simulation."""

from fractions import Fraction
from math import comb
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polyrank.store import AdaptationPolicy
from polyrank.store._decide_chance import at_least, beyond, confirmation_rate


def exact(alarms: int, windows: int, rate: Fraction) -> Fraction:
    below = range(alarms)
    return 1 - sum((comb(windows, k) * rate**k * (1 - rate) ** (windows - k) for k in below),
                   Fraction(0))  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 30), st.integers(1, 30), st.integers(1, 99))
def test_the_tail_of_a_binomial_is_exact(alarms: int, windows: int, percent: int):
    expected = float(exact(min(alarms, windows + 1), windows, Fraction(percent, 100)))
    assert at_least(alarms, windows, percent / 100) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_ten_thousand_windows_underflow_nothing():
    few = float(exact(8, 10_000, Fraction(1, 10_000)))
    assert at_least(8, 10_000, 1e-4) == pytest.approx(few, rel=1e-9)
    normal = NormalDist().cdf(-(1050 - 0.5 - 1000) / 30)
    assert at_least(1050, 10_000, 0.1) == pytest.approx(normal, rel=0.05)
    assert at_least(10_000, 10_000, 0.999) == pytest.approx(0.999**10_000, rel=1e-6)


def test_certain_and_impossible_alarms():
    assert at_least(0, 5, 0.1) == 1.0
    assert at_least(6, 5, 0.1) == 0.0
    assert at_least(1, 5, 0.0) == 0.0
    assert at_least(5, 5, 1.0) == 1.0


@pytest.mark.parametrize("z", [-3.0, 0.0, 1.0, 2.33, 6.0])
def test_beyond_is_the_upper_tail_of_the_normal_distribution(z: float):
    assert beyond(z) == pytest.approx(NormalDist().cdf(-z), rel=1e-9)


@pytest.mark.parametrize(("confirm", "confirm_of"), [(1, 1), (2, 3), (3, 3), (1, 3)])
def test_confirmation_of_a_quiet_node_is_as_frequent_as_in_a_simulation(
    confirm: int, confirm_of: int
):
    rate, base_windows, nodes = 0.05, 4, 400_000
    dice = np.random.default_rng(1)
    base = dice.standard_normal((nodes, base_windows)).mean(axis=1, keepdims=True)
    z = (dice.standard_normal((nodes, confirm_of)) - base) / np.sqrt(1 + 1 / base_windows)
    harmful = (z > NormalDist().inv_cdf(1 - rate)).sum(axis=1)
    seen = float((harmful >= confirm).mean())
    policy = AdaptationPolicy(
        false_positive_rate=rate, confirm_of=confirm_of, confirm=1, base_windows=base_windows
    )
    found = confirmation_rate(policy, confirm)
    assert found == pytest.approx(seen, abs=4 * (seen / nodes) ** 0.5)
    assert confirm == 1 or found > 1.5 * at_least(confirm, confirm_of, rate), "not independent"
