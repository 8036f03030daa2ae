"""The global random generators of a process, one set for each simulated node.

Nodes are processes, each with generators of its own. In one process they would share them, and
what one node draws would depend on who worked before it, and on what the caller drew.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


class OwnRandomness:
    """The state of Python's, numpy's and torch's generators in one simulated process."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._state: tuple[Any, Any, torch.Tensor] | None = None

    @contextmanager
    def installed(self) -> Generator[None]:
        """Let these be the global generators for a while; what was there comes back."""
        before = _state()
        if self._state is None:
            _seed(self._seed)
        else:
            _restore(self._state)
        try:
            yield
        finally:
            self._state = _state()
            _restore(before)


def _state() -> tuple[Any, Any, torch.Tensor]:
    return random.getstate(), np.random.get_state(), torch.default_generator.get_state()


def _restore(state: tuple[Any, Any, torch.Tensor]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.default_generator.set_state(state[2])


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
