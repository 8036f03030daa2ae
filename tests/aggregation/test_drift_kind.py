"""What the tests of a window show together has one name, and the right one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polyrank.aggregation import DriftPath, DriftSigns, drift_kind

LIMITS = DriftSigns(2.33, 2.33, 2.33)
JUMP = DriftPath(moved=9.0, known=8.0, jump=7.0, rise=-1.0, ahead=9.0)
QUIET = DriftSigns(0.5, 0.2, 0.2)
NEW = DriftSigns(0.5, 12.0, 0.2)


def kind(signs: DriftSigns, path: DriftPath | None = None) -> str:
    return drift_kind(signs, LIMITS, path)


def test_without_an_alarm_there_is_no_name():
    assert kind(DriftSigns()) == kind(QUIET) == kind(DriftSigns(2.33, 2.33, 2.33)) == ""
    assert kind(DriftSigns(2.33, 2.33, 2.33), DriftPath(2.33, 0.0, 9.0, 2.8, 9.0)) == ""


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
        (DriftSigns(9.0, None, 0.0), ""),
    ],
)
def test_a_change_is_named_by_the_tests_that_see_it(signs: DriftSigns, name: str):
    path = JUMP if name == "sudden" else DriftPath()
    assert kind(signs, path) == name


def test_new_features_have_no_name_before_their_path_has_a_shape():
    assert kind(NEW) == kind(NEW, DriftPath(moved=9.0, jump=1.0, rise=2.0, ahead=9.0)) == ""


def test_a_jump_a_slow_change_and_a_return_are_told_from_the_path():
    assert kind(NEW, JUMP) == kind(QUIET, JUMP) == "sudden"
    assert kind(NEW, DriftPath(9.0, 2.0, 7.0, 9.0, 9.0)) == "recurring"
    assert kind(NEW, DriftPath(1.0, 0.0, 7.0, -1.0, 0.0)) == "", "it has not left the last windows"
    rising = DriftPath(moved=2.0, known=30.0, jump=0.0, rise=4.0, ahead=1.5)
    assert kind(NEW, rising) == kind(QUIET, rising) == "gradual"
    over = DriftPath(moved=2.0, known=30.0, jump=0.0, rise=4.0, ahead=0.5)
    assert kind(QUIET, over) == "", "it has come to an end"
    assert kind(NEW, over) == "gradual", "the reference is of before it"


Z = st.none() | st.floats(-40, 40)


@settings(max_examples=60, deadline=None)
@given(st.tuples(Z, Z, Z), st.tuples(Z, Z, Z, Z, Z))
def test_any_signs_have_a_name_and_only_alarms_have_one(signs, path):
    name = kind(DriftSigns(*signs), DriftPath(*path))
    assert name in {"", "label_prior", "concept", "sudden", "gradual", "recurring"}
    assert not name or any(z is not None and z > 2.33 for z in (*signs, *path))
