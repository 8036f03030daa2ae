"""Records survive the wire unchanged, whatever they hold."""

import dataclasses
from datetime import UTC, datetime
from types import UnionType
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polyrank.store import _records
from polyrank.store import _registry_pb2 as pb
from polyrank.store._errors import InvalidValue
from polyrank.store._grpc_calls import CALLS, SERVICE, Shape
from polyrank.store._grpc_codec import arguments, encode, fill, from_message, message_of
from polyrank.store._registry import Registry

RECORDS = sorted({call.item for call in CALLS.values()}, key=lambda kind: kind.__name__)
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
JSON = st.dictionaries(
    TEXT,
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | FLOAT | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)


def values(hint: object) -> st.SearchStrategy[object]:
    """Any value that a record's annotation allows."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return st.one_of(*(st.none() if part is type(None) else values(part) for part in args))
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple:
        if args[-1] is Ellipsis:
            return st.lists(values(args[0]), max_size=3).map(tuple)
        return st.tuples(*(values(part) for part in args))
    if args:  # a mapping
        return {float: st.dictionaries(TEXT, FLOAT), str: st.dictionaries(TEXT, TEXT)}.get(
            args[1], JSON
        )
    if dataclasses.is_dataclass(hint):
        return record(hint)
    return {int: INT64, str: TEXT, bool: st.booleans(), float: FLOAT, datetime: TIMES}[hint]


def record(kind: type) -> st.SearchStrategy[object]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: values(hints[field.name])
                              for field in dataclasses.fields(kind)})  # fmt: skip


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_message_has_exactly_the_fields_of_its_record(kind: type):
    names = {field.name for field in message_of(kind).DESCRIPTOR.fields}
    assert names == {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_record_comes_back_equal(kind: type, data: st.DataObject):
    sent = data.draw(record(kind))
    wire = encode(sent).SerializeToString()
    assert from_message(kind, message_of(kind).FromString(wire)) == sent


def test_none_is_told_from_zero_and_from_empty():
    now = datetime.now(UTC)
    for number in (None, 0):
        line = _records.AdapterLine(
            name="a", base_model="b", head=number, created_at=now, retired=False
        )
        assert from_message(_records.AdapterLine, encode(line)).head == number
    for adapter in (None, ""):
        event = _records.Event(
            number=1, kind="k", adapter=adapter, subject="", payload={}, created_at=now
        )
        assert from_message(_records.Event, encode(event)).adapter == adapter


def test_whole_numbers_stay_whole_in_free_mappings():
    event = _records.Event(
        number=1, kind="k", adapter=None, subject="", payload={"n": 2**60 + 1, "x": 1.0},
        created_at=datetime.now(UTC),
    )  # fmt: skip
    back = from_message(_records.Event, encode(event)).payload
    assert back["n"] == 2**60 + 1
    assert isinstance(back["x"], float)
    with pytest.raises(TypeError):
        back["n"] = 0


def test_every_call_of_the_service_is_in_the_table_and_the_reverse():
    service = pb.DESCRIPTOR.services_by_name["Registry"]
    assert {method.name for method in service.methods} == {
        *(call.rpc for call in CALLS.values()), "Read", "Watch",
    }  # fmt: skip
    assert service.full_name == SERVICE


def test_requests_have_the_arguments_of_the_registrys_methods():
    for name, call in CALLS.items():
        expected = set(getattr(Registry, name).__annotations__) - {"return"}
        found = {field.name for field in call.request.DESCRIPTOR.fields}
        assert found - {"expect_absent"} == expected, name


def test_single_answers_are_not_streams_and_lists_are():
    methods = pb.DESCRIPTOR.services_by_name["Registry"].methods_by_name
    for call in CALLS.values():
        assert methods[call.rpc].server_streaming is (call.shape is not Shape.ONE), call.rpc


@pytest.mark.parametrize(
    ("field", "value"), [("number", 2**63), ("number", "seven"), ("adapter", "\ud800")]
)
def test_what_the_wire_cannot_carry_is_refused_by_name(field: str, value: object):
    with pytest.raises(InvalidValue) as caught:
        fill(pb.SetAliasRequest(), {field: value})
    assert caught.value.field == field


def test_an_argument_that_was_left_out_is_left_to_the_registrys_default():
    request = pb.ListVersionsRequest()
    fill(request, {"adapter": "a", "limit": None, "page_token": ""})
    assert arguments(request) == {"adapter": "a", "page_token": ""}
