"""Projected moments: the bandwidth they give, and energy outside the usual directions."""

import math
from dataclasses import replace

import pytest
import torch
from polyrank.aggregation import (
    Residual,
    SummaryError,
    SummarySpec,
    add,
    mean_bandwidth,
    residual,
    summarise,
)
from polyrank.aggregation._summary_maps import project, unit_rows

from .windows import WIDTH, Source, binomial_limit, source, window

SPEC = SummarySpec(5)
QUIET = source(1)
FLAT = source(2, spread=0.0)


def test_the_energy_is_that_of_the_rows_outside_the_references_directions():
    generator = torch.Generator().manual_seed(1)
    x, y = QUIET.rows(50, generator), source(3).rows(200, generator)
    images = project(SPEC, unit_rows(x)), project(SPEC, unit_rows(y))
    centre = images[1].mean(dim=0)
    directions = torch.linalg.svd(images[1] - centre).Vh[:8]
    rows = images[0] - centre
    left = rows - rows @ directions.T @ directions
    expected = float(left.pow(2).sum(dim=1).mean())
    assert residual(window(SPEC, x), window(SPEC, y)).energy == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("quiet", [QUIET, FLAT], ids=["clusters", "one cluster"])
@pytest.mark.parametrize("rows", [(64, 256), (64, 64)])
def test_quiet_windows_rarely_alarm(quiet: Source, rows: tuple[int, int]):
    generator = torch.Generator().manual_seed(sum(rows))
    alarms = sum(
        residual(*(window(SPEC, quiet.rows(count, generator)) for count in rows)).z > 2.326
        for _ in range(250)
    )
    # z is an approximation with margins: long simulations stay below 2 %.
    assert alarms <= binomial_limit(250, 0.02)


def test_a_few_rows_in_new_directions_are_found():
    generator = torch.Generator().manual_seed(2)
    narrow = torch.zeros(WIDTH, dtype=torch.float64)
    narrow[:10] = 1.0
    found = 0
    for _ in range(60):
        base = window(SPEC, QUIET.rows(256, generator) * narrow)
        rows = QUIET.rows(64, generator) * narrow
        rows[:13] = torch.randn(13, WIDTH, generator=generator).double() * (1 - narrow)
        found += residual(window(SPEC, rows), base).z > 2.326
    assert found > 54


def test_few_reference_rows_give_an_energy_and_no_verdict():
    generator = torch.Generator().manual_seed(3)
    one = window(SPEC, QUIET.rows(64, generator))
    for count in (1, 2, 9, 31):
        got = residual(one, window(SPEC, source(4).rows(count, generator)))
        assert got.z == 0.0
        assert 0 < got.energy < 10


def test_without_features_there_is_no_energy():
    plain = summarise(SPEC, [1.0] * 50)
    assert residual(plain, plain) == Residual(0.0, 0.0)


def test_a_projection_to_few_numbers_leaves_nothing_outside():
    spec = SummarySpec(5, projected=4)
    generator = torch.Generator().manual_seed(4)
    one, two = (window(spec, QUIET.rows(64, generator)) for _ in range(2))
    got = residual(one, two)
    assert got.energy == pytest.approx(0.0, abs=1e-6)
    assert abs(got.z) < 2


def test_summaries_that_do_not_belong_together_are_refused():
    one = window(SPEC, QUIET.rows(40, torch.Generator().manual_seed(5)))
    for other in (replace(one, width=3), replace(one, spec="other"), summarise(SPEC, [1.0])):
        with pytest.raises(SummaryError):
            residual(one, other)


def test_the_bandwidth_is_the_root_mean_squared_distance():
    generator = torch.Generator().manual_seed(6)
    rows = QUIET.rows(300, generator)
    distances = torch.cdist(unit_rows(rows), unit_rows(rows))
    expected = math.sqrt(float((distances**2).sum()) / (300 * 299))
    found = [mean_bandwidth(window(SummarySpec(seed), rows)) for seed in range(30)]
    assert sum(found) / 30 == pytest.approx(expected, rel=0.03)
    assert all(value == pytest.approx(expected, rel=0.35) for value in found)
    parts = add([window(SPEC, rows[:100]), window(SPEC, rows[100:])])
    assert mean_bandwidth(parts) == pytest.approx(mean_bandwidth(window(SPEC, rows)), rel=1e-5)


def test_a_bandwidth_is_never_zero_and_needs_two_rows():
    assert mean_bandwidth(window(SPEC, torch.ones(9, WIDTH))) >= 1e-3
    for summary in (summarise(SPEC, [1.0] * 9), window(SPEC, torch.ones(1, WIDTH))):
        with pytest.raises(SummaryError):
            mean_bandwidth(summary)
