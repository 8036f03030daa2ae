"""Lossless sums of weighted deltas in bounded memory: one module, one dense tensor.

A module's sum is a list of weighted factors while that is smaller than the dense delta, that is
while R <= m n / (m + n), and the dense delta from then on. Nothing is cut unless a `max_rank` says
so. Since m n / (m + n) < min(m, n), a stack always turns dense before its rank passes min(m, n).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ._adapter import Factors, check_alike, working_dtype
from ._decompose import Decomposition, decompose, decompose_dense
from ._errors import ShapeError
from ._linalg import frobenius

_TILE_ELEMENTS = 2**20
_FOLD_SHARE = 4
_CUT_FACTOR = 4


@dataclass(frozen=True, slots=True)
class Block:
    """One weighted term: weight * b @ a. The weight stays apart until float64.

    Attributes:
        factors: of rank r.
        weight: one number, or a float64 (r,) tensor, one number per column of b.
    """

    factors: Factors
    weight: float | Tensor

    def weights(self) -> Tensor:
        """Return one float64 weight per column of b, (r,)."""
        b, weight = self.factors.b, self.weight
        if isinstance(weight, Tensor):
            return weight
        return torch.full((self.factors.rank,), weight, dtype=torch.float64, device=b.device)

    def scaled_b(self, dtype: torch.dtype) -> Tensor:
        """Return weight * b, multiplied in float64, rounded once."""
        return (self.factors.b.to(torch.float64) * self.weight).to(dtype)


class ModuleSum:
    """The running sum of one module's weighted deltas.

    Attributes:
        shape: (m, n) of the delta.
        discarded: sum of the Frobenius norms that cuts to `max_rank` discarded, an upper bound of
            the error by the triangle inequality; 0.0 without `max_rank`.
    """

    def __init__(self, like: Factors, max_rank: int | None = None) -> None:
        self.shape = like.shape
        self._like = Factors(like.b[:, :0].clone(), like.a[:0].clone())
        self.discarded = 0.0
        self._max_rank = max_rank
        self._dtype = torch.float32
        self._blocks: list[Block] = []
        self._dense: Tensor | None = None

    @property
    def is_stack(self) -> bool:
        """Whether the sum still is the plain stack of all that was added."""
        return self._dense is None and self.discarded == 0.0

    @property
    def is_dense(self) -> bool:
        """Whether the sum has become a dense delta."""
        return self._dense is not None

    @property
    def is_zero(self) -> bool:
        """Whether nothing but zero terms was added."""
        return self._dense is None and not self._blocks

    def add(self, factors: Factors, weight: float | Tensor, module: str) -> None:
        """Add weight * delta, or b @ diag(weight) @ a for a weight per column.

        The factors are copied, so the caller's buffer can go.

        Raises:
            ShapeError, DeviceError: another shape or device than the sum's.
        """
        check_alike(module, self._like, factors)
        self._dtype = torch.promote_types(self._dtype, working_dtype((factors.b,)))
        if factors.rank == 0 or (isinstance(weight, float) and weight == 0.0):
            return
        self._blocks.append(Block(Factors(factors.b.clone(), factors.a.clone()), weight))
        self._bound_memory()

    def stack(self, scale: float = 1.0) -> Factors:
        """Return the plain stack, [scale w_k b_k] and [a_k]; only while `is_stack`."""
        return concatenate(self._blocks or [Block(self._like, 1.0)], self._dtype, scale)

    def decompose(self) -> Decomposition:
        """Return the SVD of the sum."""
        self._fold()
        if self._dense is not None:
            return decompose_dense(self._dense)
        blocks = self._blocks or [Block(self._like, 1.0)]
        b = torch.cat([block.factors.b for block in blocks], dim=1)
        a = torch.cat([block.factors.a for block in blocks], dim=0)
        return decompose(b, a, torch.cat([block.weights() for block in blocks]))

    def factors(self, decomposition: Decomposition, rank: int) -> Factors:
        """Return the first `rank` components in the dtype of the inputs."""
        return decomposition.factors(rank, self._dtype)

    def _bound_memory(self) -> None:
        pending = sum(block.factors.rank for block in self._blocks)
        if self._max_rank is not None:
            if pending > _CUT_FACTOR * self._max_rank:
                self._cut(self._max_rank)
            return
        if self._dense is None and pending > self._break_even:
            self._dense = torch.zeros(self.shape, dtype=self._dtype, device=self._like.b.device)
            self._fold()
        elif self._dense is not None and pending > self._break_even // _FOLD_SHARE:
            self._fold()

    @property
    def _break_even(self) -> int:
        """Rank beyond which the factors are larger than the dense delta."""
        rows, columns = self.shape
        return rows * columns // (rows + columns)

    def _fold(self) -> None:
        """Move the pending terms into the dense delta, group by group, in float64 tiles."""
        if self._dense is None or not self._blocks:
            return
        dense = self._dense.to(self._dtype)
        height = max(1, _TILE_ELEMENTS // self.shape[1])
        for group in _groups(self._blocks, self._break_even // _FOLD_SHARE):
            terms = concatenate(group, torch.float64, 1.0)
            for start in range(0, self.shape[0], height):
                rows = slice(start, start + height)
                dense[rows] = torch.addmm(dense[rows].to(torch.float64), terms.b[rows], terms.a)
        self._dense, self._blocks = dense, []

    def _cut(self, rank: int) -> None:
        whole = self.decompose()
        self.discarded += frobenius(whole.values[rank:])
        self._blocks = [Block(whole.factors(min(rank, whole.values.numel()), torch.float64), 1.0)]


class DenseSum:
    """The running float64 sum of one dense tensor's weighted values."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._dtype = torch.float32
        self._total: Tensor | None = None

    def add(self, value: Tensor, weight: float, name: str) -> None:
        """Add weight * value.

        Raises:
            ShapeError: another shape than the sum's.
        """
        if tuple(value.shape) != self.shape:
            raise ShapeError(
                "values of one dense tensor have one shape",
                module=name,
                expected=self.shape,
                got=tuple(value.shape),
            )
        self._dtype = torch.promote_types(self._dtype, working_dtype((value,)))
        term = value.to(torch.float64) * weight
        self._total = term if self._total is None else self._total.add_(term)

    def total(self, scale: float = 1.0) -> Tensor:
        """Return scale * sum, rounded once to float32 (float64 for float64 input)."""
        if self._total is None:
            return torch.zeros(self.shape, dtype=self._dtype)
        return (self._total * scale).to(self._dtype)


def _groups(blocks: list[Block], rank: int) -> Iterator[list[Block]]:
    """Split blocks into runs of about `rank`, so that their float64 copies stay small."""
    group: list[Block] = []
    for block in blocks:
        group.append(block)
        if sum(member.factors.rank for member in group) > rank:
            yield group
            group = []
    if group:
        yield group


def concatenate(blocks: list[Block], dtype: torch.dtype, scale: float) -> Factors:
    """Return the stack [scale w_1 b_1 ... ] and [a_1; ...] of one or more blocks, contiguous."""
    b = torch.cat([Block(k.factors, k.weight * scale).scaled_b(dtype) for k in blocks], dim=1)
    a = torch.cat([block.factors.a.to(dtype) for block in blocks], dim=0)
    return Factors(b.contiguous(), a.contiguous())
