"""Metrics of an evaluation, computed by the SDK so that every trainer's mean the same."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from ._errors import TaskRefused
from ._trainer import Evaluation

MAX_PERPLEXITY = 1e12  # metrics must be finite; beyond this a model predicts nothing anyway


def metrics_of(evaluation: Evaluation) -> dict[str, float]:
    """Summarise an evaluation: ``loss``, ``accuracy``, ``balanced_accuracy``, ``perplexity``.

    ``loss`` is the mean per row (per token where ``tokens`` is given), in nats. Balanced accuracy
    is the mean over the classes present of the share of their rows that were right. Perplexity is
    exp(summed loss / tokens).

    Raises:
        TaskRefused: no rows, lists of unequal length, or a loss that is not finite.
    """
    rows = len(evaluation.losses)
    for name in ("correct", "labels", "tokens"):
        values: Sequence[object] | None = getattr(evaluation, name)
        if values is not None and len(values) != rows:
            raise TaskRefused("bad_evaluation", f"{len(values)} {name} for {rows} losses")
    total = math.fsum(evaluation.losses)
    if not rows or not math.isfinite(total):
        raise TaskRefused("bad_evaluation", f"the losses of {rows} rows sum to {total}")
    units = rows if evaluation.tokens is None else sum(evaluation.tokens)
    metrics = {"loss": total / max(units, 1)}
    if evaluation.tokens is not None:
        metrics["perplexity"] = min(math.exp(min(metrics["loss"], 700.0)), MAX_PERPLEXITY)
    if evaluation.correct is not None:
        metrics["accuracy"] = sum(evaluation.correct) / rows
        if evaluation.labels is not None:
            metrics["balanced_accuracy"] = _balanced(evaluation.correct, evaluation.labels)
    return metrics


def _balanced(correct: Sequence[bool], labels: Sequence[int]) -> float:
    outcomes: dict[int, list[bool]] = defaultdict(list)
    for label, right in zip(labels, correct, strict=True):
        outcomes[label].append(bool(right))
    return math.fsum(sum(right) / len(right) for right in outcomes.values()) / len(outcomes)
