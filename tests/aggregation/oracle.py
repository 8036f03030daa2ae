"""The independent answer: dense deltas in float64, with plain loops, nothing clever."""

from collections.abc import Iterable, Mapping

import torch
from polyrank.aggregation import Adapter, Factors, Weight
from torch import Tensor


def dense_delta(factors: Factors) -> Tensor:
    return factors.b.to(torch.float64) @ factors.a.to(torch.float64)


def deltas(adapter: Adapter) -> dict[str, Tensor]:
    """Every module's delta and every dense tensor, in float64."""
    modules = {f"module {name}": dense_delta(f) for name, f in adapter.factors.items()}
    heads = {f"dense {name}": value.to(torch.float64) for name, value in adapter.dense.items()}
    return modules | heads


def weight_of(weight: Weight, key: str) -> float:
    return weight[key.split(" ", 1)[1]] if isinstance(weight, Mapping) else weight


def weighted_sum(terms: Iterable[tuple[Adapter, Weight]]) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for adapter, weight in terms:
        for key, value in deltas(adapter).items():
            total[key] = total.get(key, torch.zeros_like(value)) + weight_of(weight, key) * value
    return total


def sizes(terms: Iterable[tuple[Adapter, Weight]]) -> dict[str, float]:
    """Sum of |w| * sum over slots of |b_i| |a_i|: the scale against which rounding is judged."""
    total: dict[str, float] = {}
    for adapter, weight in terms:
        for name, factors in adapter.factors.items():
            b, a = factors.b.to(torch.float64), factors.a.to(torch.float64)
            size = float((b.norm(dim=0) * a.norm(dim=1)).sum())
            key = f"module {name}"
            total[key] = total.get(key, 0.0) + abs(weight_of(weight, key)) * size
        for name, value in adapter.dense.items():
            key = f"dense {name}"
            size = float(value.to(torch.float64).norm())
            total[key] = total.get(key, 0.0) + abs(weight_of(weight, key)) * size
    return total


def assert_same_deltas(
    actual: Adapter,
    expected: Mapping[str, Tensor],
    scale: Mapping[str, float] | None = None,
    tolerance: float = 1e-6,
) -> None:
    """Every delta equals the expected one to `tolerance` times its scale (default: its norm)."""
    found = deltas(actual)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        size = float(value.norm()) if scale is None else scale[key]
        error = float((found[key] - value).norm())
        assert error <= tolerance * size + 1e-30, f"{key}: error {error:.3e}, scale {size:.3e}"


def next_state_formula(
    state: Adapter, updates: Iterable[tuple[Adapter, Adapter, Weight]]
) -> dict[str, Tensor]:
    """S + sum_k w_k (T'_k - T_k), with what T'_k lacks contributing nothing."""
    total = deltas(state)
    for start, cumulative, weight in updates:
        begun = deltas(start)
        for key, value in deltas(cumulative).items():
            change = value - begun[key] if key in begun else value
            total[key] = total[key] + weight_of(weight, key) * change
    return total
