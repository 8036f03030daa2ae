"""Initial values of fully trained tensors, which version 0 publishes so that all nodes agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from ._adapter import Adapter
from ._errors import ShapeError
from ._names import check_name
from ._seeds import generator_for

STANDARD_DEVIATION = 0.02


def initial_dense(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Draw initial values of heads from a seed.

    Tensors with two or more axes are normal(0, 0.02), the initialisation of BERT's and GPT-2's
    heads; vectors (biases) are zero. Each tensor has its own stream, seeded by `seed` and its name,
    so neither the order of `shapes` nor another tensor changes it.

    Args:
        shapes: shape of each dense tensor, by parameter name; 1 to 8 positive axes.
        seed: any integer.

    Returns:
        Float32 tensors, sorted by name.

    Raises:
        ShapeError, BadNameError, ArgumentError: an illegal shape, name or seed.

    Example:
        >>> values = initial_dense({"head.weight": (2, 3), "head.bias": (2,)}, seed=0)
        >>> values["head.bias"].tolist(), values["head.weight"].shape
        ([0.0, 0.0], torch.Size([2, 3]))
    """
    values: dict[str, Tensor] = {}
    for name in sorted(map(check_name, shapes)):
        shape = _checked_shape(shapes[name], name)
        generator = generator_for(seed, "dense", name)
        values[name] = (
            torch.randn(shape, generator=generator, dtype=torch.float32) * STANDARD_DEVIATION
            if len(shape) > 1
            else torch.zeros(shape, dtype=torch.float32)
        )
    return dict(Adapter({}, values).dense)


def _checked_shape(shape: object, name: str) -> tuple[int, ...]:
    axes = list(cast("list[object]", shape)) if isinstance(shape, (tuple, list)) else []
    if not axes or any(type(axis) is not int or axis < 1 for axis in axes):
        raise ShapeError("a shape is a tuple of positive integers", module=name, got=axes)
    return tuple(cast("list[int]", axes))
