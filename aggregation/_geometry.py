"""Inner products, norms and cosines of deltas, from Gram matrices of factors.

(b G, G^-1 a) is the same update as (b, a), so raw factors have no meaningful norm or angle; deltas
do. <b_x a_x, b_y a_y> = sum of (b_x^T b_y) * (a_x a_y^T), elementwise: no delta is ever formed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ._adapter import Adapter, Factors, check_alike
from ._decompose import decompose
from ._errors import ArgumentError, NotFiniteError, ShapeError
from ._linalg import frobenius

Part: TypeAlias = Literal["all", "factors", "dense"]
"""What counts: everything, the target modules, or the dense tensors."""

_CANCELLATION = 1e-8


def inner(x: Adapter, y: Adapter, *, part: Part = "all") -> float:
    """Return the Frobenius inner product of two deltas.

    <x, y> = sum over modules of tr(delta_x^T delta_y), plus that of the dense tensors. Modules are
    matched by name; one that either lacks contributes zero. Float64 throughout.

    Args:
        x, y: two adapters.
        part: "all", "factors" or "dense". Robust aggregation scales the two parts apart.

    Raises:
        ShapeError: one name in two shapes.
        ArgumentError: another word for `part`.
        NotFiniteError: NaN, infinity or overflow.

    Example:
        >>> x = Adapter({"q": Factors(torch.ones(2, 1), torch.ones(1, 2))})
        >>> inner(x, x)
        4.0
    """
    return _finite(math.fsum(inner_by_name(x, y, part).values()))


def norm(x: Adapter, *, part: Part = "all") -> float:
    """Return the Frobenius norm of a delta, sqrt(<x, x>).

    Where the terms of a stack cancel (T' - T), the Gram matrices lose digits that the small core
    of the decomposition keeps, so modules with strong cancellation are recomputed through it.

    Args:
        x: an adapter.
        part: as `inner`.

    Raises:
        ArgumentError, NotFiniteError, NumericalError: as `inner` and `spectral`.

    Example:
        >>> norm(Adapter({"q": Factors(torch.ones(2, 1), torch.ones(1, 2))}))
        2.0
    """
    return _finite(math.hypot(*norm_by_name(x, part).values()))


def similarity(x: Adapter, y: Adapter, *, part: Part = "all") -> float:
    """Return the cosine of two deltas, <x, y> / (||x|| ||y||), in [-1, 1].

    It does not depend on the gauge or the rank of the factors. Zero if either delta is zero.

    Args:
        x, y: two adapters.
        part: as `inner`.

    Raises:
        ShapeError, ArgumentError, NotFiniteError, NumericalError: as `inner` and `norm`.

    Example:
        >>> x = Adapter({"q": Factors(torch.ones(2, 1), torch.ones(1, 2))})
        >>> y = Adapter({"q": Factors(-3 * torch.ones(2, 1), torch.ones(1, 2))})
        >>> similarity(x, y)
        -1.0
    """
    return cosine(inner(x, y, part=part), norm(x, part=part), norm(y, part=part))


def cosine(product: float, x_norm: float, y_norm: float) -> float:
    """Return product / (x_norm y_norm) clamped to [-1, 1], or zero if either norm is."""
    if x_norm == 0.0 or y_norm == 0.0:
        return 0.0
    return max(-1.0, min(1.0, product / x_norm / y_norm))


def inner_by_name(x: Adapter, y: Adapter, part: Part) -> Mapping[tuple[str, str], float]:
    """Return the inner product of each module and dense tensor that both have."""
    _check_part(part)
    products: dict[tuple[str, str], float] = {}
    if part != "dense":
        for name in x.factors.keys() & y.factors.keys():
            products["factors", name] = inner_factors(x.factors[name], y.factors[name], name)
    if part != "factors":
        for name in x.dense.keys() & y.dense.keys():
            products["dense", name] = _inner_dense(x.dense[name], y.dense[name], name)
    return products


def norm_by_name(x: Adapter, part: Part) -> Mapping[tuple[str, str], float]:
    """Return the norm of each module and dense tensor."""
    _check_part(part)
    norms: dict[tuple[str, str], float] = {}
    if part != "dense":
        norms |= {("factors", name): norm_factors(f, name) for name, f in x.factors.items()}
    if part != "factors":
        norms |= {("dense", name): norm_dense(value) for name, value in x.dense.items()}
    return norms


def inner_factors(x: Factors, y: Factors, module: str) -> float:
    """Return <b_x a_x, b_y a_y> of one module.

    Raises:
        ShapeError, DeviceError: two shapes or devices.
    """
    check_alike(module, x, y)
    return float((_cross(x.b.T, y.b) * _cross(x.a, y.a.T)).sum())


def norm_factors(factors: Factors, module: str) -> float:
    """Return the Frobenius norm of one module's delta."""
    terms = _cross(factors.b.T, factors.b) * _cross(factors.a, factors.a.T)
    square, size = float(terms.sum()), float(terms.abs().sum())
    if square > _CANCELLATION * size:
        return math.sqrt(square)
    return 0.0 if size == 0.0 else frobenius(decompose(factors.b, factors.a).values)


def norm_dense(value: Tensor) -> float:
    """Return the Frobenius norm of one dense tensor."""
    return frobenius(value)


def _inner_dense(x: Tensor, y: Tensor, name: str) -> float:
    if x.shape != y.shape:
        expected, got = tuple(x.shape), tuple(y.shape)
        raise ShapeError("dense tensors differ in shape", module=name, expected=expected, got=got)
    return float((x.to(torch.float64) * y.to(torch.float64)).sum())


def _cross(left: Tensor, right: Tensor) -> Tensor:
    return left.to(torch.float64) @ right.to(torch.float64)


def _check_part(part: str) -> None:
    if part not in ("all", "factors", "dense"):
        raise ArgumentError('part is "all", "factors" or "dense"', got=repr(part))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise NotFiniteError("the deltas hold NaN, infinity or overflow")
    return value
