"""Assemble a message from Flower's objects, holding its blob once and trusting nothing.

Flower cuts a message into a tree of objects, named by their digests: message, record dict, records,
array, and the array's chunks of a few MB. Its own way to put them together holds all chunks, their
concatenation and a copy of it. Here Flower inflates the small objects only; the chunks are pulled
one at a time and written straight to their place in one buffer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias, cast

from flwr.app import Array, ArrayRecord, Message
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    get_object_body,
    get_object_children_ids_from_object_content,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from ._wire import BLOB_ARRAY, BLOB_RECORD, WireError, WireLimits, check_array

Pull: TypeAlias = Callable[[str], bytes]
"""Returns the content of the object with this id."""

NO_CHUNK: Final = b"ArrayChunk  0\x00"
_CHUNK_DEPTH: Final = 4
_MAX_OBJECTS: Final = 16  # above the chunks there are five; many more are not ours


def fetch(tree: ObjectTree, pull: Pull, limits: WireLimits) -> Message:
    """Pull the objects of a tree and return their message.

    The blob, if there is one, is a writable memoryview in the place of the array's bytes.

    Raises:
        WireError: the objects are not shaped as a message of polyrank, or the blob is too large
            (found out before any of it is pulled). What `pull` raises passes through.
    """
    contents = {object_id: pull(object_id) for object_id in _structure(tree)}
    arrays = [content for content in contents.values() if content.startswith(b"Array ")]
    chunks = {chunk for content in arrays for chunk in _chunk_order(content)}
    message = _inflate(tree.object_id, contents | dict.fromkeys(chunks, NO_CHUNK))
    if arrays:
        array = _only_array(message, len(arrays))
        size = check_array(array, limits)
        array.data = cast("bytes", _assemble(_chunk_order(arrays[0]), size, pull))
    message.metadata.__dict__["_message_id"] = tree.object_id
    return message


def _structure(tree: ObjectTree) -> list[str]:
    """List the ids of the objects above the chunks."""
    ids = [node.object_id for depth, node in _walk(tree) if depth < _CHUNK_DEPTH]
    if len(ids) > _MAX_OBJECTS:
        raise WireError("bad_message", f"{len(ids)} objects where {_MAX_OBJECTS} are allowed")
    return ids


def _walk(tree: ObjectTree, depth: int = 0) -> Iterator[tuple[int, ObjectTree]]:
    yield depth, tree
    if depth < _CHUNK_DEPTH:
        for child in tree.children:
            yield from _walk(child, depth + 1)


def _inflate(object_id: str, contents: dict[str, bytes]) -> Message:
    try:
        message = inflate_object_from_contents(object_id, contents)
    except Exception as error:  # whatever Flower's parsers meet in hostile bytes
        raise WireError("bad_message", f"the message cannot be inflated: {error!r}") from error
    if not isinstance(message, Message):
        raise WireError("bad_message", f"expected a message, got a {type(message).__name__}")
    return message


def _only_array(message: Message, count: int) -> Array:
    record = message.content.get(BLOB_RECORD) if message.has_content() else None
    array = record.get(BLOB_ARRAY) if isinstance(record, ArrayRecord) else None
    if array is None or count != 1:
        raise WireError("bad_records", f"expected one array, {BLOB_RECORD}/{BLOB_ARRAY}")
    return array


def _chunk_order(content: bytes) -> list[str]:
    """Read the ids of an array's chunks, in their order, from its deflated form."""
    try:
        ids = get_object_children_ids_from_object_content(content)
        body = json.loads(get_object_body(content, Array))
        return [ids[index] for index in body["arraychunk_ids"]]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise WireError("bad_blob", f"the array's description is broken: {error!r}") from error


def _assemble(order: list[str], size: int, pull: Pull) -> memoryview:
    """Pull chunks into one buffer; a chunk that comes again is copied from its first place."""
    buffer, end = memoryview(bytearray(size)), 0
    placed: dict[str, tuple[int, int]] = {}
    for chunk_id in order:
        if chunk_id in placed:
            start, stop = placed[chunk_id]
            piece = buffer[start:stop]
        else:
            content = pull(chunk_id)
            piece = memoryview(content)[content.find(b"\x00") + 1 :]
        if not piece or end + len(piece) > size:
            raise WireError("bad_blob", f"a chunk is empty or goes beyond {size} bytes")
        buffer[end : end + len(piece)] = piece
        placed[chunk_id] = (end, end + len(piece))
        end += len(piece)
    if end != size:
        raise WireError("bad_blob", f"{end} bytes arrived, {size} were announced")
    return buffer
