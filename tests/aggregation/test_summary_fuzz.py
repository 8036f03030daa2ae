"""Whatever the JSON, from_json returns a summary or raises a SummaryError; nothing else.

And whatever from_json lets through, every test of drift answers with finite numbers.
"""

import base64
import math
from dataclasses import astuple
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from polyrank.aggregation import (
    Summary,
    SummaryError,
    SummarySpec,
    add,
    balanced_accuracy,
    loss_rise,
    mean_bandwidth,
    novelty,
    prior_shift,
    residual,
    summarise,
    uninformed_loss,
)

SPEC = SummarySpec(3, classes=2, projected=10, fourier=4, bandwidth=1.0)
FUZZ = settings(max_examples=60, deadline=None)


def seed_values(count: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(count)
    labels = torch.arange(count) % 2
    rows = torch.randn(count, 12, generator=generator)
    return summarise(SPEC, rows[:, 0], labels=labels, correct=labels > 0, features=rows).to_json()


SEEDS = tuple(seed_values(count) for count in (1, 2, 3, 7, 64))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
HUGE = st.just(10**5000)
NUMBERS = st.integers(-3, 80) | st.floats() | st.floats(-10, 80)
VECTORS = st.binary(max_size=240).map(lambda data: base64.b64encode(data).decode())
COUNTS = st.lists(st.integers(-1, 70) | ANYTHING, max_size=4)


def floats_of(length: int) -> st.SearchStrategy[str]:
    values = st.lists(st.floats(-30, 30, width=32), min_size=length, max_size=length)

    def packed(numbers: list[float]) -> str:
        data = bytearray(4 * length)
        torch.frombuffer(data, dtype=torch.float32).copy_(torch.tensor(numbers))
        return base64.b64encode(data).decode()

    return values.map(packed)


FIELDS = ANYTHING | HUGE | NUMBERS | VECTORS | COUNTS | floats_of(10) | floats_of(4) | floats_of(55)


def read(values: object) -> Summary | None:
    try:
        summary = Summary.from_json(values, SPEC)
    except SummaryError:
        return None
    assert Summary.from_json(summary.to_json(), SPEC).to_json() == summary.to_json()
    return summary


@FUZZ
@given(ANYTHING | HUGE)
def test_any_value_at_all(values: object):
    read(values)
    for form in (SEEDS[0] | {"format": values}, {"spec": values}):
        read(form)


@FUZZ
@given(st.sampled_from(SEEDS), st.dictionaries(st.sampled_from(sorted(SEEDS[0])), FIELDS))
def test_fields_replaced_by_anything(seed: dict[str, Any], change: dict[str, object]):
    read(seed | change)


@FUZZ
@given(ANYTHING | st.dictionaries(st.sampled_from(sorted(SummarySpec(1).to_json())), ANYTHING))
def test_a_spec_is_read_or_refused(values: object):
    for form in (values, SPEC.to_json() | (values if isinstance(values, dict) else {})):
        try:
            spec = SummarySpec.from_json(form)
        except SummaryError:
            continue
        assert SummarySpec.from_json(spec.to_json()) == spec


@st.composite
def possible(draw: st.DrawFn) -> Summary:
    """Sums at the edges of what from_json lets through."""
    count = draw(st.integers(1, 6) | st.integers(1, 10**9))
    mean = draw(st.floats(-10, 10))
    right = draw(st.integers(0, count))
    scale = draw(st.sampled_from([0.0, 1e-20, 1e-3, 0.5]))
    turn = draw(st.floats(0, 7))
    direction = torch.tensor([math.cos(turn), math.cos(turn), math.sin(turn), math.sin(turn)])
    vector = scale * torch.tensor(draw(st.lists(st.floats(-1, 1), min_size=10, max_size=10)))
    return Summary(
        spec=SPEC.digest,
        count=count,
        width=12,
        loss_sum=mean * count,
        loss_square_sum=min(100.0, mean**2 * draw(st.floats(1.0, 3.0))) * count,
        class_counts=(right, count - right),
        correct_counts=(draw(st.sampled_from([0, right])), 0),
        projected_sum=vector * count,
        projected_products=(torch.outer(vector, vector) + 0.01 * scale * torch.eye(10)) * count,
        fourier_sum=draw(st.sampled_from([0.0, 0.5, 0.9999, 1.0])) * direction * count / 2**0.5,
        spread_sum=draw(st.sampled_from([0.0, 1e-300, 1e-3, 4.0])) * count,
        spread_cube_sum=draw(st.sampled_from([-152.0, 0.0, 1e-300, 1e-3, 152.0])) * count,
        spread_count=draw(st.sampled_from([0, count])),
    )


@FUZZ
@given(possible(), possible(), st.sampled_from([0, 1, 2, 3, 4]))
def test_every_test_answers_with_finite_numbers(one: Summary, two: Summary, index: int):
    for x, y in ((one, two), (one, one)):
        window, other = read(x.to_json()), read(y.to_json())
        if window is None or other is None:
            continue
        real = Summary.from_json(SEEDS[index], SPEC)
        for reference in (other, add([other, real]) if other.count < 10**9 - 99 else real):
            check_answers(window, reference)
            check_answers(reference, window)


def check_answers(window: Summary, reference: Summary) -> None:
    for test in (loss_rise, novelty, residual, prior_shift):
        answer = test(window, reference)
        assert all(math.isfinite(value) for value in astuple(answer)), (test.__name__, answer)
        assert -40 <= answer.z <= 40
    assert 0 <= novelty(window, reference).p_value <= 1
    assert 0 <= prior_shift(window, reference).p_value <= 1
    assert 0 <= (uninformed_loss(window) or 0.0) <= math.log(2) + 1e-9
    assert 0 <= (balanced_accuracy(window) or 0.0) <= 1
    if window.count > 1:
        assert 0 < mean_bandwidth(window) < 100
