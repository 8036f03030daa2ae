"""The frozen trunk beneath the lowest adapted layer: what leaves it can be taken out and put in.

Nothing below the lowest adapted layer changes while a node lives, so the hidden states that enter
that layer are constants of a row. While they are injected the layers beneath pass their input
through; masks and positions are still made by the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from ._targets import layer_stack, modules_of

Forward = Callable[[], Tensor]
"""Runs the model that the trunk is part of, on some batch."""


class _Reached(Exception):
    """The forward pass has come to the first adapted layer: the rest is not needed."""


def lowest_layer(model: nn.Module, trained: Iterable[str]) -> tuple[str, int] | None:
    """Find the stack of layers and the index of its lowest one with a trained module.

    Returns:
        The stack's name and the index, or None when there is nothing frozen beneath: no stack, an
        index of 0, or a trained module that comes before the stack.
    """
    stack = layer_stack(model)
    if stack is None:
        return None
    place = {name: index for index, (name, _) in enumerate(modules_of(model))}
    indices: list[int] = []
    for name in trained:
        inside = name.startswith(f"{stack}.")
        if inside:
            indices.append(int(name[len(stack) + 1 :].split(".")[0]))
        elif place[name] < place[stack]:
            return None
    lowest = min(indices, default=len(list(model.get_submodule(stack).children())) - 1)
    return (stack, lowest) if lowest > 0 else None


class Trunk:
    """Hooks on one model, at the layer ``index`` of its ``stack``; keeps nothing itself."""

    def __init__(self, model: nn.Module, stack: str, index: int) -> None:
        layers = list(model.get_submodule(stack).children())
        self._injected: Tensor | None = None
        self._captured: Tensor | None = None
        self._is_capturing = False
        self._gives_tuple = False
        layers[index].register_forward_pre_hook(self._enter, with_kwargs=True)
        layers[index - 1].register_forward_hook(self._observe)
        for layer in layers[:index]:
            layer.forward = self._passing(layer.forward)

    def entering(self, forward: Forward) -> Tensor:
        """Return the hidden states (rows, tokens, width) that enter the layer; the rest is not run.

        The model's low-rank terms beneath the layer must be inactive.
        """
        self._is_capturing = True
        try:
            forward()
        except _Reached:
            pass  # this is how capturing ends
        finally:
            self._is_capturing = False
        captured, self._captured = self._captured, None
        assert captured is not None, "the forward pass never entered the adapted layer"
        return captured

    def run(self, forward: Forward, states: Tensor) -> Tensor:
        """Run ``forward`` with ``states`` entering the layer, whatever the layers beneath say."""
        self._injected = states
        try:
            return forward()
        finally:
            self._injected = None

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = "hidden_states"
        if self._is_capturing:
            found: Tensor = args[0] if args else kwargs[name]
            self._captured = found.detach()
            raise _Reached
        if self._injected is None:
            return None
        if args:
            return (self._injected, *args[1:]), kwargs
        return args, {**kwargs, name: self._injected}

    def _observe(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._injected is None:
            self._gives_tuple = isinstance(output, tuple)

    def _passing(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def passing(*args: Any, **kwargs: Any) -> Any:
            if self._injected is None:
                return forward(*args, **kwargs)
            state = args[0] if args else kwargs["hidden_states"]
            return (state,) if self._gives_tuple else state

        return passing
