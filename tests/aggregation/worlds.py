"""Adapters for tests: hypothesis chooses ranks, shapes, modules, scales; a seed fills them."""

from collections.abc import Mapping

import torch
from hypothesis import settings
from hypothesis import strategies as st
from polyrank.aggregation import Adapter, Factors
from torch import Tensor

QUICK = settings(max_examples=50, deadline=None)

SHAPES = ((1, 1), (1, 6), (6, 1), (5, 5), (12, 3), (3, 12), (9, 14), (16, 16))
NAMES = ("model.layers.0.q", "model.layers.0.v", "é.k", "z")
HEADS = {"head.weight": (3, 4), "head.bias": (3,)}

seeds = st.integers(0, 2**20)
weights = st.floats(-2.0, 2.0, allow_nan=False).map(lambda w: round(w, 4))


@st.composite
def module_shapes(draw: st.DrawFn) -> dict[str, tuple[int, int]]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    return {name: draw(st.sampled_from(SHAPES)) for name in names}


@st.composite
def adapters(
    draw: st.DrawFn,
    shapes: Mapping[str, tuple[int, int]],
    max_rank: int = 7,
    is_complete: bool = False,
) -> Adapter:
    """Random ranks (0 and above min(m, n) included), missing modules, scales from 1e-3 to 1e3."""
    factors: dict[str, Factors] = {}
    for name, shape in shapes.items():
        if is_complete or draw(st.integers(0, 3)):
            rank = draw(st.integers(0, max_rank))
            scale = 10.0 ** draw(st.integers(-3, 3))
            factors[name] = random_factors(shape, rank, draw(seeds), scale)
    heads = HEADS if is_complete or draw(st.booleans()) else {}
    return Adapter(factors, random_heads(heads, draw(seeds)))


def random_factors(shape: tuple[int, int], rank: int, seed: int = 0, scale: float = 1.0) -> Factors:
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(shape[0], rank, generator=generator) * scale
    return Factors(b, torch.randn(rank, shape[1], generator=generator))


def random_heads(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def adapter_of(ranks: Mapping[str, int], shape: tuple[int, int], seed: int = 0) -> Adapter:
    factors = {n: random_factors(shape, r, seed + i) for i, (n, r) in enumerate(ranks.items())}
    return Adapter(factors)


def with_spectrum(values: Tensor, shape: tuple[int, int], seed: int = 0) -> Factors:
    """Factors whose delta has exactly these singular values (float64), in spectral form."""
    generator = torch.Generator().manual_seed(seed)
    rank = values.numel()
    left = torch.randn(shape[0], rank, generator=generator, dtype=torch.float64)
    right = torch.randn(shape[1], rank, generator=generator, dtype=torch.float64)
    root = values.to(torch.float64).sqrt()
    b, a = torch.linalg.qr(left)[0] * root, (torch.linalg.qr(right)[0] * root).T
    return Factors(b, a.contiguous())


def trained(start: Adapter, seed: int, step: float = 0.3) -> Adapter:
    """What training might return: the start, moved."""
    generator = torch.Generator().manual_seed(seed)

    def moved(value: Tensor) -> Tensor:
        return value + step * torch.randn(value.shape, generator=generator, dtype=value.dtype)

    factors = {n: Factors(moved(f.b), moved(f.a)) for n, f in start.factors.items()}
    return Adapter(factors, {name: moved(value) for name, value in start.dense.items()})
