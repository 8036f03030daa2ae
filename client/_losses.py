"""Losses per row, of classifiers and of language models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ._text_rows import Batch


def class_losses(logits: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of each row, nats: logits (rows, classes) -> (rows,)."""
    assert batch.labels is not None
    return functional.cross_entropy(logits.float(), batch.labels, reduction="none")


def token_losses(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the next tokens, summed over each row, and how many there were.

    Args:
        logits: (rows, tokens, vocabulary).
        batch: ids and mask; padding is not predicted.

    Returns:
        Summed nats (rows,) and predicted tokens (rows,).
    """
    targets = batch.input_ids[:, 1:]
    mask = batch.attention_mask[:, 1:]
    flat = functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), targets.flatten(), reduction="none"
    )
    return (flat.view_as(targets) * mask).sum(1), mask.sum(1)


def class_weights(labels: Sequence[int], num_labels: int) -> Tensor:
    """Weight each class by rows / (classes present * its rows); absent classes get 0."""
    counts = torch.bincount(torch.tensor(labels), minlength=num_labels).float()
    present = int((counts > 0).sum())
    return torch.where(counts > 0, counts.sum() / (present * counts.clamp(min=1)), 0.0)
