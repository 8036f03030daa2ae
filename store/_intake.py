"""Taking bytes in: staged, read by their header, held against their profile; then used or not."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from ._blobs import MAX_BLOB_BYTES, Blobs, Staged
from ._header import Header, read_header
from ._json import ReadOnlyDict
from ._profile import check_profile
from ._registry_types import Source


@dataclass(frozen=True, slots=True)
class Intake:
    """Bytes that are durable and make sense, but are not named yet."""

    staged: Staged
    header: Header
    profile: ReadOnlyDict | None


@contextlib.contextmanager
def taken_in(
    blobs: Blobs,
    source: Source,
    profile: Mapping[str, Any] | None = None,
    *,
    max_bytes: int = MAX_BLOB_BYTES,
) -> Generator[Intake]:
    """Stage bytes for the block; what the block has not placed is forgotten after it.

    Raises InvalidBlob, BlobTooLarge, ProfileMismatch, InvalidValue, StorageFailure.
    """
    staged = blobs.stage(source, max_bytes)
    try:
        with staged.stream() as stream:
            header = read_header(stream, staged.size_bytes)
        checked = None if profile is None else check_profile(profile, header)
        yield Intake(staged, header, checked)
    finally:
        staged.discard()
