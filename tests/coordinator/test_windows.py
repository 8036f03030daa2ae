"""What a node says about its window is unverified bytes, whoever signed it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from polyrank.aggregation import SummarySpec, summarise
from polyrank.client._protocol import TaskEnvelope
from polyrank.client._wire import Incoming
from polyrank.coordinator._replies import BadReply
from polyrank.coordinator._windows import MAX_ANSWER_BYTES, check_window

SPEC = SummarySpec(7, classes=2, bandwidth=1.0)
ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


def summary(spec: SummarySpec = SPEC) -> dict[str, Any]:
    labels = [0, 1, 0, 1, 1, 0]
    right = [True, True, False, True, False, True]
    return summarise(
        spec, [0.1, 0.2, 0.9, 0.3, 1.5, 0.2], labels=labels, correct=right, features=ROWS
    ).to_json()


def check(answer: object, **window: object) -> dict[str, Any] | None:
    blob = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    task = TaskEnvelope.create("evaluate", config={"window": {"spec": SPEC.to_json(), **window}})
    return check_window(Incoming("m", 1, 1, "evaluate", b"", b"", blob), task)


def test_a_summary_goes_on_record_as_it_was_sent() -> None:
    assert check({"summary": summary()}) == {"summary": summary()}


def test_a_comparison_goes_on_record() -> None:
    paired = {"count": 4, "sum": 0.5, "square_sum": 0.25}
    assert check({"paired": paired}, against="a" * 64) == {"paired": paired}


def test_a_gate_goes_on_record_beside_the_summary_if_it_was_asked_for() -> None:
    paired = {"count": 4, "sum": 0.5, "square_sum": 0.25}
    answer = {"summary": summary(), "gate": paired}
    assert check(answer, gate={"digest": "a" * 64}) == answer
    assert check({"summary": summary()}, gate={"digest": "a" * 64}) == {"summary": summary()}
    assert check(answer) == {"summary": summary()}, "nobody asked"


def test_a_node_that_knows_no_windows_says_nothing_and_is_not_refused() -> None:
    assert check(b"") is None


def test_a_task_without_a_window_has_no_summary_whatever_is_sent() -> None:
    task = TaskEnvelope.create("evaluate")
    assert check_window(Incoming("m", 1, 1, "evaluate", b"", b"", b"rubbish"), task) is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"\xff", "not JSON"),
        (b"[" * 20_000, "not JSON"),
        ([], "not a JSON object"),
        ({}, "cannot be used"),
        ({"summary": None}, "cannot be used"),
        ({"summary": summary(SummarySpec(8, classes=2, bandwidth=1.0))}, "another spec"),
        ({"summary": {**summary(), "count": 0}}, "count"),
        ({"summary": {**summary(), "class_counts": [9, 9]}}, "class_counts"),
        ({"summary": {**summary(), "loss_square_sum": 0.0}}, "loss_square_sum"),
        ({"summary": {**summary(), "loss_sum": float("nan")}}, "loss_sum"),
        ({"paired": {"count": 1, "sum": 0.0, "square_sum": 0.0}}, "cannot be used"),
        (b" " * (MAX_ANSWER_BYTES + 1), "above the limit"),
    ],
)
def test_what_cannot_be_a_summary_is_a_bad_reply_that_says_why(answer: object, said: str) -> None:
    with pytest.raises(BadReply, match=said):
        check(answer)


@pytest.mark.parametrize(
    "paired",
    [
        None,
        {"count": 4},
        {"count": 4, "sum": 0.5, "square_sum": 0.25, "more": 1},
        {"count": 0, "sum": 0.0, "square_sum": 0.0},
        {"count": 4, "sum": 400.0, "square_sum": 40_000.0},
        {"count": 4, "sum": 2.0, "square_sum": -1.0},
        {"count": 4, "sum": float("inf"), "square_sum": 1.0},
        {"count": True, "sum": 0.0, "square_sum": 0.0},
    ],
)
def test_what_cannot_be_a_comparison_is_a_bad_reply(paired: object) -> None:
    with pytest.raises(BadReply, match="window"):
        check({"paired": paired}, against="a" * 64)
    with pytest.raises(BadReply, match="window"):
        check({"summary": summary(), "gate": paired}, gate={"digest": "a" * 64})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
NUMBERS = st.integers(-3, 90) | st.floats() | ANYTHING
SUMMARIES = st.dictionaries(st.sampled_from(sorted(summary())), NUMBERS, max_size=3).map(
    lambda changes: {"summary": {**summary(), **changes}}
)
PAIRS = st.fixed_dictionaries({"count": NUMBERS, "sum": NUMBERS, "square_sum": NUMBERS}).map(
    lambda values: {"paired": values}
)
ANSWERS = st.binary(max_size=40) | ANYTHING | SUMMARIES | PAIRS


@settings(max_examples=150, deadline=None)
@given(answer=ANSWERS, is_comparison=st.booleans())
def test_whatever_is_sent_is_a_checked_answer_or_a_bad_reply(
    answer: object, is_comparison: bool
) -> None:
    try:
        found = check(answer, **({"against": "a" * 64} if is_comparison else {}))
    except BadReply:
        return
    if found is not None:
        assert set(found) == {"paired" if is_comparison else "summary"}
        for value in next(iter(found.values())).values():
            assert not isinstance(value, float) or math.isfinite(value)
