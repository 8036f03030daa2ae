"""The spec: one JSON form, one digest, every value in its range."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyrank.aggregation import ArgumentError, SummaryError, SummarySpec

from .worlds import QUICK

SPEC = SummarySpec(7, classes=2, bandwidth=1.25)


@QUICK
@given(
    seed=st.integers(0, 2**63 - 1),
    classes=st.integers(0, 4096),
    projected=st.integers(1, 256),
    fourier=st.integers(1, 512).map(lambda half: 2 * half),
    bandwidth=st.none() | st.floats(1e-6, 1e3),
    max_loss=st.floats(1e-6, 1e6) | st.integers(1, 10**6),
)
def test_a_spec_survives_json_with_its_digest(**values: Any):
    spec = SummarySpec(values.pop("seed"), **values)
    again = SummarySpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert (again, again.digest) == (spec, spec.digest)


def test_every_value_is_part_of_the_digest():
    others = [
        SummarySpec(8, classes=2, bandwidth=1.25),
        SummarySpec(7, classes=3, bandwidth=1.25),
        SummarySpec(7, classes=2, bandwidth=1.25, projected=16),
        SummarySpec(7, classes=2, bandwidth=1.25, fourier=128),
        SummarySpec(7, classes=2, bandwidth=1.5),
        SummarySpec(7, classes=2),
        SummarySpec(7, classes=2, bandwidth=1.25, max_loss=5),
    ]
    digests = {spec.digest for spec in (SPEC, *others)}
    assert len(digests) == 8
    assert all(len(digest) == 64 for digest in digests)


def test_an_integer_and_the_same_float_make_one_spec():
    assert SummarySpec(7, max_loss=5).digest == SummarySpec(7, max_loss=5.0).digest
    assert SummarySpec(7, bandwidth=1).digest == SummarySpec(7, bandwidth=1.0).digest


BAD: list[tuple[str, Any]] = [
    ("seed", -1),
    ("seed", 2**63),
    ("seed", True),
    ("seed", "7"),
    ("classes", -1),
    ("classes", 4097),
    ("classes", 2.0),
    ("projected", 0),
    ("projected", 257),
    ("fourier", 0),
    ("fourier", 255),
    ("fourier", 1026),
    ("bandwidth", 0),
    ("bandwidth", float("nan")),
    ("bandwidth", float("inf")),
    ("bandwidth", 1001.0),
    ("bandwidth", "1"),
    ("max_loss", 0),
    ("max_loss", -1.0),
    ("max_loss", None),
    ("max_loss", 10**400),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_value_out_of_range_is_named(name: str, value: object):
    with pytest.raises(ArgumentError, match=f"^{name}: "):
        SummarySpec(**({"seed": 7} | {name: value}))  # pyright: ignore[reportArgumentType]
    with pytest.raises(SummaryError, match=f"^{name}: "):
        SummarySpec.from_json(SPEC.to_json() | {name: value})


def test_json_of_another_form_is_refused():
    values = SPEC.to_json()
    for wrong in (None, [], "spec", 3, {}, values | {"format": 2}, values | {"more": 1}):
        with pytest.raises(SummaryError):
            SummarySpec.from_json(wrong)
    for name in values:
        with pytest.raises(SummaryError, match=f"^{name}: missing"):
            SummarySpec.from_json({key: value for key, value in values.items() if key != name})
