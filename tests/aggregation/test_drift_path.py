"""The shape of a path of windows: what a test says of it is as rare as it should be, and seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from polyrank.aggregation import DriftPath, Summary, SummarySpec, add, drift_path, summarise

from .windows import binomial_limit

SPEC = SummarySpec(3, projected=6, fourier=16, bandwidth=1.0)
ROWS, LENGTH = 24, 7
DIRECTION = torch.tensor([0.5, -0.5, 0.5, 0.5, 0.0, 0.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def quiet() -> list[Summary]:
    draw = torch.Generator().manual_seed(1)
    mean = torch.linspace(-1, 1, 12, dtype=torch.float64)
    return [
        summarise(
            SPEC,
            [0.0] * ROWS,
            features=mean + torch.randn(ROWS, 12, generator=draw, dtype=torch.float64),
        )
        for _ in range(160)
    ]


def shifted(window: Summary, share: float) -> Summary:
    """Move a window's projected rows along one direction, without drawing anew."""
    by = share * DIRECTION
    total = window.projected_sum.double()
    cross = torch.outer(total, by)
    products = window.projected_products.double() + cross + cross.T
    products += window.count * torch.outer(by, by)
    return replace(window, projected_sum=total + window.count * by, projected_products=products)


def paths(quiet: list[Summary], course: Sequence[float], size: float) -> list[DriftPath]:
    """Let windows take a course, many times."""
    return [
        drift_path([shifted(quiet[at + i], size * part) for i, part in enumerate(course)])
        for at in range(0, len(quiet) - len(course) + 1, 3)
    ]


@pytest.mark.parametrize("size", [0.0, 0.7, 5.0])
def test_a_step_of_any_size_is_seldom_a_slow_change(quiet: list[Summary], size: float) -> None:
    found = paths(quiet, [float(i >= 4) for i in range(LENGTH)], size)
    hits = sum(path.rise is not None and path.rise > 2.8 for path in found)
    assert hits <= binomial_limit(len(found), 0.01)


@pytest.mark.parametrize("size", [0.0, 0.7, 5.0])
def test_a_slow_change_of_any_size_is_seldom_a_jump(quiet: list[Summary], size: float) -> None:
    found = paths(quiet, [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0], size)
    hits = sum(path.jump is not None and path.jump > 2.33 for path in found)
    assert hits <= binomial_limit(len(found), 0.01)


def test_jumps_and_slow_changes_are_seen(quiet: list[Summary]) -> None:
    jumps = paths(quiet, [0.0] * 6 + [1.0], 1.5)
    assert sum((path.jump or 0.0) > 2.33 for path in jumps) > 0.95 * len(jumps)
    rises = paths(quiet, [0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0], 1.5)
    assert sum((path.rise or 0.0) > 2.8 for path in rises) > 0.95 * len(rises)
    assert sum((path.ahead or 0.0) > 1.0 for path in rises) > 0.7 * len(rises)
    over = paths(quiet, [0.0, 0.0, 0.33, 0.67, 1.0, 1.0, 1.0], 3.0)
    assert sum((path.ahead or 0.0) > 1.0 for path in over) < 0.35 * len(over)


def test_z_is_the_regression_of_the_windows_on_both_courses(quiet: list[Summary]) -> None:
    counts = [1, 3, 1, 2, 1]
    windows = [add(quiet[i * 3 : i * 3 + n]) for i, n in enumerate(counts)]
    weights = torch.tensor(counts, dtype=torch.float64) * ROWS
    means = torch.stack([w.projected_sum.double() / w.count for w in windows])
    pooled = sum((w.projected_products.double() for w in windows), torch.zeros(6, 6).double())
    within = (pooled - means.T @ (weights[:, None] * means)) / (float(weights.sum()) - 5)
    ramp = torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0], dtype=torch.float64)
    step = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    root = weights.sqrt()[:, None]
    ones = torch.ones(5, dtype=torch.float64)
    both = root * torch.stack([ones, ramp], 1)
    change = torch.linalg.lstsq(both, root * means).solution[1]
    full = root * torch.stack([ones, ramp, step], 1)
    height = float(torch.linalg.lstsq(full, root * means).solution[2] @ change)
    precision = float(torch.linalg.inv(full.T @ full)[2, 2])
    expected = height / math.sqrt(float(change @ within @ change) * precision)
    assert drift_path(windows).jump == pytest.approx(expected, rel=1e-6)


def test_what_came_earlier_is_known_and_what_did_not_is_not(quiet: list[Summary]) -> None:
    draw = torch.Generator().manual_seed(2)
    rows = torch.randn(6, ROWS, 12, generator=draw, dtype=torch.float64)
    rows[3:, :, 0] += 6.0
    here = [summarise(SPEC, [0.0] * ROWS, features=part) for part in rows]
    back = drift_path([*here[3:], here[0]], [add(here[1:3]), here[4]])
    assert (back.moved or 0.0) > 5 > 2.33 > (back.known or 9.0)
    assert drift_path(here[:2]).known is None


def test_few_windows_tell_little_and_windows_without_features_nothing(
    quiet: list[Summary],
) -> None:
    assert drift_path(quiet[:1]) == DriftPath()
    two = drift_path(quiet[:2])
    assert two.moved is not None
    assert two.jump is two.rise is two.ahead is None
    three = drift_path(quiet[:3])
    assert three.jump is not None
    assert three.rise is three.ahead is None
    assert drift_path([summarise(SPEC, [0.5] * 4)] * 5) == DriftPath()
    alike = [summarise(SPEC, [0.0] * 8, features=torch.ones(8, 12))] * 5
    assert drift_path(alike).rise == 0.0, "where nothing varies nothing is told"
