"""The running sum of a dense delta, in the memory of one, with more digits than float32 has.

Each row is a row of 32-bit integers times a power of two of its own. Adding is exact but for the
rounding of each term to that unit, at most 2^-29 of what the row reaches, where a float32 sum would
round to 2^-24 of each value at each step: over 10,000 terms that is the difference between 1e-7
and 2e-6 of the result. Terms much smaller than the row are rounded up or down by turns, so that
what all lose alike does not pile up: n equal terms are off by units, not by n of them.

Once what is in a row may be half gone, and a term comes that is far smaller than the row has been,
the row is measured, and its unit shrinks to what is there. So terms that cancel exactly cost those
after them nothing. What remains: the rounding of terms that cancel only in part stays, 2^-29 of
their size, and a value much smaller than the largest of its row (an outlier column) keeps fewer
digits: its error is absolute, 2^-29 of that largest for each term.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from ._errors import NotFiniteError
from ._linalg import is_finite, lengths, peaks

_TILE_ELEMENTS = 2**14
_TILE_WIDTH = 512
_TILES_AT_ONCE = 2
_AIM = 2.0**30
_LIMIT = 2.0**31 - 256.0
"""Largest magnitude of an integer; float32 numbers next to 2^31 are 128 apart."""
_ROUNDER = 1.5 * 2.0**52
"""Added to a float64 below 2^31, it leaves the nearest integer in the low half of its bits."""

_SMALL = 1 / 16
"""Terms below this share of their row are dithered, and have it measured if much has moved.

Larger ones are rounded to nearest, so that a term and its opposite cancel bit for bit.
"""
_GOLDEN = (5.0**0.5 - 1.0) / 2.0
"""Multiples of it, less their integers, fill (0, 1) evenly, and so does every n-th of them."""

_LOW_HALF = 0 if sys.byteorder == "little" else 1
_OVERFLOW = 2.0**127


class DenseDelta:
    """An (m, n) sum of weighted products b @ a; float64 if `dtype` is, else as said above."""

    def __init__(self, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> None:
        is_double = dtype == torch.float64
        kind = torch.float64 if is_double else torch.int32
        self._values = torch.zeros(shape, dtype=kind, device=device)
        self._unit = torch.ones(shape[0], dtype=torch.float64, device=device)
        self._peak = torch.zeros_like(self._unit)  # largest of the row when measured, in units
        self._moved = torch.zeros_like(self._unit)  # the most that any value has moved since
        self._dither = torch.zeros(shape[0], device=device)  # of the present term, in units
        self._count = 0

    @property
    def is_double(self) -> bool:
        """Whether the sum is kept in float64."""
        return self._values.dtype == torch.float64

    def widened(self) -> DenseDelta:
        """Return the same sum in float64."""
        shape = (self._values.shape[0], self._values.shape[1])
        wide = DenseDelta(shape, torch.float64, self._values.device)
        wide._values = self.total()
        return wide

    def add(self, b: Tensor, a: Tensor, weight: float, module: str) -> None:
        """Add weight * b @ a, (m, r) and (r, n), by tiles of rows.

        Raises:
            NotFiniteError: NaN, infinity, or what may overflow float32; nothing was added.
        """
        bound = _row_bound(b, a).mul_(abs(weight))
        if not is_finite(bound) or (not self.is_double and float(bound.max()) > _OVERFLOW):
            raise NotFiniteError(
                "the sum holds NaN, infinity or overflow", module=module, expected="finite numbers"
            )
        if not self.is_double:
            self._make_room(bound)
        del bound
        width = min(_TILE_WIDTH, self._values.shape[1])
        for start in range(0, self._values.shape[1], width):
            self._add_columns(b, a[:, start : start + width], weight, start)

    def _add_columns(self, b: Tensor, a: Tensor, weight: float, start: int) -> None:
        """Add weight * b @ a to the columns from `start` on."""
        across, columns = a.to(torch.float64), slice(start, start + a.shape[1])
        is_dithered = bool(self._dither.any())
        height = self._height(a.shape[1])
        products = across.new_empty(height, a.shape[1])
        integers = products.view(torch.int32)[:, _LOW_HALF::2]
        for rows in _runs(b.shape[0], height * _TILES_AT_ONCE):
            # Units are powers of two, so it is exact to divide before the product.
            down = b[rows].to(torch.float64) * (weight / self._unit[rows, None])
            dither, sums = self._dither[rows, None], self._values[rows, columns]
            for tile in _runs(down.shape[0], height):
                part = down[tile]
                term = torch.mm(part, across, out=products[: part.shape[0]])
                if not self.is_double:
                    if is_dithered:
                        term.add_(dither[tile])
                    term.add_(_ROUNDER)
                    term = integers[: part.shape[0]]
                sums[tile].add_(term)

    def total(self) -> Tensor:
        """Return the sum, (m, n) float64."""
        if self.is_double:
            return self._values.clone()
        return self._values.to(torch.float64).mul_(self._unit[:, None])

    def _height(self, width: int) -> int:
        """Return how many rows of a width fit the cache."""
        return min(max(1, _TILE_ELEMENTS // width), max(self._values.shape[0], 1))

    def _make_room(self, bound: Tensor) -> None:
        """Choose units for a term within `bound` (m,): larger ones for rows that it might fill.

        A row of zeros, or one that may be much smaller than it was, may get a smaller unit.
        """
        step = (bound / self._unit).add_(1.0).mul_(bound > 0.0)
        reach = self._peak + self._moved
        is_small = (step > 0.0) & (step < reach * _SMALL)
        is_due = is_small & (self._moved >= self._peak / 2)
        is_due |= ((reach == 0.0) & (step > 0.0)) | (reach.add_(step) > _LIMIT)
        del reach, step
        self._count += 1
        dither = self._count * _GOLDEN % 1.0 - 0.5
        self._dither = (is_small & ~is_due).to(torch.float32).mul_(dither)
        due = is_due.nonzero().flatten()
        for part in _runs(due.shape[0], self._height(self._values.shape[1])):
            self._rescale(due[part], bound[due[part]])
        self._moved.add_((bound / self._unit).add_(1.0).mul_(bound > 0.0))

    def _rescale(self, rows: Tensor, bound: Tensor) -> None:
        """Measure rows, and give those that need it the unit for what they hold and `bound`."""
        values, old = self._values[rows], self._unit[rows]
        peak = peaks(values).to(torch.float64)
        wanted = peak + bound / old
        is_off = (wanted > _LIMIT / 2) | (wanted < _AIM / 4)
        growth = torch.where(is_off & (bound > 0.0), torch.exp2((wanted / _AIM).log2().ceil()), 1.0)
        unit = (old * growth).clamp(2.0**-300, 2.0**300)
        growth = unit / old
        if bool((growth != 1.0).any()):
            values.copy_(values.to(torch.float64).div_(growth[:, None]).round_())
            self._values[rows] = values
        self._unit[rows] = unit
        self._peak[rows] = torch.where(peak > 0.0, peak / growth + 1.0, 0.0)
        self._moved[rows] = 0.0
        # Where values are rounded, the term is not dithered too: one unit is lost at most.
        self._dither[rows] = torch.where(growth > 1.0, 0.0, self._dither[rows])


def _row_bound(b: Tensor, a: Tensor) -> Tensor:
    """Return a bound of each row of |b @ a|, (m,) float64: |b_i| times the longest column of a."""
    bound = b.new_empty(b.shape[0], dtype=torch.float64)
    for part in _runs(b.shape[0], _TILE_WIDTH):
        bound[part] = lengths(b[part], axis=1, dtype=torch.float64)
    longest = [
        lengths(a[:, part], axis=0, dtype=torch.float64).max()
        for part in _runs(a.shape[1], _TILE_WIDTH)
    ]
    return bound.mul_(torch.stack(longest).max())


def _runs(length: int, step: int) -> Iterator[slice]:
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))
