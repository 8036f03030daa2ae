"""The singular value decomposition of a delta, from its factors, without the delta.

With b = Q_b C_b and a^T = Q_a C_a (orthonormal Q), b a = Q_b (C_b C_a^T) Q_a^T, so the SVD of the
small core C_b C_a^T gives that of the m x n delta (Golub and Van Loan, Matrix Computations,
5.4; Halko, Martinsson and Tropp, arXiv 0909.4061, section 5). Everything here is float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ._adapter import Factors
from ._errors import ArgumentError, NotFiniteError
from ._linalg import eigh, is_finite, lengths, qr, svd

TOLERANCE = 2.0**-23
"""Singular values at or below this share of the largest are zero: float32's rounding unit."""

_TILE_ELEMENTS = 2**16
_GRAM_CONDITION = 1e-6
"""Smallest ratio of Gram eigenvalues for which the Gram route keeps ten digits."""


@dataclass(frozen=True, slots=True)
class Decomposition:
    """A thin SVD: delta = left @ diag(values) @ right, kept as lazy products.

    Attributes:
        values: (p,), descending, >= 0, float64.
        left_basis, left_mix: the left singular vectors are left_basis @ left_mix, (m, p).
        right_basis, right_mix: the right ones, as columns, are right_basis @ right_mix, (n, p).
    """

    values: Tensor
    left_basis: Tensor
    left_mix: Tensor
    right_basis: Tensor
    right_mix: Tensor

    def numerical_rank(self, tolerance: float) -> int:
        """Count the values above `tolerance` times the largest."""
        if self.values.numel() == 0:
            return 0
        return int((self.values > tolerance * self.values[0]).sum())

    def left(self, rank: int) -> Tensor:
        """Return the first `rank` left singular vectors, (m, rank)."""
        return _product(self.left_basis, self.left_mix[:, :rank])

    def right(self, rank: int) -> Tensor:
        """Return the first `rank` right singular vectors as rows, (rank, n)."""
        return _product(self.right_basis, self.right_mix[:, :rank]).T

    def factors(self, rank: int, dtype: torch.dtype) -> Factors:
        """Return U sqrt(s), sqrt(s) V^T of the first `rank` values, signs fixed, contiguous.

        In each column of `b` the entry of largest magnitude is positive.
        """
        root = self.values[:rank].sqrt()
        left, right = self.left(rank), self.right(rank)
        if rank > 0:
            peaks = left.gather(0, left.abs().argmax(dim=0, keepdim=True))
            signs = torch.where(peaks < 0, -1.0, 1.0)[0]
            left, right = left * signs, right * signs[:, None]
        b, a = (left * root).to(dtype), (root[:, None] * right).to(dtype)
        return Factors(b.contiguous(), a.contiguous())


def decompose(b: Tensor, a: Tensor, weights: Tensor | None = None) -> Decomposition:
    """Return the SVD of `b @ diag(weights) @ a` through its small core.

    Lengths of columns of `b` and rows of `a`, and the weights, are moved into the core, as if both
    were scaled to unit length: the factors' gauge (b G, G^-1 a) then costs no accuracy (while
    squares of lengths are normal float64 numbers, so from 1e-150 up). Each side is made orthonormal
    through its Gram matrix if that is well conditioned, else by QR, so cancelling terms, such as
    T' - T, keep an absolute error of about 1e-15 of the largest term.

    Args:
        b: (m, r), any floating dtype.
        a: (r, n).
        weights: (r,) float64, one for each column of `b`; None for ones.

    Raises:
        NotFiniteError: NaN or infinity in the factors.
        NumericalError: LAPACK did not converge.
    """
    if b.shape[1] > min(b.shape[0], a.shape[1]):
        left = b.to(torch.float64)
        left = left if weights is None else left * weights
        return decompose_dense(left @ a.to(torch.float64))
    left, right = _Side(b), _Side(a.T)
    sizes = left.sizes * right.sizes
    if not is_finite(sizes):
        raise NotFiniteError("factors hold NaN, infinity or overflow")
    if weights is not None:
        sizes = sizes * weights
    live = sizes != 0
    if not live.all():
        left, right, sizes = left.select(live), right.select(live), sizes[live]
    left_mix, left_core = left.orthonormal()
    right_mix, right_core = right.orthonormal()
    u, values, v = svd((left_core * sizes) @ right_core.T)
    return Decomposition(values, left.basis, left_mix @ u, right.basis, right_mix @ v.T)


def decompose_dense(delta: Tensor) -> Decomposition:
    """Return the SVD of a dense delta through the Gram matrix of its shorter side.

    U comes from the eigenvectors of D D^T, and diag(s) V^T = U^T D; the product is D to rounding
    because U is complete. Values below about 1e-8 of the largest are noise.

    Args:
        delta: (m, n), any floating dtype.

    Raises:
        NotFiniteError, NumericalError: as `decompose`.
    """
    matrix = delta.to(torch.float64)
    is_wide = matrix.shape[0] <= matrix.shape[1]
    short = matrix if is_wide else matrix.T
    if not is_finite(matrix):
        raise NotFiniteError("the delta holds NaN, infinity or overflow")
    vectors = eigh(short @ short.T)[1]
    rows = vectors.T @ short
    values, order = lengths(rows, axis=1).sort(descending=True, stable=True)
    mix = vectors[:, order]
    live = values > 0
    across = torch.where(live[:, None], rows[order] / values.clamp_min(1e-300)[:, None], 0.0)
    if is_wide:
        return Decomposition(values, mix, _eye(values), across.T, _eye(values))
    return Decomposition(values, across.T, _eye(values), mix, _eye(values))


def check_tolerance(tolerance: float) -> float:
    """Return a relative tolerance, 0 <= tolerance < 1.

    Raises:
        ArgumentError: another value.
    """
    if not 0 <= tolerance < 1:
        raise ArgumentError("a tolerance is in [0, 1)", got=tolerance)
    return tolerance


class _Side:
    """The columns x of one side: x = Q C diag(sizes) with orthonormal Q = basis @ M.

    By the Gram route the basis is x itself: Q is never formed, since few of its combinations are
    wanted.

    Attributes:
        sizes: (r,) lengths of the columns.
        basis: (d, r), of any floating dtype.
    """

    def __init__(self, x: Tensor) -> None:
        self.basis = x
        self._gram = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
        for _, tile in _tiles(x):
            self._gram.addmm_(tile.T, tile)
        self.sizes = self._gram.diagonal().sqrt()

    def select(self, live: Tensor) -> _Side:
        """Return the side of some columns only."""
        return _Side(self.basis[:, live])

    def orthonormal(self) -> tuple[Tensor, Tensor]:
        """Return M and C, (r, r) each; no column may be zero."""
        sizes = self.sizes
        if sizes.numel() == 0:
            return self._gram, self._gram
        values, vectors = eigh(self._gram / sizes / sizes[:, None])
        if values[0] > _GRAM_CONDITION * values[-1]:
            root = values.sqrt()
            return vectors / root / sizes[:, None], root[:, None] * vectors.T
        self.basis, core = qr(self.basis.to(torch.float64) / sizes)
        return _eye(values), core


def _tiles(x: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield runs of rows in float64, small enough for the cache; no whole copy is made."""
    height = max(1, _TILE_ELEMENTS // max(1, x.shape[1]))
    for start in range(0, x.shape[0], height):
        rows = slice(start, start + height)
        yield rows, x[rows].to(torch.float64)


def _product(x: Tensor, mix: Tensor) -> Tensor:
    """Return x @ mix in float64, (d, p)."""
    if x.dtype == mix.dtype:
        return x @ mix
    product = mix.new_empty(x.shape[0], mix.shape[1])
    for rows, tile in _tiles(x):
        product[rows] = tile @ mix
    return product


def _eye(like: Tensor) -> Tensor:
    return torch.eye(like.numel(), dtype=like.dtype, device=like.device)
