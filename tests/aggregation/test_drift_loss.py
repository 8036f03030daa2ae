"""The test of harm: Welch's z, never infinite, cautious under skew, sure of flipped labels."""

import math
from statistics import fmean, variance

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import SummaryError, SummarySpec, loss_rise, summarise

from .windows import binomial_limit, skewed_losses
from .worlds import QUICK

SPEC = SummarySpec(7)
LOSSES = st.lists(st.floats(-12, 12), min_size=2, max_size=30)


@QUICK
@given(LOSSES, LOSSES)
def test_it_is_welchs_statistic_of_the_clipped_losses(one: list[float], two: list[float]):
    rise = loss_rise(summarise(SPEC, one), summarise(SPEC, two))
    x, y = ([max(-10.0, min(10.0, value)) for value in values] for values in (one, two))
    error = math.sqrt(max(1e-4, variance(x)) / len(x) + max(1e-4, variance(y)) / len(y))
    assert rise.difference == pytest.approx(fmean(x) - fmean(y), abs=1e-9)
    assert rise.standard_error == pytest.approx(error, rel=1e-5)
    assert rise.z == pytest.approx(max(-40, min(40, rise.difference / error)), abs=1e-4)


def test_losses_without_variance_give_a_bounded_z():
    one, two = summarise(SPEC, [0.5] * 64), summarise(SPEC, [0.0] * 256)
    assert loss_rise(one, two).z == 40.0
    assert loss_rise(two, one).z == -40.0
    assert loss_rise(one, one).z == 0.0


def test_differences_far_below_a_hundredth_of_a_nat_are_no_evidence():
    one, two = summarise(SPEC, [0.0011] * 64), summarise(SPEC, [0.001] * 256)
    assert 0 < loss_rise(one, two).z < 0.1


def test_the_variance_of_a_single_row_is_taken_from_the_other_side():
    many, one = summarise(SPEC, [1.0, 3.0, 1.0, 3.0]), summarise(SPEC, [4.0])
    rise = loss_rise(one, many)
    assert rise.standard_error == pytest.approx(math.sqrt(4 / 3 * (1 + 1 / 4)))
    assert loss_rise(many, one).standard_error == rise.standard_error
    assert loss_rise(one, one).standard_error == pytest.approx(math.sqrt(2))


def test_one_row_moves_the_difference_by_no_more_than_its_share_of_the_clip():
    base = summarise(SPEC, [0.5, 1.5] * 100)
    calm = loss_rise(summarise(SPEC, [0.5, 1.5] * 32), base)
    lied = loss_rise(summarise(SPEC, [1e12, 1.5] + [0.5, 1.5] * 31), base)
    assert calm.z == pytest.approx(0.0, abs=1e-9)
    assert lied.difference <= 10 / 64
    assert lied.z < 1.1


def test_summaries_of_two_specs_are_not_compared():
    with pytest.raises(SummaryError, match="two specs"):
        loss_rise(summarise(SPEC, [1.0]), summarise(SummarySpec(8), [1.0]))


@pytest.mark.parametrize(("rows", "base_rows"), [(64, 256), (192, 768)])
def test_quiet_windows_of_skewed_losses_rarely_alarm(rows: int, base_rows: int):
    generator = torch.Generator().manual_seed(rows)
    alarms, windows = 0, 1000
    for _ in range(windows):
        one = summarise(SPEC, skewed_losses(rows, generator))
        two = summarise(SPEC, skewed_losses(base_rows, generator))
        alarms += loss_rise(one, two).z > 2.33
    assert alarms <= binomial_limit(windows, 0.01)


def test_flipped_labels_are_found_and_so_is_every_second_flip():
    generator = torch.Generator().manual_seed(5)
    found = {1.0: 0, 0.5: 0}
    for _ in range(50):
        base = summarise(SPEC, skewed_losses(256, generator))
        for share in found:
            losses = skewed_losses(64, generator)
            flips = int(64 * share)
            losses[:flips] = skewed_losses(flips, generator, margin=-2.0)
            found[share] += loss_rise(summarise(SPEC, losses), base).z > 2.33
    assert found[1.0] == 50
    assert found[0.5] > 45
