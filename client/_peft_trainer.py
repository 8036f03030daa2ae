"""PeftTrainer: the Trainer for transformers' sequence classifiers and causal language models."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..aggregation import Adapter
from ._errors import ConfigError, DataError
from ._fingerprint import fingerprint
from ._losses import class_losses, class_weights, token_losses
from ._low_rank import Overlay
from ._optimiser import optimise
from ._targets import ATTENTION, select_targets
from ._text_rows import Batch, EncodedRows, TextRows
from ._trainer import Evaluation, ModelDescription, TrainResult, TrainTask
from ._training_settings import TrainingSettings, read_settings
from ._transformers_model import TASKS, Task, encode_texts, load_base, logits_of
from ._trunk import Trunk, lowest_layer


@dataclass(frozen=True, kw_only=True)
class PeftSettings:
    """Which model, and what of it is adapted.

    Attributes:
        model_dir: folder with config.json, *.safetensors and the tokenizer.
        task: ``sequence-classification`` or ``causal-lm``.
        num_labels: classes; all nodes of a federation give the same number.
        targets: which linear modules: a regular expression or a list of last names.
        layers: ``all``, ``top-third``, ``top-half`` or ``top-N``.
        max_length: longer texts are cut, in tokens.
        dtype: of the frozen model, ``float32`` or ``bfloat16``; what is trained is float32.
        device: torch's name for it.
        num_hidden_layers: use only this many layers of the checkpoint; None: all.
        activation_cache_bytes: keep the frozen trunk's output per row if it fits; 0: never.
        evaluation_batch_size: rows at once when scoring.
        cache_dir: where digests of the model's files are kept; None: nowhere.
        training: this node's own defaults of training settings; a task's settings win.
    """

    model_dir: Path
    task: Task = "sequence-classification"
    num_labels: int | None = None
    targets: str | Sequence[str] = ATTENTION
    layers: str = "all"
    max_length: int = 128
    dtype: str = "float32"
    device: str = "cpu"
    num_hidden_layers: int | None = None
    activation_cache_bytes: int = 1 << 30
    evaluation_batch_size: int = 32
    cache_dir: Path | None = None
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])


class PeftTrainer:
    """Trains low-rank factors and heads over a frozen transformers model, on this node's rows.

    The base model is loaded once, here. Raises ModelError, DataError or ConfigError.
    """

    def __init__(self, settings: PeftSettings, rows: TextRows) -> None:
        _check(settings, rows)
        self.settings = settings
        self.rows = rows
        base = load_base(
            Path(settings.model_dir),
            settings.task,
            num_labels=settings.num_labels,
            num_hidden_layers=settings.num_hidden_layers,
            dtype=settings.dtype,
            device=settings.device,
        )
        self.model_loads = 1
        self.model = base.module
        dense = {name: tuple(self.model.get_parameter(name).shape) for name in base.new_tensors}
        modules = select_targets(self.model, settings.targets, layers=settings.layers)
        modules = {name: shape for name, shape in modules.items() if f"{name}.weight" not in dense}
        digest = fingerprint(
            Path(settings.model_dir), base.was_loaded, cache_dir=settings.cache_dir
        )
        self._description = ModelDescription(digest, modules, dense)
        self._is_language_model = settings.task == "causal-lm"
        tokens, pad = encode_texts(
            base,
            rows.texts,
            max_length=settings.max_length,
            is_language_model=self._is_language_model,
        )
        self._encoded = EncodedRows(tokens, rows.labels, pad)
        self._overlay = Overlay(self.model, modules, dense)
        self._trunk = self._make_trunk()

    @property
    def description(self) -> ModelDescription:
        """Fingerprint, target modules and heads of this model."""
        return self._description

    @property
    def peft_options(self) -> dict[str, Any]:
        """What PEFT's configuration says of this model, for exported adapters."""
        kind = "CAUSAL_LM" if self._is_language_model else "SEQ_CLS"
        modules = (self.model.get_submodule(name) for name in self._description.modules)
        return {
            "task_type": kind,
            "base_model": str(self.settings.model_dir),
            "fan_in_fan_out": any(not isinstance(module, torch.nn.Linear) for module in modules),
        }

    @property
    def num_rows(self) -> int:
        """All rows, those held out included."""
        return len(self.rows.texts)

    def train(self, task: TrainTask) -> TrainResult:
        """Train from the task's start; raises TaskRefused for settings that cannot be used."""
        settings = read_settings({**_defaults(self.settings.training, task.config), **task.config})
        overlay = self._overlay
        overlay.load(task.start.trainable, task.start.frozen, task.start.trainable)
        heads = list(overlay.heads.values()) if settings.train_head else []
        rows = self.rows.training
        total = settings.total_steps(len(rows))
        for term in overlay.terms.values():
            term.dropout = settings.dropout
        try:
            with _seeded(task.seed):
                for head in heads:
                    head.requires_grad_(True)
                history = optimise(
                    overlay.parameters(),
                    heads,
                    self._losses(settings, rows, task.seed),
                    settings=settings,
                    total=total,
                    progress=task.progress,
                )
        finally:
            for head in heads:
                head.requires_grad_(False)
            for term in overlay.terms.values():
                term.dropout = 0.0
        last = history[-10:]
        metrics = {"train_loss": sum(last) / len(last), "train_steps": float(total)}
        return TrainResult(overlay.trained(), len(rows), metrics)

    def evaluate(self, adapter: Adapter, rows: Sequence[int] | None = None) -> Evaluation:
        """Score an adapter on rows (None: those held out, or all when none are)."""
        chosen = list(rows if rows is not None else self.rows.held_out or range(self.num_rows))
        if any(not 0 <= row < self.num_rows for row in chosen):
            raise DataError(f"rows to evaluate must lie in 0..{self.num_rows - 1}")
        self._overlay.load(None, adapter, adapter)
        scores: dict[int, tuple[float, int]] = {}
        with torch.no_grad():
            for part in self._encoded.by_length(chosen, self.settings.evaluation_batch_size):
                batch = self._encoded.batch(part, self._overlay.device)
                scores.update(zip(part, self._scores(batch), strict=True))
        losses = [scores[row][0] for row in chosen]
        seconds = [scores[row][1] for row in chosen]
        if self._is_language_model:
            return Evaluation(losses, tokens=seconds)
        labels = self.rows.labels or ()
        return Evaluation(losses, [bool(right) for right in seconds], [labels[r] for r in chosen])

    def logits(self, adapter: Adapter, rows: Sequence[int]) -> Tensor:
        """Return the logits of a few rows, padded together: for comparing with other runtimes."""
        self._overlay.load(None, adapter, adapter)
        with torch.no_grad():
            return self._forward(self._encoded.batch(list(rows), self._overlay.device)).cpu()

    def _scores(self, batch: Batch) -> list[tuple[float, int]]:
        logits = self._forward(batch)
        if self._is_language_model:
            losses, counts = token_losses(logits, batch)
        else:
            assert batch.labels is not None
            losses, counts = class_losses(logits, batch), logits.argmax(1) == batch.labels
        rows = len(batch.rows)
        return [(float(losses[row]), int(counts[row])) for row in range(rows)]

    def _losses(
        self, settings: TrainingSettings, rows: Sequence[int], seed: int
    ) -> Iterator[Callable[[], Tensor]]:
        labels = self.rows.labels
        weights = None
        if settings.class_balance and labels is not None:
            counted = [labels[row] for row in rows]
            weights = class_weights(counted, self.settings.num_labels or 0)
            weights = weights.to(self._overlay.device)
        for part in self._encoded.shuffled(rows, settings.batch_size, seed):
            batch = self._encoded.batch(part, self._overlay.device)
            yield lambda batch=batch: self._mean_loss(batch, weights)

    def _mean_loss(self, batch: Batch, weights: Tensor | None) -> Tensor:
        logits = self._forward(batch)
        if self._is_language_model:
            losses, tokens = token_losses(logits, batch)
            return losses.sum() / tokens.sum().clamp(min=1)
        losses = class_losses(logits, batch)
        if weights is None or batch.labels is None:
            return losses.mean()
        shares = weights[batch.labels]
        return (losses * shares).sum() / shares.sum()

    def _forward(self, batch: Batch) -> Tensor:
        def forward(given: Batch) -> Tensor:
            return logits_of(self.model, given)

        if self._trunk is None or self._is_trunk_adapted():
            return forward(batch)
        return self._trunk.run(forward, batch)

    def _is_trunk_adapted(self) -> bool:
        """Whether other nodes' modules, which may lie in the trunk, are active now."""
        own = self._description.modules
        return any(term.is_active for name, term in self._overlay.terms.items() if name not in own)

    def _make_trunk(self) -> Trunk | None:
        owners = {name.rpartition(".")[0] for name in self._description.dense}
        place = lowest_layer(self.model, [*self._description.modules, *owners])
        tokens = sum(len(row) for row in self._encoded.tokens)
        some = next(iter(self._description.modules.values()))
        width = getattr(getattr(self.model, "config", None), "hidden_size", max(some))
        parameter = next(self.model.parameters())
        needed = tokens * int(width) * parameter.element_size()
        if place is None or needed > self.settings.activation_cache_bytes:
            return None
        return Trunk(self.model, *place)


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    """Seed torch for one training and leave its global generator as it was."""
    generator = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(before)


def _defaults(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the own length of a training when the task sets one, be it steps or epochs."""
    lengths = {"steps", "epochs"}
    hidden = lengths if lengths & given.keys() else set[str]()
    return {name: value for name, value in own.items() if name not in hidden}


def _check(settings: PeftSettings, rows: TextRows) -> None:
    if settings.task not in TASKS:
        raise ConfigError(f"task is {settings.task!r}: use {' or '.join(TASKS)}", key="task")
    if settings.task == "causal-lm":
        return
    labels = settings.num_labels
    if labels is None or labels < 2:
        raise ConfigError("sequence-classification needs num_labels of 2 or more", key="num_labels")
    if rows.labels is None:
        raise DataError("sequence-classification needs a label for each row")
    if bad := [label for label in rows.labels if not 0 <= label < labels]:
        raise DataError(f"label {bad[0]} is not in 0..{labels - 1}: all nodes number classes alike")
