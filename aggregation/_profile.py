"""The plain numbers by which a registry knows an adapter without opening its blob."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ._adapter import Adapter, Factors
from ._codec import encode
from ._digest import digest
from ._geometry import norm_dense
from ._linalg import numbers
from ._seeds import sign_matrix
from ._side_by_side import by_name
from ._spectral import values_of

SKETCH_SIZE = 64
FORMAT = 1


@dataclass(frozen=True, slots=True)
class ModuleProfile:
    """One target module in plain numbers.

    Attributes:
        rank: columns of `b`.
        shape: (d_out, d_in).
        norm: Frobenius norm of the delta.
        spectrum: its min(rank, d_out, d_in) singular values, descending.
        digest: of the canonical float32 blob that holds this module alone.
    """

    rank: int
    shape: tuple[int, int]
    norm: float
    spectrum: tuple[float, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class DenseProfile:
    """One dense tensor in plain numbers: shape, Frobenius norm, digest of it alone."""

    shape: tuple[int, ...]
    norm: float
    digest: str


@dataclass(frozen=True, slots=True)
class Profile:
    """An adapter in plain Python numbers.

    Attributes:
        norm: Frobenius norm of all modules and dense tensors together.
        modules: by target module.
        dense: by dense tensor.
        sketch: 64 numbers whose dot product with another adapter's sketch estimates the inner
            product of the two deltas (target modules only).
    """

    norm: float
    modules: Mapping[str, ModuleProfile]
    dense: Mapping[str, DenseProfile]
    sketch: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the profile as what JSON can say; its layout is in the package's README."""
        modules = {
            name: {
                "rank": module.rank,
                "shape": list(module.shape),
                "norm": module.norm,
                "spectrum": list(module.spectrum),
                "digest": module.digest,
            }
            for name, module in self.modules.items()
        }
        dense = {
            name: {"shape": list(value.shape), "norm": value.norm, "digest": value.digest}
            for name, value in self.dense.items()
        }
        sketch = list(self.sketch)
        return {
            "format": FORMAT,
            "norm": self.norm,
            "modules": modules,
            "dense": dense,
            "sketch": sketch,
        }


def profile(adapter: Adapter, *, executor: Executor | None = None) -> Profile:
    """Describe an adapter in plain numbers: the registry stores these and searches by them.

    Args:
        adapter: any adapter.
        executor: a thread pool that works on modules side by side, as in `next_state`.

    Raises:
        NotFiniteError, NumericalError: as `spectral`.

    Example:
        >>> x = Adapter({"q": Factors(torch.ones(4, 1), torch.ones(1, 4))})
        >>> described = profile(x)
        >>> described.norm, described.modules["q"].spectrum, len(described.sketch)
        (4.0, (4.0,), 64)
    """
    modules = by_name(
        lambda name: _profile_module(name, adapter.factors[name]), adapter.factors, executor
    )
    dense: dict[str, DenseProfile] = {}
    for name, value in adapter.dense.items():
        name_digest = digest(encode(Adapter({}, {name: value})))
        dense[name] = DenseProfile(tuple(value.shape), norm_dense(value), name_digest)
    norms = [module.norm for module in modules.values()] + [value.norm for value in dense.values()]
    return Profile(
        norm=math.hypot(*norms),
        modules=MappingProxyType(modules),
        dense=MappingProxyType(dense),
        sketch=sketch(adapter, executor=executor),
    )


def sketch(adapter: Adapter, *, executor: Executor | None = None) -> tuple[float, ...]:
    """Project an adapter's deltas to 64 numbers, fixed for ever.

    sketch_j = 1/8 * sum over modules of u_j^T (b a) v_j with fixed signs u_j, v_j derived from the
    module's name; then E[<sketch(x), sketch(y)>] = <x, y> (a bilinear form of Achlioptas' sign
    projection, JCSS 66, 2003). The delta is never formed: (u_j^T b) (a v_j). Dense tensors are
    left out, because a head would swamp the modules.
    """
    total = torch.zeros(SKETCH_SIZE, dtype=torch.float64)
    terms = by_name(
        lambda name: _sketch_module(name, adapter.factors[name]), adapter.factors, executor
    )
    for term in terms.values():
        total += term
    return tuple(numbers(total / math.sqrt(SKETCH_SIZE)))


def _sketch_module(name: str, factors: Factors) -> Tensor:
    rows, columns = factors.shape
    left = sign_matrix(SKETCH_SIZE, rows, "sketch", name, "left")
    right = sign_matrix(SKETCH_SIZE, columns, "sketch", name, "right")
    b, a = factors.b.to("cpu", torch.float64), factors.a.to("cpu", torch.float64)
    return ((left @ b) * (right @ a.T)).sum(dim=1)


def _profile_module(name: str, factors: Factors) -> ModuleProfile:
    spectrum = tuple(numbers(values_of(factors)))
    return ModuleProfile(
        rank=factors.rank,
        shape=factors.shape,
        norm=math.hypot(*spectrum),
        spectrum=spectrum,
        digest=digest(encode(Adapter({name: factors}))),
    )
