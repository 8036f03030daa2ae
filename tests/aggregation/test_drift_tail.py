"""Tails and quantiles, held against closed forms and the standard library."""

import math
from statistics import NormalDist

import pytest
from polyrank.aggregation._drift_tail import MAX_Z, bounded, gamma_tail, z_of


@pytest.mark.parametrize("shape", [1, 2, 5, 40])
@pytest.mark.parametrize("x", [1e-6, 0.5, 3.0, 30.0, 90.0, 400.0])
def test_a_gamma_tail_of_whole_shape_is_a_poisson_sum(shape: int, x: float):
    terms = [math.exp(i * math.log(x) - x - math.lgamma(i + 1)) for i in range(shape)]
    assert gamma_tail(shape, x) == pytest.approx(math.fsum(terms), rel=1e-10)


@pytest.mark.parametrize("x", [1e-6, 0.2, 1.0, 7.0, 100.0])
def test_a_gamma_tail_of_shape_one_half_is_that_of_a_squared_normal(x: float):
    assert gamma_tail(0.5, x) == pytest.approx(math.erfc(math.sqrt(x)), rel=1e-10)


def test_below_its_support_a_tail_is_everything():
    assert gamma_tail(3.0, 0.0) == gamma_tail(3.0, -2.0) == 1.0


@pytest.mark.parametrize("p_value", [1e-300, 1e-100, 1e-9, 0.01, 0.3, 0.5, 0.99, 1 - 1e-9])
def test_z_is_the_normal_quantile_also_far_out(p_value: float):
    z = z_of(p_value)
    if p_value >= 1e-9:
        assert z == pytest.approx(-NormalDist().inv_cdf(p_value), abs=1e-6)
    assert 0.5 * math.erfc(z / math.sqrt(2)) == pytest.approx(p_value, rel=1e-9)


def test_no_z_is_beyond_its_bound():
    assert (z_of(0.0), z_of(1.0)) == (MAX_Z, -MAX_Z)
    assert (bounded(math.inf), bounded(-41.0), bounded(1.5)) == (40.0, -40.0, 1.5)
