"""Records to protobuf messages and back, by the names of their fields.

A message has the name and the fields of its record, so one walk over a record's annotations does
for all of them; a test compares every record with its message. What a record may leave None is
`optional` or a message in registry.proto, which tells None from zero and from "". Free mappings
travel as JSON text, since protobuf's own Struct would turn whole numbers into doubles.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from google.protobuf.message import Message

from . import _registry_pb2 as pb
from ._errors import InvalidValue
from ._json import ReadOnlyDict, dumps, loads

Record = TypeVar("Record")
Reader = Callable[[Any], Any]


def to_message(record: Any, message: Message) -> None:
    """Write a record's fields into the message of the same name."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if value is not None:
            _put(message, field.name, value)


def encode(record: Any) -> Message:
    """Return the message of a record."""
    message = message_of(cast("type[Any]", type(record)))()
    to_message(record, message)
    return message


def from_message(kind: type[Record], message: Message) -> Record:
    """Build the record that a message was made from.

    Raises InvalidValue when a newer server sent something that this record cannot hold.
    """
    return kind(
        **{name: read(getattr(message, name)) if _has(message, name, optional) else None
           for name, optional, read in _plan(kind)}
    )  # fmt: skip


def message_of(kind: type[Any]) -> type[Message]:
    """Return the message class of a record class: the one with its name."""
    return cast("type[Message]", getattr(pb, kind.__name__))


def fill(request: Message, arguments: Mapping[str, Any]) -> None:
    """Write a call's arguments into its request; None is left out.

    Raises InvalidValue, naming the argument, for what the wire cannot carry: a wrong type, an
    integer beyond 64 bits, text that is not Unicode.
    """
    for name, value in arguments.items():
        if value is None:
            continue
        try:
            setattr(request, name, value)
        except (TypeError, ValueError) as error:
            raise InvalidValue(name, f"{value!r:.80} cannot be sent: {error}") from error


def arguments(request: Message) -> dict[str, Any]:
    """Return a call's arguments from its request, without those that were left out."""
    return {
        field.name: getattr(request, field.name)
        for field in request.DESCRIPTOR.fields
        if not field.has_presence or request.HasField(field.name)
    }


def _put(message: Message, name: str, value: Any) -> None:
    target: Any
    if isinstance(value, str | bool | int | float):
        setattr(message, name, value)
        return
    target = getattr(message, name)
    if isinstance(value, datetime):
        target.FromDatetime(value)
    elif isinstance(value, Mapping):
        if isinstance(target, pb.Json):
            target.text = dumps(value)
        else:
            target.update(value)
    elif isinstance(value, tuple):
        _extend(target, cast("tuple[Any, ...]", value))
    else:
        to_message(value, target)


def _extend(target: Any, values: Iterable[Any]) -> None:
    for value in values:
        if dataclasses.is_dataclass(value):
            to_message(value, target.add())
        else:
            target.append(value)


def _has(message: Message, name: str, optional: bool) -> bool:
    return not optional or message.HasField(name)


@cache
def _plan(kind: type[Any]) -> tuple[tuple[str, bool, Reader], ...]:
    """List a record's fields: name, may be None, how to read its value."""
    hints = get_type_hints(kind)
    return tuple((field.name, *_reader(hints[field.name])) for field in dataclasses.fields(kind))


def _reader(hint: Any) -> tuple[bool, Reader]:
    if get_origin(hint) is UnionType:
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return True, _reader(inner)[1]
    if hint is datetime:
        return False, _instant
    if get_origin(hint) is Mapping:
        return False, _mapping
    if get_origin(hint) is tuple:
        return False, _sequence(get_args(hint)[0])
    if dataclasses.is_dataclass(hint):
        return False, lambda value: from_message(cast("type[Any]", hint), value)
    return False, _same


def _mapping(value: Any) -> ReadOnlyDict:
    if isinstance(value, pb.Json):
        return cast("ReadOnlyDict", loads(value.text or "{}"))
    return ReadOnlyDict(value)


def _sequence(item: Any) -> Reader:
    if dataclasses.is_dataclass(item):
        kind = cast("type[Any]", item)
        return lambda values: tuple(from_message(kind, value) for value in values)
    return tuple


def _instant(value: Any) -> datetime:
    return cast("datetime", value.ToDatetime(tzinfo=UTC))


def _same(value: Any) -> Any:
    return value
