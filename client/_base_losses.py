"""What the base model alone loses on a language model's window: the loss of having learned nothing.

A classifier's loss is held against the window's label frequencies. Text has none, so the base
model, without any adapter, scores the same rows: one more pass for each window, and none where the
trainer says that its rows are those of before.
"""

from __future__ import annotations

from ._trainer import Evaluation, Trainer


class BaseLosses:
    """Scores rows under the empty adapter; what was found last is kept."""

    def __init__(self) -> None:
        self._known: tuple[str, list[float]] | None = None

    def of(self, evaluation: Evaluation, rows: str, trainer: Trainer) -> list[float] | None:
        """Return each row's loss under the base model, nats per token; None without tokens.

        Args:
            evaluation: of the same rows, under an adapter.
            rows: names the rows that were scored.
            trainer: one without `rows_digest` and `data_version` is asked each time, since nobody
                can tell whether its rows have changed.
        """
        if evaluation.tokens is None:
            return None
        tells = hasattr(trainer, "rows_digest") or hasattr(trainer, "data_version")
        if self._known is None or self._known[0] != rows or not tells:
            self._known = rows, self._scored(trainer)
        return self._known[1]

    def _scored(self, trainer: Trainer) -> list[float]:
        import torch

        from ..aggregation import empty

        described = trainer.description
        heads = {name: torch.zeros(shape) for name, shape in described.dense.items()}
        return row_scores(trainer.evaluate(empty(described.modules, heads), None))


def row_scores(evaluation: Evaluation) -> list[float]:
    """Return each row's loss in nats; for language models per token."""
    if evaluation.tokens is None:
        return [float(loss) for loss in evaluation.losses]
    pairs = zip(evaluation.losses, evaluation.tokens, strict=True)
    return [float(loss) / max(tokens, 1) for loss, tokens in pairs]
