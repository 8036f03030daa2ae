"""A toy node whose data moves on: each training uses its window up, and the next one is fresh."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence

import torch
from polyrank.aggregation import Adapter
from polyrank.client import Evaluation, TrainResult, TrainTask

from .toy_node import ToyTrainer

WINDOW_ROWS = 80


class ToyStream(ToyTrainer):
    """Draws windows of labelled rows; set `is_flipped` or `shift` to let the data drift.

    A flip contradicts the labels of all others. A shift moves the features along axes that the
    labels do not depend on. What was drawn depends on the name and the number of the window alone.
    `flipped` names windows that are flipped whatever `is_flipped` says: a timetable.
    """

    def __init__(self, name: str, *, dim: int = 8, flipped: Container[int] = ()) -> None:
        super().__init__(name, dim=dim, rows=WINDOW_ROWS)
        self.name = name
        self.dim = dim
        self.flipped = flipped
        self.is_flipped = False
        self.shift = 0.0
        self.window = 0
        self.data_version = 0
        self._draw()

    def _draw(self) -> None:
        seed = hashlib.sha256(f"{self.name} {self.window}".encode()).digest()[:4]
        generator = torch.Generator().manual_seed(int.from_bytes(seed, "big"))
        self._x = torch.randn(WINDOW_ROWS, self.dim, generator=generator)
        self._x[:, -2:] += self.shift
        label = self._x[:, 0] + 0.5 * self._x[:, 1] > 0
        self._y = (label != (self.is_flipped or self.window in self.flipped)).long()

    def drift(self, *, is_flipped: bool | None = None, shift: float | None = None) -> None:
        """Let the data change from the present window on."""
        self.is_flipped = self.is_flipped if is_flipped is None else is_flipped
        self.shift = self.shift if shift is None else shift
        self._draw()

    def train(self, task: TrainTask) -> TrainResult:
        """Train on the window, and move on to the next one."""
        result = super().train(task)
        self.go_to(self.window + 1)
        return result

    def go_to(self, window: int) -> None:
        """Take the rows of another window."""
        self.window = self.data_version = window
        self._draw()

    def features(self, rows: Sequence[int] | None = None) -> torch.Tensor:
        """Return the rows themselves: the frozen base is the identity."""
        return self._x if rows is None else self._x[list(rows)]

    def accuracy(self, adapter: Adapter) -> float:
        """Return the share of the present window that an adapter gets right."""
        found: Evaluation = self.evaluate(adapter)
        assert found.correct is not None
        return sum(found.correct) / len(found.correct)
