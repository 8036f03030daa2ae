"""The singular value decomposition of a delta, from its factors, without the delta.

With b = Q_b C_b and a^T = Q_a C_a (orthonormal Q), b a = Q_b (C_b C_a^T) Q_a^T, so the SVD of the
small core C_b C_a^T gives that of the m x n delta (Golub and Van Loan, Matrix Computations,
5.4; Halko, Martinsson and Tropp, arXiv 0909.4061, section 5). Everything here is float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._adapter import Factors
from ._errors import ArgumentError, NotFiniteError
from ._linalg import eigh, is_finite, lengths, qr, svd

TOLERANCE = 2.0**-23
"""Singular values at or below this share of the largest are zero: float32's rounding unit."""

_GRAM_CONDITION = 1e-6
"""Smallest ratio of Gram eigenvalues for which the Gram route keeps ten digits."""


@dataclass(frozen=True, slots=True)
class Decomposition:
    """A thin SVD: delta = left @ diag(values) @ right, kept as lazy products.

    Attributes:
        values: (p,), descending, >= 0, float64.
        left_basis, left_mix: the left singular vectors are left_basis @ left_mix, (m, p).
        right_mix, right_basis: the right ones, as rows, are right_mix @ right_basis, (p, n).
    """

    values: Tensor
    left_basis: Tensor
    left_mix: Tensor
    right_mix: Tensor
    right_basis: Tensor

    def numerical_rank(self, tolerance: float) -> int:
        """Count the values above `tolerance` times the largest."""
        if self.values.numel() == 0:
            return 0
        return int((self.values > tolerance * self.values[0]).sum())

    def left(self, rank: int) -> Tensor:
        """Return the first `rank` left singular vectors, (m, rank)."""
        return self.left_basis @ self.left_mix[:, :rank]

    def right(self, rank: int) -> Tensor:
        """Return the first `rank` right singular vectors as rows, (rank, n)."""
        return self.right_mix[:rank] @ self.right_basis

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


def decompose(b: Tensor, a: Tensor) -> Decomposition:
    """Return the SVD of `b @ a` through its small core.

    Columns of `b` and rows of `a` are first scaled to unit length and their lengths moved into the
    core: the factors' gauge (b G, G^-1 a) then costs no accuracy. Each side is made orthonormal
    through its Gram matrix if that is well conditioned, else by QR, so cancelling terms, such as
    T' - T, keep an absolute error of about 1e-15 of the largest term.

    Args:
        b: (m, r), any floating dtype.
        a: (r, n).

    Raises:
        NotFiniteError: NaN or infinity in the factors.
        NumericalError: LAPACK did not converge.
    """
    left, right = b.to(torch.float64), a.to(torch.float64)
    if left.shape[1] > min(left.shape[0], right.shape[1]):
        return decompose_dense(left @ right)
    left_sizes, right_sizes = lengths(left, axis=0), lengths(right, axis=1)
    sizes = left_sizes * right_sizes
    if not is_finite(sizes):
        raise NotFiniteError("factors hold NaN, infinity or overflow")
    live = sizes > 0
    left = left[:, live] / left_sizes[live]
    right = right[live] / right_sizes[live, None]
    left_basis, left_mix, left_core = _orthonormal(left)
    right_basis, right_mix, right_core = _orthonormal(right.T)
    core = (left_core * sizes[live]) @ right_core.T
    u, values, v = svd(core)
    return Decomposition(values, left_basis, left_mix @ u, v @ right_mix.T, right_basis.T)


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
        return Decomposition(values, mix, _eye(values), _eye(values), across)
    return Decomposition(values, across.T, _eye(values), _eye(values), mix.T)


def check_tolerance(tolerance: float) -> float:
    """Return a relative tolerance, 0 <= tolerance < 1.

    Raises:
        ArgumentError: another value.
    """
    if not 0 <= tolerance < 1:
        raise ArgumentError("a tolerance is in [0, 1)", got=tolerance)
    return tolerance


def _orthonormal(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return B (d, r), M and C (r, r) with orthonormal Q = B M and x = Q C; x has unit columns.

    By the Gram route B is x itself: Q is never formed, since few of its combinations are wanted.
    """
    if x.shape[1] == 0:
        return x, x.new_zeros(0, 0), x.new_zeros(0, 0)
    values, vectors = eigh(x.T @ x)
    if values[0] > _GRAM_CONDITION * values[-1]:
        root = values.sqrt()
        return x, vectors / root, root[:, None] * vectors.T
    basis, core = qr(x)
    return basis, _eye(values), core


def _eye(like: Tensor) -> Tensor:
    return torch.eye(like.numel(), dtype=like.dtype, device=like.device)
