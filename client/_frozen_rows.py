"""What the frozen model computes for the rows of one trainer: once for each row, then kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ._base_model import SharedBase
from ._text_rows import Batch, EncodedRows


class FrozenRows:
    """Per row, its feature vector and, where the trunk is kept, the hidden states leaving it.

    Rows are computed in batches that depend on the rows alone, not on the order in which they are
    asked for, so the values of a row do not depend on what was done before.

    Args:
        base: the model; shared with other trainers, whose rows have caches of their own.
        rows: the encoded rows.
        groups: rows that are needed together (held out, trained on); batches do not mix them.
        batch_size: rows at once.
        max_bytes: keep the trunk's hidden states if those of all rows fit; 0: never.
    """

    def __init__(
        self,
        base: SharedBase,
        rows: EncodedRows,
        groups: Sequence[Sequence[int]],
        *,
        batch_size: int,
        max_bytes: int,
    ) -> None:
        tokens = sum(len(row) for row in rows.tokens)
        self._base = base
        self._rows = rows
        self.keeps_states = base.trunk is not None and tokens * base.state_bytes <= max_bytes
        self._states: dict[int, Tensor] = {}
        self._features: dict[int, Tensor] = {}
        self._groups = groups
        self._batch_size = batch_size
        self._batch_of: dict[int, Sequence[int]] | None = None

    @property
    def kept_states(self) -> int:
        """How many rows' hidden states are kept."""
        return len(self._states)

    def states(self, batch: Batch) -> Tensor:
        """Return what enters the lowest adapted layer, padded: (rows, tokens, width)."""
        self._need(batch.rows)
        states = [self._states[row] for row in batch.rows]
        width = batch.input_ids.shape[1]
        padded = states[0].new_zeros((len(states), width, states[0].shape[1]))
        for place, state in enumerate(states):
            padded[place, : state.shape[0]] = state
        return padded

    def features(self, rows: Sequence[int]) -> Tensor:
        """Return the mean of each row's hidden states, float32 on the CPU: (rows, width)."""
        self._need(rows)
        return torch.stack([self._features[row] for row in rows])

    def take_over(self, other: FrozenRows) -> None:
        """Take what ``other`` keeps for rows of the same tokens; call it before anything else."""
        theirs = {tuple(tokens): row for row, tokens in enumerate(other._rows.tokens)}
        for row, tokens in enumerate(self._rows.tokens):
            found = theirs.get(tuple(tokens))
            if found not in other._features or (self.keeps_states and not other.keeps_states):
                continue
            self._features[row] = other._features[found]
            if self.keeps_states:
                self._states[row] = other._states[found]

    def _need(self, rows: Sequence[int]) -> None:
        if self._batch_of is None:
            self._batch_of = self._batches()
        for row in rows:
            if row not in self._features:
                self._compute(self._batch_of[row])

    def _batches(self) -> dict[int, Sequence[int]]:
        """Cut the rows that are missing into batches of like length."""
        found: dict[int, Sequence[int]] = {}
        for group in self._groups:
            missing = [row for row in group if row not in self._features]
            for part in self._rows.by_length(missing, self._batch_size):
                found.update(dict.fromkeys(part, part))
        return found

    def _compute(self, part: Sequence[int]) -> None:
        batch = self._rows.batch(part, self._base.overlay.device)
        states = self._base.frozen_states(batch)
        for place, row in enumerate(part):
            own = states[place, : len(self._rows.tokens[row])]
            self._features[row] = own.float().mean(0).cpu()
            if self.keeps_states:
                self._states[row] = own.clone()
