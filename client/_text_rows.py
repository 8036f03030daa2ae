"""Rows of text: which are held out, how they become padded batches, and in what order."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ._errors import DataError

_BUCKET_BATCHES = 8  # rows are sorted by length within this many batches, to save padding


@dataclass(frozen=True)
class TextRows:
    """This node's rows.

    Attributes:
        texts: one text a row.
        labels: class index of each row, from 0; None for language models.
        held_out: rows that are never trained on, and that ``evaluate(adapter, None)`` scores.
    """

    texts: Sequence[str]
    labels: Sequence[int] | None = None
    held_out: Sequence[int] = field(default_factory=tuple[int, ...])

    def __post_init__(self) -> None:
        rows = len(self.texts)
        if not rows or len(set(self.held_out)) >= rows:
            raise DataError(f"{rows} rows, {len(self.held_out)} held out: none left to train on")
        if self.labels is not None and len(self.labels) != rows:
            raise DataError(f"{len(self.labels)} labels for {rows} texts: give one label a row")
        if any(not 0 <= row < rows for row in self.held_out):
            raise DataError(f"held-out rows must lie in 0..{rows - 1}")

    @property
    def training(self) -> list[int]:
        """The rows that are trained on, ascending."""
        held_out = set(self.held_out)
        return [row for row in range(len(self.texts)) if row not in held_out]


def hold_out(
    rows: int, share: float, *, labels: Sequence[int] | None = None, seed: int = 0
) -> list[int]:
    """Choose the rows to hold out: ``share`` of each class, the same at every start.

    At least one row is held out if ``share`` is above 0 and there are two rows or more. A class
    with a single row keeps it for training.
    """
    classes: dict[int, list[int]] = defaultdict(list)
    for row in range(rows):
        classes[labels[row] if labels is not None else 0].append(row)
    chosen: list[int] = []
    for label in sorted(classes):
        members = classes[label]
        random.Random(f"{seed}/{label}").shuffle(members)
        count = min(len(members) - 1, max(1, round(share * len(members)))) if share > 0 else 0
        chosen.extend(members[:count])
    return sorted(chosen)


@dataclass(frozen=True)
class Batch:
    """Rows as tensors on one device: ids and mask (rows, tokens), padded on the right."""

    rows: Sequence[int]
    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor | None


@dataclass(frozen=True)
class EncodedRows:
    """Token ids of every row, encoded once."""

    tokens: Sequence[Sequence[int]]
    labels: Sequence[int] | None
    pad_id: int

    def batch(self, rows: Sequence[int], device: torch.device) -> Batch:
        """Pad the given rows to the longest of them."""
        width = max(len(self.tokens[row]) for row in rows)
        ids = torch.full((len(rows), width), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for place, row in enumerate(rows):
            length = len(self.tokens[row])
            ids[place, :length] = torch.tensor(self.tokens[row], dtype=torch.long)
            mask[place, :length] = 1
        labels = self.labels
        chosen = None if labels is None else torch.tensor([labels[row] for row in rows])
        return Batch(
            rows, ids.to(device), mask.to(device), None if chosen is None else chosen.to(device)
        )

    def shuffled(self, rows: Sequence[int], size: int, seed: int) -> Iterator[list[int]]:
        """Yield batches of row numbers for ever: each pass has every row once, in a new order."""
        order = random.Random(seed)
        while True:
            shuffled = list(rows)
            order.shuffle(shuffled)
            batches = list(self.by_length(shuffled, size, window=size * _BUCKET_BATCHES))
            order.shuffle(batches)
            yield from batches

    def by_length(
        self, rows: Sequence[int], size: int, *, window: int | None = None
    ) -> Iterator[list[int]]:
        """Yield batches of rows of like length; each ``window`` of rows is sorted by itself."""
        step = window or max(1, len(rows))
        for begin in range(0, len(rows), step):
            part = sorted(rows[begin : begin + step], key=lambda row: len(self.tokens[row]))
            for start in range(0, len(part), size):
                yield part[start : start + size]
