"""What the tests of several windows show together has one name, and the right one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polyrank.aggregation import DriftSigns, drift_kind

LIMITS = DriftSigns(2.33, 2.33, 2.33)
QUIET = [DriftSigns(0.3, -0.4, 0.1), DriftSigns(-1.0, 1.2, 0.7), DriftSigns(0.2, 0.1, -0.3)] * 2


def kind(*newest: DriftSigns, **options: bool) -> str:
    return drift_kind([*QUIET, *newest], LIMITS, **options)


def test_without_an_alarm_there_is_no_name():
    assert drift_kind([], LIMITS) == kind() == kind(DriftSigns()) == ""
    assert kind(DriftSigns(2.33, 2.33, 2.33)) == "", "a threshold is passed, not reached"


@pytest.mark.parametrize(
    ("signs", "name"),
    [
        (DriftSigns(9.0, 0.5, 0.2), "concept"),
        (DriftSigns(9.0, 0.5, 5.0), "concept"),
        (DriftSigns(0.5, 12.0, 0.2), "sudden"),
        (DriftSigns(9.0, 12.0, 0.2), "sudden"),
        (DriftSigns(0.5, 0.5, 5.0), "label_prior"),
        (DriftSigns(0.5, 3.0, 5.0), "label_prior"),
        (DriftSigns(0.5, 12.0, 5.0), "sudden"),
        (DriftSigns(9.0, 3.0, 5.0), "sudden"),
    ],
)
def test_a_change_within_one_window_is_named_by_the_tests_that_see_it(signs, name: str):
    assert kind(signs) == name


def test_harm_without_features_has_no_name():
    assert kind(DriftSigns(9.0, None, 0.0)) == ""


def test_what_fits_an_earlier_reference_has_come_again():
    assert kind(DriftSigns(0.5, 12.0, 0.2), is_known=True) == "recurring"
    assert kind(DriftSigns(0.5, 0.2, 0.2), is_known=True) == ""


def named(levels: list[float], seed: int) -> list[str]:
    """Name each window of a course of novelty, with the noise that z has."""
    draw = random.Random(seed)
    shown = [DriftSigns(0.0, level + draw.gauss(0, 1), 0.0) for level in [0.0] * 5 + levels]
    return [drift_kind(shown[: n + 6], LIMITS) for n in range(len(levels))]


def test_a_slow_rise_is_told_from_a_step_once_it_is_clear():
    steps = [named([9.0] * 3, seed) for seed in range(200)]
    rises = [named([2.0, 4.0, 6.0, 8.0], seed) for seed in range(200)]
    assert sum(names[0] == "sudden" for names in steps) > 180
    assert sum(names[-1] == "sudden" for names in steps) > 180
    assert sum(names[-1] == "gradual" for names in rises) > 160


Z = st.none() | st.floats(-40, 40)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(Z, Z, Z), max_size=9), st.booleans())
def test_any_history_has_a_name_and_only_alarms_have_one(history, is_known: bool):
    windows = [DriftSigns(*zs) for zs in history]
    name = drift_kind(windows, LIMITS, is_known=is_known)
    newest = history[-1] if history else ()
    assert name in {"", "label_prior", "concept", "sudden", "gradual", "recurring"}
    assert not name or any(z is not None and z > 2.33 for z in newest)
