"""How large a blob may be before it is refused unread."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import cast

from ._errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds that `decode` and `AdapterReader` check before they allocate anything.

    Attributes:
        max_bytes: the whole blob, in bytes.
        max_header_bytes: its JSON header, in bytes.
        max_metadata_bytes: the metadata string inside the header, in bytes of UTF-8.
        max_modules: number of target modules.
        max_dense_tensors: number of dense tensors.
        max_rank: rank of any module (columns of `b`).
        max_axis_length: length of any axis of any tensor, in elements.

    Raises:
        ArgumentError: a limit that is not a positive integer.

    Example:
        >>> Limits(max_rank=64).max_rank
        64
    """

    max_bytes: int = 4 * 2**30
    max_header_bytes: int = 16 * 2**20
    max_metadata_bytes: int = 2**20
    max_modules: int = 2**14
    max_dense_tensors: int = 2**10
    max_rank: int = 2**14
    max_axis_length: int = 2**24

    def __post_init__(self) -> None:
        for field in fields(self):
            value = cast("object", getattr(self, field.name))
            if type(value) is not int or value < 1:
                raise ArgumentError(f"{field.name} is a positive integer", got=repr(value))
