"""Canonical adapter blobs, small and large, made without torch."""

import json
import struct
from pathlib import Path


def blob(rank: int = 2, m: int = 4, n: int = 3, fill: int = 0) -> bytes:
    """A canonical adapter blob with one module "fc"; `fill` makes its bytes differ."""
    header, size = _header(rank, m, n)
    return header + bytes([fill]) * size


def write_blob(path: Path, rank: int, m: int, n: int) -> int:
    """Write a large blob in pieces; return its size in bytes."""
    header, size = _header(rank, m, n)
    with path.open("wb") as sink:
        sink.write(header)
        piece = bytes(1 << 20)
        for begin in range(0, size, len(piece)):
            sink.write(piece[: size - begin])
    return len(header) + size


def _header(rank: int, m: int, n: int) -> tuple[bytes, int]:
    a, b = 4 * rank * n, 4 * m * rank
    text = json.dumps(
        {
            "factors/fc/a": {"dtype": "F32", "shape": [rank, n], "data_offsets": [0, a]},
            "factors/fc/b": {"dtype": "F32", "shape": [m, rank], "data_offsets": [a, a + b]},
        },
        separators=(",", ":"),
    ).encode()
    text += b" " * (-(8 + len(text)) % 8)
    return struct.pack("<Q", len(text)) + text, a + b
