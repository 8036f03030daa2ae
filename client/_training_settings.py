"""The federation's training settings, read from a task's free mapping into a checked record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, cast

from ._errors import TaskRefused

Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings that PeftTrainer understands, with their defaults.

    ``steps`` (optimiser steps) or ``epochs`` (passes over the rows), not both; neither: one epoch.
    ``warmup_steps`` raise the learning rate linearly. ``head_learning_rate`` of 0 means the same
    rate as the factors. ``class_balance`` weights each class by the inverse of its frequency here.
    ``dropout`` is LoRA's, on the input of the factors; the model's own dropouts stay off.
    ``train_head = false`` leaves the heads at the start's values.
    """

    steps: int = 0
    epochs: float = 0.0
    batch_size: int = 8
    learning_rate: float = 1e-3
    head_learning_rate: float = 0.0
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    schedule: Schedule = "constant"
    dropout: float = 0.0
    class_balance: bool = False
    train_head: bool = True

    def total_steps(self, rows: int) -> int:
        """How many optimiser steps to take over ``rows`` rows; at least one."""
        if self.steps:
            return self.steps
        return max(1, math.ceil((self.epochs or 1.0) * rows / self.batch_size))

    def rate_at(self, step: int, total: int) -> float:
        """The learning rate's factor in [0, 1] at 0-based ``step`` of ``total``."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, total - self.warmup_steps)
        if self.schedule == "linear":
            return 1.0 - done
        if self.schedule == "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * done))
        return 1.0


def read_settings(config: Mapping[str, Any]) -> TrainingSettings:
    """Check a task's settings; raises TaskRefused that names the setting."""
    known = {item.name: type(cast("object", item.default)) for item in fields(TrainingSettings)}
    if unknown := sorted(config.keys() - known.keys()):
        raise TaskRefused(
            "bad_training_config",
            f"training setting {unknown[0]!r} is unknown: use {', '.join(sorted(known))}",
        )
    values = {name: _typed(name, value, known[name]) for name, value in config.items()}
    settings = TrainingSettings(**cast("Any", values))
    if settings.steps and settings.epochs:
        raise TaskRefused("bad_training_config", "give training steps or epochs, not both")
    if settings.batch_size < 1 or settings.learning_rate <= 0 or not settings.dropout < 1:
        raise TaskRefused(
            "bad_training_config",
            "training needs batch_size of at least 1, learning_rate above 0 and dropout below 1",
        )
    return settings


def _typed(name: str, value: object, kind: type) -> object:
    if kind is float and type(value) is int:
        value = float(value)
    is_schedule = name != "schedule" or value in ("constant", "linear", "cosine")
    if type(value) is not kind or not is_schedule:
        wanted = "constant, linear or cosine" if name == "schedule" else kind.__name__
        raise TaskRefused("bad_training_config", f"training.{name} is {value!r}: expected {wanted}")
    if isinstance(value, (int, float)) and (not math.isfinite(value) or value < 0):
        raise TaskRefused("bad_training_config", f"training.{name} is {value!r}: must be 0 or more")
    return value
