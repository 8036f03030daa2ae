"""How two adapters differ, module by module: direction, subspaces, energy, rank, size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from ._adapter import Adapter, Factors, check_alike
from ._decompose import TOLERANCE, decompose
from ._geometry import cosine, inner_factors, similarity
from ._linalg import frobenius, singular_values


@dataclass(frozen=True, slots=True)
class ModuleComparison:
    """Two deltas x and y of one target module, in plain numbers.

    Attributes:
        cosine: <x, y> / (||x|| ||y||), in [-1, 1]; 0.0 if either is zero.
        left_angles: principal angles between the column spaces, in radians, ascending, in
            [0, pi/2]; min(rank_x, rank_y) of them.
        right_angles: the same between the row spaces.
        energy_of_x_in_y: ||P x Q||^2 / ||x||^2, the share of x that lies within y's column and row
            spaces (P, Q: projectors on them), in [0, 1]; 0.0 if x is zero.
        energy_of_y_in_x: the same the other way round.
        rank_x, rank_y: numerical ranks.
        norm_x, norm_y: Frobenius norms.
    """

    cosine: float
    left_angles: tuple[float, ...]
    right_angles: tuple[float, ...]
    energy_of_x_in_y: float
    energy_of_y_in_x: float
    rank_x: int
    rank_y: int
    norm_x: float
    norm_y: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two adapters, compared.

    Attributes:
        cosine: of all modules and dense tensors together, as `similarity`.
        modules: by name, those that both have.
        only_x, only_y: names of the modules that one of them lacks, sorted.
    """

    cosine: float
    modules: Mapping[str, ModuleComparison]
    only_x: tuple[str, ...]
    only_y: tuple[str, ...]


def compare(x: Adapter, y: Adapter, tolerance: float = TOLERANCE) -> Comparison:
    """Compare two adapters in delta space, so that gauge and rank of the factors do not matter.

    Principal angles follow Bjorck and Golub (Math. Comp. 27, 1973): cosines are the singular values
    of U_x^T U_y; small angles are taken from the sines, which keep their digits.

    Args:
        x, y: two adapters on one base model.
        tolerance: for the numerical ranks, relative to the largest singular value.

    Raises:
        ShapeError: one name in two shapes.
        NotFiniteError, NumericalError: as `spectral`.

    Example:
        >>> import torch
        >>> x = Adapter({"q": Factors(torch.eye(3)[:, :1], torch.eye(4)[:1])})
        >>> y = Adapter({"q": Factors(torch.eye(3)[:, 1:2], torch.eye(4)[:1])})
        >>> result = compare(x, y).modules["q"]
        >>> result.cosine, result.right_angles, round(result.left_angles[0], 4)
        (0.0, (0.0,), 1.5708)
    """
    modules = {
        name: _compare_module(x.factors[name], y.factors[name], name, tolerance)
        for name in x.factors
        if name in y.factors
    }
    return Comparison(
        cosine=similarity(x, y),
        modules=MappingProxyType(modules),
        only_x=tuple(sorted(x.factors.keys() - y.factors.keys())),
        only_y=tuple(sorted(y.factors.keys() - x.factors.keys())),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Spaces:
    """Column basis (m, k), values (k,) and row basis (n, k) of a delta of numerical rank k."""

    left: Tensor
    values: Tensor
    right: Tensor
    norm: float


def _spaces(factors: Factors, tolerance: float) -> _Spaces:
    whole = decompose(factors.b, factors.a)
    rank = whole.numerical_rank(tolerance)
    left, right = whole.left(rank), whole.right(rank).T
    return _Spaces(left, whole.values[:rank], right, frobenius(whole.values))


def _compare_module(x: Factors, y: Factors, name: str, tolerance: float) -> ModuleComparison:
    check_alike(name, x, y)
    one, two = _spaces(x, tolerance), _spaces(y, tolerance)
    return ModuleComparison(
        cosine=cosine(inner_factors(x, y, name), one.norm, two.norm),
        left_angles=_angles(one.left, two.left),
        right_angles=_angles(one.right, two.right),
        energy_of_x_in_y=_energy(one, two),
        energy_of_y_in_x=_energy(two, one),
        rank_x=one.values.numel(),
        rank_y=two.values.numel(),
        norm_x=one.norm,
        norm_y=two.norm,
    )


def _angles(x: Tensor, y: Tensor) -> tuple[float, ...]:
    """Return the principal angles between the spans of orthonormal columns, ascending."""
    if x.shape[1] < y.shape[1]:
        x, y = y, x
    if y.shape[1] == 0:
        return ()
    cross = x.T @ y
    cosines = singular_values(cross)
    sines = reversed(singular_values(y - x @ cross))
    return tuple(math.atan2(sine, cosine) for sine, cosine in zip(sines, cosines, strict=True))


def _energy(inside: _Spaces, of: _Spaces) -> float:
    """Return the share of `inside`'s square norm that lies in the spaces of `of`."""
    if inside.norm == 0.0:
        return 0.0
    seen = ((of.left.T @ inside.left) * inside.values) @ (inside.right.T @ of.right)
    return min(1.0, (frobenius(seen) / inside.norm) ** 2)
