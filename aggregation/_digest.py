"""The name of a blob: its sha-256."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmap import mmap


def digest(data: bytes | bytearray | memoryview | mmap) -> str:
    """Return the sha-256 of canonical bytes, as 64 lower-case hexadecimal digits.

    Equal adapters have equal canonical bytes (see `encode`), so equal digests; the reverse holds
    for all that anyone can construct. The data are not copied.

    Example:
        >>> digest(b"")[:16]
        'e3b0c44298fc1c14'
    """
    return hashlib.sha256(data).hexdigest()
