"""Vectors and symmetric matrices as JSON text: base64 of little-endian float32."""

from __future__ import annotations

import base64
import binascii

import torch
from torch import Tensor

from ._linalg import is_finite
from ._summary_fields import Fields, refuse

_BYTES = 4


def pack(x: Tensor) -> str:
    """Return a vector's float32 values as base64.

    Example:
        >>> pack(torch.tensor([1.0]))
        'AACAPw=='
    """
    data = bytearray(x.numel() * _BYTES)
    if data:
        torch.frombuffer(data, dtype=torch.float32).copy_(x)
    return base64.b64encode(data).decode("ascii")


def pack_symmetric(x: Tensor) -> str:
    """Return the upper triangle of a symmetric matrix, row by row, as base64."""
    rows, columns = torch.triu_indices(x.shape[0], x.shape[0])
    return pack(x[rows, columns])


def unpack(fields: Fields, name: str, length: int) -> Tensor:
    """Return the field `name` as a float32 vector of `length` finite numbers.

    Raises:
        SummaryError: not base64, another length, NaN or infinity.
    """
    text = fields.text(name)
    characters = 4 * -(-length * _BYTES // 3)
    if len(text) != characters:
        raise refuse(name, "wrong length in characters", expected=characters, got=len(text))
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise refuse(name, "not base64") from None
    if len(data) != length * _BYTES:
        raise refuse(name, "wrong length in bytes", expected=length * _BYTES, got=len(data))
    if not data:
        return torch.empty(0)
    # A copy: a tensor over a bytearray keeps both alive, and thousands of summaries are kept.
    vector = torch.frombuffer(bytearray(data), dtype=torch.float32).clone()
    if not is_finite(vector):
        raise refuse(name, "holds NaN or infinity")
    return vector


def unpack_symmetric(fields: Fields, name: str, size: int) -> Tensor:
    """Return the field `name`, an upper triangle, as a symmetric float32 (size, size) matrix.

    Raises:
        SummaryError: as `unpack`.
    """
    triangle = unpack(fields, name, size * (size + 1) // 2)
    matrix = torch.zeros(size, size)
    rows, columns = torch.triu_indices(size, size)
    matrix[rows, columns] = triangle
    matrix[columns, rows] = triangle
    return matrix
