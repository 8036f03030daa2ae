"""The training loop: AdamW over the factors and heads, a schedule, clipping, progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ._errors import TaskRefused
from ._trainer import Progress
from ._training_settings import TrainingSettings


def optimise(
    factors: Sequence[nn.Parameter],
    heads: Sequence[nn.Parameter],
    losses: Iterator[Callable[[], Tensor]],
    *,
    settings: TrainingSettings,
    total: int,
    progress: Progress,
) -> list[float]:
    """Take ``total`` steps, each on the loss that the next callable computes.

    Returns:
        The loss of every step.

    Raises:
        TaskRefused: a loss that is not finite (``diverged``).
    """
    pairs = [
        (list(factors), settings.learning_rate),
        (list(heads), settings.head_learning_rate or settings.learning_rate),
    ]
    rates = [rate for parameters, rate in pairs if parameters]
    optimiser: Any = torch.optim.AdamW(
        [{"params": parameters, "lr": rate} for parameters, rate in pairs if parameters],
        weight_decay=settings.weight_decay,
    )
    trained = [*factors, *heads]
    history: list[float] = []
    for step in range(total):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * settings.rate_at(step, total)
        loss: Any = next(losses)()
        history.append(loss.item())
        if not math.isfinite(history[-1]):
            raise TaskRefused(
                "diverged",
                f"training diverged at step {step + 1} of {total} (loss {history[-1]}): "
                "lower training.learning_rate",
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if settings.max_grad_norm:
            nn.utils.clip_grad_norm_(trained, settings.max_grad_norm)
        optimiser.step()
        progress(step + 1, total, history[-1])
    return history
