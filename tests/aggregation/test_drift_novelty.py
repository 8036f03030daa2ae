"""Novelty: alarms at the rate it states, finds moved features at once, is blind to labels."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from polyrank.aggregation import (
    Novelty,
    Summary,
    SummaryError,
    SummarySpec,
    add,
    loss_rise,
    novelty,
    summarise,
)
from polyrank.aggregation._drift_novelty import Traces, mixture_tail
from polyrank.aggregation._summary_maps import fourier_features, unit_rows
from torch import Tensor

from .windows import (
    Source,
    binomial_limit,
    moved,
    skewed_losses,
    source,
    spec_for,
    window,
)

QUIET = source(1)
SPEC = spec_for(QUIET.rows(400, torch.Generator().manual_seed(1)), fourier=128)
FLAT = source(2, spread=0.0)  # one cluster: slowly falling eigenvalues, the two-moment fit's worst


def pair(first: Source, second: Source, rows: tuple[int, int], generator: torch.Generator):
    """A window of the first source, and a reference of the second, of windows of that size."""
    parts = [window(SPEC, second.rows(rows[0], generator)) for _ in range(rows[1] // rows[0])]
    return window(SPEC, first.rows(rows[0], generator)), add(parts)


@pytest.mark.parametrize(
    ("quiet", "rows"),
    [(QUIET, (64, 256)), (FLAT, (64, 64))],
    ids=["clusters", "one cluster, small reference"],
)
def test_quiet_windows_alarm_as_often_as_they_should(quiet: Source, rows: tuple[int, int]):
    generator = torch.Generator().manual_seed(sum(rows))
    z = torch.tensor([novelty(*pair(quiet, quiet, rows, generator)).z for _ in range(300)])
    # Long simulations give 0.8 to 1.4 %; a gamma fit of two moments up to 2.5 %, a bootstrap 33 %.
    assert int((z > 2.326).sum()) <= binomial_limit(300, 0.014)
    # And the middle is right, so the test is not merely deaf.
    assert float((z > 0.0).double().mean()) == pytest.approx(0.5, abs=0.08)
    assert float((z > 1.282).double().mean()) == pytest.approx(0.1, abs=0.04)


def exact_tail(statistic: float, eigenvalues: list[float]) -> float:
    """P(sum over i of l_i (X_i + Y_i) > statistic): each l_i twice gives sums of exponentials."""
    parts = [
        math.exp(-statistic / (2 * one))
        * math.prod(one / (one - other) for other in eigenvalues if other != one)
        for one in eigenvalues
    ]
    return math.fsum(parts)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("rate", "tolerance"), [(0.1, 0.05), (0.01, 0.03), (0.001, 0.25)])
def test_the_tail_is_that_of_a_weighted_sum_of_chi_squares(
    power: float, rate: float, tolerance: float
):
    eigenvalues = [k**-power for k in range(1, 13)]
    low, high = 0.0, 100.0
    for _ in range(60):  # the exact quantile, by bisection
        middle = (low + high) / 2
        low, high = (middle, high) if exact_tail(middle, eigenvalues) > rate else (low, middle)
    traces = Traces(*(2 * math.fsum(one**k for one in eigenvalues) for k in (1, 2, 3)))
    # Of two moments it would say 0.0063 to 0.0085 for 0.01, and 0.00025 to 0.0006 for 0.001.
    assert mixture_tail(high, traces) == pytest.approx(rate, rel=tolerance)


def test_the_tail_falls_without_a_jump_from_one_to_nothing():
    traces = Traces(1.0, 0.1, 0.02)
    values = [mixture_tail(step / 1000, traces) for step in range(6001)]
    assert values[0] == 1.0
    assert all(one >= two > one - 0.01 for one, two in pairwise(values))
    assert values[-1] < 1e-5


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_new_clusters_are_found_in_one_window(share: float):
    generator = torch.Generator().manual_seed(7)
    shifted = moved(QUIET, share)
    found = sum(novelty(*pair(shifted, QUIET, (64, 256), generator)).z > 2.33 for _ in range(60))
    assert found > 54


def test_flipped_labels_are_seen_by_the_loss_and_not_by_novelty():
    generator = torch.Generator().manual_seed(8)
    new, harmed = 0, 0
    for _ in range(100):
        rows = QUIET.rows(64, generator), QUIET.rows(256, generator)
        flipped = window(SPEC, rows[0], skewed_losses(64, generator, margin=-2.0))
        base = window(SPEC, rows[1], skewed_losses(256, generator))
        new += novelty(flipped, base).z > 2.33
        harmed += loss_rise(flipped, base).z > 2.33
    assert new <= binomial_limit(100, 0.015)
    assert harmed == 100


def permuted(x: Tensor, y: Tensor, rounds: int, generator: torch.Generator) -> float:
    """The permutation test's p value of the same statistic, from the rows themselves."""
    both = torch.cat([x, y])
    n, total = len(x), len(both)

    def distance(order: Tensor) -> float:
        return float((both[order[:n]].mean(dim=0) - both[order[n:]].mean(dim=0)).norm())

    observed = distance(torch.arange(total))
    beyond = [distance(torch.randperm(total, generator=generator)) for _ in range(rounds)]
    return (1 + sum(value >= observed for value in beyond)) / (rounds + 1)


def test_p_values_are_those_of_a_permutation_test_of_the_rows():
    generator = torch.Generator().manual_seed(9)
    for share in (0.0, 0.0, 0.1, 0.2, 0.3):
        first = moved(QUIET, share) if share else QUIET
        x, y = first.rows(48, generator), QUIET.rows(96, generator)
        got = novelty(window(SPEC, x), window(SPEC, y)).p_value
        maps = (fourier_features(SPEC, SPEC.bandwidth or 0.0, unit_rows(rows)) for rows in (x, y))
        expected = permuted(*maps, rounds=600, generator=generator)
        # Four standard errors of the permutations, and a fit that is good to a tenth.
        slack = 4 * math.sqrt(expected * (1 - expected) / 600) + 0.1 * min(expected, 1 - expected)
        assert got == pytest.approx(expected, abs=slack + 0.004)


def test_the_statistic_is_the_squared_distance_of_means_by_the_harmonic_count():
    generator = torch.Generator().manual_seed(10)
    one, two = pair(moved(QUIET, 0.5), QUIET, (30, 90), generator)
    distance = sum(
        (x / 30 - y / 90) ** 2
        for x, y in zip(one.fourier_sum.tolist(), two.fourier_sum.tolist(), strict=True)
    )
    assert novelty(one, two).statistic == pytest.approx(distance / (1 / 30 + 1 / 90), rel=1e-5)


def test_p_falls_and_z_rises_with_the_distance_without_a_jump():
    generator = torch.Generator().manual_seed(11)
    base, far = pair(moved(QUIET, 1.0), QUIET, (64, 256), generator)[::-1]
    near = window(SPEC, QUIET.rows(64, generator))
    answers: list[Novelty] = []
    for step in range(101):
        mixed = near.fourier_sum * (1 - step / 100) + far.fourier_sum * step / 100
        answers.append(novelty(replace(near, fourier_sum=mixed), base))
    ordered = sorted(answers, key=lambda answer: answer.statistic)
    for one, two in pairwise(ordered):
        assert two.p_value <= one.p_value + 0.02
        assert abs(two.z - one.z) < 1.0


def test_a_shift_does_not_hide_itself_in_the_scale():
    """The two sides may be concentrated: T is then far beyond tr C, which is small within each."""
    generator = torch.Generator().manual_seed(12)
    rows = torch.zeros(64, 48)
    rows[:, 0] = 1.0
    rows += 1e-3 * torch.randn(64, 48, generator=generator)
    assert novelty(window(SPEC, rows), window(SPEC, rows.roll(1, dims=1))).z == 40.0


@pytest.mark.parametrize("counts", [(1, 1), (1, 2), (1, 64), (2, 64), (3, 3), (64, 1)])
def test_tiny_windows_get_an_answer_and_no_alarm(counts: tuple[int, int]):
    generator = torch.Generator().manual_seed(13)
    answers = [
        novelty(*(window(SPEC, QUIET.rows(count, generator)) for count in counts))
        for _ in range(40)
    ]
    assert sum(answer.z > 3.0 for answer in answers) <= 1
    assert all(0 <= answer.p_value <= 1 for answer in answers)


def test_equal_rows_on_both_sides_are_not_new():
    rows = torch.ones(20, 48)
    assert novelty(window(SPEC, rows), window(SPEC, rows)).z < 0
    other = rows.clone()
    other[:, ::2] = -1.0
    assert novelty(window(SPEC, rows), window(SPEC, other)).z == 40.0


def test_without_fourier_sums_nothing_is_new():
    nothing = Novelty(0.0, 0.0, 1.0)
    plain = summarise(SummarySpec(7), [1.0] * 9)
    assert novelty(plain, plain) == nothing
    unset = SummarySpec(7)
    projected = window(unset, QUIET.rows(9, torch.Generator().manual_seed(1)))
    assert novelty(projected, projected) == nothing


def test_summaries_that_do_not_belong_together_are_refused():
    generator = torch.Generator().manual_seed(14)
    one = window(SPEC, QUIET.rows(9, generator))
    others: list[Summary] = [
        window(SummarySpec(5, bandwidth=9.0), QUIET.rows(9, generator)),
        summarise(SPEC, [1.0] * 9),
        replace(one, width=47),
        replace(one, fourier_sum=torch.zeros(4)),
    ]
    for other in others:
        with pytest.raises(SummaryError):
            novelty(one, other)
