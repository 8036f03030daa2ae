"""Class counts: the chi-square test of homogeneity, entropy, balanced accuracy."""

import math
from statistics import NormalDist

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import (
    Prior,
    Summary,
    SummaryError,
    SummarySpec,
    balanced_accuracy,
    prior_shift,
    summarise,
    uninformed_loss,
)

from .windows import binomial_limit
from .worlds import QUICK


def counted(*counts: int, correct: tuple[int, ...] | None = None) -> Summary:
    labels = [index for index, count in enumerate(counts) for _ in range(count)]
    hits = zip(correct or counts, counts, strict=True)
    right = [index < have for have, count in hits for index in range(count)]
    spec = SummarySpec(7, classes=len(counts))
    return summarise(
        spec, [0.0] * len(labels), labels=labels, correct=None if correct is None else right
    )


@QUICK
@given(st.integers(20, 200), st.integers(20, 200), st.integers(20, 200), st.integers(20, 200))
def test_with_two_classes_it_is_the_squared_z_of_two_shares(a: int, b: int, c: int, d: int):
    got = prior_shift(counted(a, b), counted(c, d))
    share = (a + c) / (a + b + c + d)
    error = math.sqrt(share * (1 - share) * (1 / (a + b) + 1 / (c + d)))
    z = (a / (a + b) - c / (c + d)) / error
    assert got.statistic == pytest.approx(z**2, abs=1e-9)
    assert got.p_value == pytest.approx(2 * (1 - NormalDist().cdf(abs(z))), abs=1e-9)
    assert got.p_value == pytest.approx(1 - NormalDist().cdf(got.z), abs=1e-9)


def test_with_three_classes_the_tail_is_exponential():
    got = prior_shift(counted(30, 20, 50), counted(50, 30, 20))
    expected = [(40, 30, 50), (40, 50, 30), (25, 20, 30), (25, 30, 20), (35, 50, 20), (35, 20, 50)]
    statistic = sum((have - mean) ** 2 / mean for mean, have, _ in expected)
    assert got.statistic == pytest.approx(statistic)
    assert got.p_value == pytest.approx(math.exp(-statistic / 2))


def test_without_two_classes_to_compare_nothing_moved():
    plain = summarise(SummarySpec(7), [1.0])
    nothing = Prior(0.0, 0.0, 1.0)
    assert prior_shift(plain, plain) == nothing
    assert prior_shift(counted(9, 0), counted(30, 0)) == nothing
    assert prior_shift(counted(1, 1), counted(2, 1)) == nothing  # all too rare to tell


def test_rare_classes_are_counted_as_one():
    many = prior_shift(counted(60, 2, 1, 1, 0), counted(200, 20, 15, 15, 6))
    one = prior_shift(counted(60, 4), counted(200, 56))
    assert many.statistic == pytest.approx(one.statistic)
    assert prior_shift(counted(0, 64), counted(256, 0)).z > 10


def test_quiet_windows_rarely_alarm_with_many_classes_too():
    generator = torch.Generator().manual_seed(4)
    shares = 1.0 / torch.arange(1, 21)
    spec = SummarySpec(7, classes=20)
    alarms, windows = 0, 1000

    def drawn(rows: int) -> Summary:
        labels = torch.multinomial(shares, rows, replacement=True, generator=generator)
        return summarise(spec, torch.zeros(rows), labels=labels)

    for _ in range(windows):
        alarms += prior_shift(drawn(64), drawn(256)).z > 2.33
    # Expected counts of 5 make the chi-square tail right to about a fifth.
    assert alarms <= binomial_limit(windows, 0.012)


def test_other_specs_are_refused():
    with pytest.raises(SummaryError):
        prior_shift(counted(3, 3), counted(3, 3, 3))


def test_the_uninformed_loss_is_the_entropy_of_the_labels():
    assert uninformed_loss(counted(5, 5, 5, 5)) == pytest.approx(math.log(4))
    assert uninformed_loss(counted(9, 0)) == 0.0
    mixed = uninformed_loss(counted(3, 1))
    assert mixed == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert uninformed_loss(summarise(SummarySpec(7), [1.0])) is None


def test_without_classes_the_uninformed_loss_is_that_of_the_base_model():
    rows = summarise(SummarySpec(7), [1.0, 1.0], base_losses=[3.0, 4.0])
    assert uninformed_loss(rows) == 3.5


def test_balanced_accuracy_weighs_classes_alike_and_skips_absent_ones():
    assert balanced_accuracy(counted(90, 10, 0, correct=(90, 5, 0))) == 0.75
    assert balanced_accuracy(counted(4, 4, correct=(0, 0))) == 0.0
    assert balanced_accuracy(counted(4, 4)) is None
    assert balanced_accuracy(summarise(SummarySpec(7), [1.0])) is None
