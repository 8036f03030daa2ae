"""The frozen trunk beneath the lowest adapted layer, computed once per row and kept.

Nothing below the lowest adapted layer changes while a node lives, and its rows are fixed, so the
hidden states that enter that layer are constants. While they are injected the layers beneath pass
their input through; masks and positions are still made by the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ._targets import layer_stack, modules_of
from ._text_rows import Batch

Forward = Callable[[Batch], Tensor]


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
    """Keeps, per row, the hidden states (tokens, width) that enter the lowest adapted layer."""

    def __init__(self, model: nn.Module, stack: str, index: int) -> None:
        layers = list(model.get_submodule(stack).children())
        self._kept: dict[int, Tensor] = {}
        self._injected: Tensor | None = None
        self._captured: Tensor | None = None
        self._is_capturing = False
        self._gives_tuple = False
        self._hooks = [
            layers[index].register_forward_pre_hook(self._enter, with_kwargs=True),
            layers[index - 1].register_forward_hook(self._observe),
        ]
        for layer in layers[:index]:
            layer.forward = self._passing(layer.forward)

    @property
    def kept_rows(self) -> int:
        """How many rows' hidden states are kept."""
        return len(self._kept)

    def run(self, forward: Forward, batch: Batch) -> Tensor:
        """Run ``forward`` over a batch, with the trunk's part taken from what is kept."""
        if any(row not in self._kept for row in batch.rows):
            self._fill(forward, batch)
        states = [self._kept[row] for row in batch.rows]
        width = batch.input_ids.shape[1]
        padded = states[0].new_zeros((len(states), width, states[0].shape[1]))
        for place, state in enumerate(states):
            padded[place, : state.shape[0]] = state
        with self._injecting(padded):
            return forward(batch)

    def _fill(self, forward: Forward, batch: Batch) -> None:
        self._is_capturing = True
        try:
            with torch.no_grad():
                forward(batch)
        except _Reached:
            pass  # this is how capturing ends
        finally:
            self._is_capturing = False
        captured = self._captured
        assert captured is not None, "the forward pass never entered the adapted layer"
        self._captured = None
        for place, row in enumerate(batch.rows):
            length = int(batch.attention_mask[place].sum())
            self._kept[row] = captured[place, :length].clone()

    def _injecting(self, states: Tensor) -> AbstractContextManager[None]:
        @contextmanager
        def injecting() -> Any:
            self._injected = states
            try:
                yield
            finally:
                self._injected = None

        return injecting()

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
