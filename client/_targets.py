"""Which modules are adapted: by name or pattern, and by how far up the stack of layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import cast

from torch import nn

from ._errors import ConfigError

ATTENTION = r"(query|value|q_proj|v_proj|q_lin|v_lin|query_key_value|c_attn|Wqkv)"
_INDEXED = re.compile(r"^(?P<stack>.+?)\.(?P<index>\d+)(\.|$)")


def select_targets(
    model: nn.Module, targets: str | Sequence[str] = ATTENTION, *, layers: str = "all"
) -> dict[str, tuple[int, int]]:
    """Choose the linear modules to adapt.

    Args:
        model: the frozen model.
        targets: a regular expression for the whole dotted name or its last part, or a list of last
            parts (``["query", "value"]``).
        layers: ``all``, ``top-third``, ``top-half``, or ``top-N`` for the N uppermost layers.

    Returns:
        Dotted name -> (d_out, d_in), sorted.

    Raises:
        ConfigError: nothing matches, or a setting cannot be read; says what there is.
    """
    linear = {
        name: shape
        for name, module in modules_of(model)
        if (shape := linear_shape(module)) is not None
    }
    matches = {name for name in linear if _matches(name, targets)}
    lowest = _lowest_layer(model, layers)
    chosen = {name: linear[name] for name in sorted(matches) if _layer_index(name) >= lowest}
    if not chosen:
        ends = sorted({name.rsplit(".", 1)[-1] for name in linear})
        raise ConfigError(
            f"no linear module matches targets {targets!r} in layers {layers!r}: the model has "
            + ", ".join(ends[:12]),
            key="targets",
        )
    return chosen


def modules_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """List a model's modules with their dotted names, in the order of registration."""
    return list(cast("Iterable[tuple[str, nn.Module]]", model.named_modules()))


def linear_shape(module: nn.Module) -> tuple[int, int] | None:
    """Return (d_out, d_in) of a linear module, GPT-2's transposed kind included, else None."""
    if isinstance(module, nn.Linear):
        return (module.out_features, module.in_features)
    weight = getattr(module, "weight", None)
    if type(module).__name__ == "Conv1D" and isinstance(weight, nn.Parameter) and weight.ndim == 2:
        return (weight.shape[1], weight.shape[0])
    return None


def layer_stack(model: nn.Module) -> str | None:
    """Return the name of the longest list of layers, or None when there is none.

    Lists within a layer (the experts of a mixture) are not stacks, however long they are.
    """
    stacks: dict[str, int] = {}
    for name, module in modules_of(model):  # an outer module comes before those in it
        is_inner = any(name.startswith(f"{outer}.") for outer in stacks)
        if isinstance(module, nn.ModuleList) and not is_inner:
            stacks[name] = len(module)
    return max(stacks, key=lambda name: stacks[name]) if stacks else None


def _matches(name: str, targets: str | Sequence[str]) -> bool:
    last = name.rsplit(".", 1)[-1]
    if not isinstance(targets, str):
        return any(name == target or name.endswith(f".{target}") for target in targets)
    try:
        return bool(re.fullmatch(targets, name) or re.fullmatch(targets, last))
    except re.error as error:
        raise ConfigError(
            f"targets {targets!r} is not a regular expression: {error}", key="targets"
        ) from error


def _layer_index(name: str) -> int:
    found = _INDEXED.match(name)
    return int(found["index"]) if found else 1_000_000  # above the stack: a pooler, a projection


def _lowest_layer(model: nn.Module, layers: str) -> int:
    if layers == "all":
        return 0
    stack = layer_stack(model)
    count = len(list(model.get_submodule(stack).children())) if stack else 0
    tops = {"top-third": -(-count // 3), "top-half": -(-count // 2)}
    found = re.fullmatch(r"top-(\d+)", layers)
    top = int(found[1]) if found else tops.get(layers)
    if not top or not count or top > count:
        raise ConfigError(
            f"layers is {layers!r}: use all, top-third, top-half or top-N with N up to {count}",
            key="layers",
        )
    return count - top
