"""Seeded random numbers that depend on names, never on the order of a mapping."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ._errors import ArgumentError


def generator_for(seed: int, *labels: str) -> torch.Generator:
    """Return a CPU generator whose stream depends on `seed` and `labels` alone.

    Raises:
        ArgumentError: a seed that is not an integer.
    """
    if type(seed) is not int:
        raise ArgumentError("a seed is an integer", got=repr(seed))
    text = "/".join((str(seed), *labels)).encode()
    number = int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1
    return torch.Generator().manual_seed(number)


def sign_matrix(rows: int, columns: int, *labels: str) -> Tensor:
    """Return a fixed (rows, columns) float64 matrix of -1 and +1.

    The bits come from SHAKE-256 of the labels, so they are the same on every machine and with every
    version of torch; recorded sketches stay comparable for ever.

    Example:
        >>> sign_matrix(1, 4, "q", "left").tolist()
        [[-1.0, 1.0, 1.0, -1.0]]
    """
    count = rows * columns
    stream = hashlib.shake_256("/".join(labels).encode()).digest(-(-count // 8))
    octets = torch.frombuffer(bytearray(stream), dtype=torch.uint8)
    signs_of_octet = ((torch.arange(256)[:, None] >> torch.arange(8)) & 1).to(torch.float64) * 2 - 1
    signs = signs_of_octet.index_select(0, octets.to(torch.int32))
    return signs.reshape(-1)[:count].reshape(rows, columns)
