"""The value of this package: factors by target module, plus dense tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor

from ._errors import ArgumentError, DeviceError, DtypeError, ShapeError
from ._names import MAX_DENSE_AXES, check_name

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Factors:
    """The two factors of one target module; its delta is `b @ a`.

    The LoRA scaling (alpha / r, or alpha / sqrt(r)) is already folded into `b`, so the pair is
    scale-free. Rank 0 is legal: its delta is zero. Tensors are kept as they are (detached from
    autograd, not copied, not made contiguous); nobody may write to them afterwards.

    Attributes:
        b: (d_out, r), float32, float64, bfloat16 or float16.
        a: (r, d_in), same dtype and device as `b`.

    Raises:
        ShapeError: not two matrices, an empty side, or inner sizes that differ.
        DtypeError: not a floating dtype of the list above, or two different ones.
        DeviceError: two devices.

    Example:
        >>> factors = Factors(torch.ones(3, 2), torch.ones(2, 5))
        >>> factors.shape, factors.rank
        ((3, 5), 2)
    """

    b: Tensor
    a: Tensor

    def __post_init__(self) -> None:
        for name, value in (("b", self.b), ("a", self.a)):
            object.__setattr__(self, name, _check_tensor(value, name))
        if self.b.ndim != 2 or self.a.ndim != 2 or self.b.shape[1] != self.a.shape[0]:
            raise ShapeError(
                "factors are b (d_out, r) and a (r, d_in)",
                got=f"b {tuple(self.b.shape)}, a {tuple(self.a.shape)}",
            )
        if 0 in self.shape:
            raise ShapeError("d_out and d_in are at least 1", got=self.shape)
        if self.b.dtype != self.a.dtype:
            raise DtypeError("b and a have one dtype", expected=self.b.dtype, got=self.a.dtype)
        if self.b.device != self.a.device:
            raise DeviceError("b and a share a device", expected=self.b.device, got=self.a.device)

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"Factors(d_out={rows}, rank={self.rank}, d_in={columns}, {self.b.dtype})"

    @property
    def rank(self) -> int:
        """Number of columns of `b`, which bounds the rank of the delta."""
        return self.b.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in) of the delta."""
        return (self.b.shape[0], self.a.shape[1])

    def delta(self) -> Tensor:
        """Return the dense delta `b @ a`, (d_out, d_in), in the factors' dtype."""
        return self.b @ self.a


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Adapter:
    """An adapter as a value: factors of target modules, and dense tensors trained in full.

    Both mappings are copied, sorted by name and made read-only, so that the order in which a
    caller happened to build them never changes a result. Tensors are shared, not copied.

    Attributes:
        factors: by dotted name of the target module.
        dense: cumulative values of fully trained tensors (a head), by parameter name; base value 0.

    Raises:
        BadNameError: an illegal name.
        ArgumentError: a value of another type.
        ShapeError, DtypeError: a dense tensor without axes or with an empty one, or not floating.

    Example:
        >>> adapter = Adapter({"v": Factors(torch.ones(3, 1), torch.ones(1, 2))})
        >>> adapter.shapes, adapter.ranks
        ({'v': (3, 2)}, {'v': 1})
    """

    factors: Mapping[str, Factors]
    dense: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    def __post_init__(self) -> None:
        factors = {name: _factors(value, name) for name, value in _pairs(self.factors)}
        dense = {name: _dense(value, name) for name, value in _pairs(self.dense)}
        object.__setattr__(self, "factors", MappingProxyType(factors))
        object.__setattr__(self, "dense", MappingProxyType(dense))

    def __repr__(self) -> str:
        return f"Adapter(ranks={self.ranks}, dense={self.dense_shapes})"

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Shape (d_out, d_in) of each target module."""
        return {name: factors.shape for name, factors in self.factors.items()}

    @property
    def ranks(self) -> dict[str, int]:
        """Rank of each target module."""
        return {name: factors.rank for name, factors in self.factors.items()}

    @property
    def dense_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each dense tensor."""
        return {name: tuple(value.shape) for name, value in self.dense.items()}


def empty(
    shapes: Mapping[str, tuple[int, int]], dense: Mapping[str, Tensor] | None = None
) -> Adapter:
    """Return the adapter of rank 0 on the given modules: its delta is zero.

    Version 0 of every adapter is one of these, with the initial values of its heads.

    Args:
        shapes: (d_out, d_in) of each target module.
        dense: values of dense tensors, kept as they are.

    Returns:
        Float32 factors (d_out, 0) and (0, d_in) for each module, and `dense`.

    Raises:
        ShapeError: a shape that is not two positive integers.
        BadNameError: an illegal name.

    Example:
        >>> empty({"q": (4, 3)}).factors["q"].delta().abs().sum().item()
        0.0
    """
    factors: dict[str, Factors] = {}
    for name, shape in _pairs(shapes):
        rows, columns = _matrix_shape(shape, name)
        factors[name] = Factors(torch.zeros(rows, 0), torch.zeros(0, columns))
    return Adapter(factors, {} if dense is None else dense)


def check_alike(module: str, one: Factors, other: Factors) -> None:
    """Check that two deltas of one module can be added or compared.

    Raises:
        ShapeError: two shapes; broadcasting never happens silently.
        DeviceError: two devices.
    """
    if one.shape != other.shape:
        raise ShapeError(
            "deltas of one module have one shape",
            module=module,
            expected=one.shape,
            got=other.shape,
        )
    if one.b.device != other.b.device:
        raise DeviceError(
            "deltas of one module share a device",
            module=module,
            expected=one.b.device,
            got=other.b.device,
        )


def working_dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    """Return the dtype that results have: float32, or float64 if any input is float64."""
    is_double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if is_double else torch.float32


def _check_tensor(value: object, name: str, module: str | None = None) -> Tensor:
    if not isinstance(value, Tensor):
        raise ArgumentError(f"{name} is a tensor", module=module, got=type(value).__name__)
    if value.dtype not in DTYPES or value.layout != torch.strided:
        raise DtypeError(
            f"{name} is a dense floating tensor",
            module=module,
            expected=", ".join(str(dtype) for dtype in DTYPES),
            got=f"{value.dtype}, {value.layout}",
        )
    return value.detach()


def _dense(value: object, name: str) -> Tensor:
    tensor = _check_tensor(value, "a dense value", name)
    if not 1 <= tensor.ndim <= MAX_DENSE_AXES or tensor.numel() == 0:
        raise ShapeError(
            f"a dense tensor has 1 to {MAX_DENSE_AXES} axes, none empty",
            module=name,
            got=tuple(tensor.shape),
        )
    return tensor


def _matrix_shape(shape: object, name: str) -> tuple[int, int]:
    match shape:
        case (int(rows), int(columns)) if rows > 0 and columns > 0:
            return rows, columns
        case _:
            raise ShapeError("a shape is (d_out, d_in), both positive", module=name, got=shape)


def _factors(value: object, name: str) -> Factors:
    if not isinstance(value, Factors):
        raise ArgumentError("expected Factors", module=name, got=type(value).__name__)
    return value


def _pairs(mapping: object) -> list[tuple[str, object]]:
    if not isinstance(mapping, Mapping):
        raise ArgumentError("expected a mapping by name", got=type(mapping).__name__)
    pairs = cast("Mapping[object, object]", mapping).items()
    return sorted(((check_name(name), value) for name, value in pairs), key=lambda pair: pair[0])
