"""Messages pulled object by object: assembled exactly, and never trusted."""

import json
import os
import time
import tracemalloc
from typing import Any

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_id,
    get_object_tree,
)
from polyrank.client._wire import Parcel, WireError, WireLimits, pack, unpack
from polyrank.client._wire_objects import fetch

MIB = 2**20


class Store:
    """The objects of one message, as a SuperLink holds them."""

    def __init__(self, message: Message) -> None:
        self.objects = {
            key: item.deflate() for key, item in get_all_nested_objects(message).items()
        }
        self.tree = get_object_tree(message)
        self.pulled: list[str] = []

    def pull(self, object_id: str) -> bytes:
        self.pulled.append(object_id)
        if object_id not in self.objects:
            raise WireError("object_gone", object_id)
        return self.objects[object_id]

    def replace(self, old: str, content: bytes) -> None:
        """Put a forged object in the place of a real one."""
        assert old in self.objects
        self.objects[old] = content

    def of_type(self, name: str) -> list[str]:
        start = name.encode() + b" "
        return [key for key, content in self.objects.items() if content.startswith(start)]


def _message(content: RecordDict | Error) -> Message:
    metadata = Metadata(1, "", 2, 3, "", "", time.time(), 60.0, "query")
    metadata.delivered_at = ""
    if isinstance(content, Error):
        return make_message(metadata, error=content)
    return make_message(metadata, content=content)


def _store(blob: bytes) -> Store:
    return Store(_message(pack(Parcel("train", b"{}", b"s", blob))))


def _fetch(store: Store, limits: WireLimits | None = None) -> Message:
    return fetch(store.tree, store.pull, limits or WireLimits())


@pytest.mark.parametrize("size", [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 12 * MIB])
def test_a_blob_of_any_size_arrives(size: int) -> None:
    blob = os.urandom(size)
    assert bytes(unpack(_fetch(_store(blob)).content).blob) == blob


def test_equal_chunks_are_pulled_once_and_placed_each_time() -> None:
    part = os.urandom(5 * MIB)
    blob = part + bytes(5 * MIB) + part + bytes(5 * MIB) + b"end"
    store = _store(blob)
    assert bytes(unpack(_fetch(store).content).blob) == blob
    assert len(store.pulled) == len(set(store.pulled))


def test_a_blob_is_held_once() -> None:
    store = _store(os.urandom(40 * MIB))
    tracemalloc.start()
    try:
        message = _fetch(store)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(unpack(message.content).blob) == 40 * MIB
    assert peak < 60 * MIB


def test_an_error_message_arrives() -> None:
    store = Store(_message(Error(2, "out of memory")))
    assert _fetch(store).error.reason == "out of memory"


def test_a_lost_object_is_an_error() -> None:
    store = _store(os.urandom(12 * MIB))
    del store.objects[store.of_type("ArrayChunk")[1]]
    _refused(store, "object_gone")


def test_a_blob_over_the_limit_is_refused_before_it_is_pulled() -> None:
    store = _store(os.urandom(12 * MIB))
    _refused(store, "blob_too_large", WireLimits(max_blob_bytes=12 * MIB - 1))
    assert not set(store.pulled) & set(store.of_type("ArrayChunk"))


def _forged_array(store: Store, **changes: Any) -> None:
    (array_id,) = store.of_type("Array")
    head, _, body = store.objects[array_id].partition(b"\x00")
    said = json.dumps(json.loads(body) | changes).encode()
    store.replace(array_id, head.rpartition(b" ")[0] + f" {len(said)}".encode() + b"\x00" + said)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shape": [10**15]}, "blob_too_large"),
        ({"shape": [12 * MIB + 1]}, "bad_blob"),
        ({"shape": [12 * MIB - 1]}, "bad_blob"),
        ({"shape": [1.5]}, "bad_message"),
        ({"shape": "ab"}, "bad_message"),
        ({"dtype": "object"}, "bad_blob"),
        ({"arraychunk_ids": [0]}, "bad_message"),
        ({"arraychunk_ids": [0, 1, 2, 2]}, "bad_blob"),
        ({"arraychunk_ids": [0, 1, 7]}, "bad_blob"),
        ({"arraychunk_ids": "all"}, "bad_blob"),
        ({"arraychunk_ids": None}, "bad_blob"),
    ],
)
def test_an_array_that_lies_about_itself_is_refused(changes: dict[str, Any], reason: str) -> None:
    store = _store(os.urandom(12 * MIB))
    _forged_array(store, **changes)
    _refused(store, reason)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00", b"Message", b"Nothing  0\x00", b"RecordDict abc 0\x00", os.urandom(99)],
)
@pytest.mark.parametrize("kind", ["Message", "RecordDict", "ConfigRecord", "ArrayRecord", "Array"])
def test_a_forged_object_is_refused(kind: str, content: bytes) -> None:
    store = _store(b"abc")
    (object_id,) = store.of_type(kind)
    store.replace(object_id, content)
    with pytest.raises(WireError):
        unpack(_fetch(store).content)


def test_a_tree_of_many_records_is_refused_unread() -> None:
    many = RecordDict({f"r{i}": ConfigRecord({"i": i}) for i in range(40)})
    store = Store(_message(many))
    _refused(store, "bad_message")
    assert store.pulled == []


def test_a_tree_deeper_than_a_message_is_refused() -> None:
    store = _store(b"abc")
    deep = ObjectTree(object_id=get_object_id(b"x"))
    for _ in range(50):
        deep = ObjectTree(object_id=store.tree.object_id, children=[deep])
    store.tree = deep
    with pytest.raises(WireError):
        _fetch(store)


def _refused(store: Store, reason: str, limits: WireLimits | None = None) -> None:
    with pytest.raises(WireError) as caught:
        _fetch(store, limits)
    assert caught.value.reason == reason
