"""A frozen base model, loaded once, with what adapts it: for one trainer or for many in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ._errors import ConfigError
from ._fingerprint import fingerprint
from ._low_rank import Overlay
from ._targets import ATTENTION, select_targets
from ._text_rows import Batch
from ._trainer import ModelDescription
from ._transformers_model import (
    TASKS,
    Task,
    encode_texts,
    last_hidden_states,
    load_base,
    logits_of,
)
from ._trunk import Trunk, lowest_layer

_OF_THE_MODEL = (
    *("model_dir", "task", "num_labels", "targets", "layers"),
    *("dtype", "device", "num_hidden_layers"),
)


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


class SharedBase:
    """A loaded base model that any number of PeftTrainers may use, one after another.

    Every training and every evaluation sets all low-rank terms and heads before it begins, so
    nothing of one trainer reaches the next, and the results are those of trainers with a model of
    their own. It is not safe for two threads at a time.

    Example:
        ``base = SharedBase(settings)``, then ``PeftTrainer(settings, rows, base=base)`` for each.

    Raises:
        ModelError, ConfigError: the model cannot be loaded, or a setting does not fit it.
    """

    def __init__(self, settings: PeftSettings) -> None:
        check_settings(settings)
        self.settings = settings
        self._loaded = load_base(
            Path(settings.model_dir),
            settings.task,
            num_labels=settings.num_labels,
            num_hidden_layers=settings.num_hidden_layers,
            dtype=settings.dtype,
            device=settings.device,
        )
        self.module = self._loaded.module
        dense = {
            name: tuple(self.module.get_parameter(name).shape) for name in self._loaded.new_tensors
        }
        found = select_targets(self.module, settings.targets, layers=settings.layers)
        modules = {name: shape for name, shape in found.items() if f"{name}.weight" not in dense}
        digest = fingerprint(
            Path(settings.model_dir), self._loaded.was_loaded, cache_dir=settings.cache_dir
        )
        self.description = ModelDescription(digest, modules, dense)
        self.is_language_model = settings.task == "causal-lm"
        self.overlay = Overlay(self.module, modules, dense)
        place = lowest_layer(self.module, [*modules, *{n.rpartition(".")[0] for n in dense}])
        self.trunk = None if place is None else Trunk(self.module, *place)

    @property
    def state_bytes(self) -> int:
        """Bytes of one token's hidden state."""
        some = next(iter(self.description.modules.values()))
        width = getattr(getattr(self.module, "config", None), "hidden_size", max(some))
        return int(width) * next(self.module.parameters()).element_size()

    @property
    def is_trunk_adapted(self) -> bool:
        """Whether other nodes' modules, which may lie in the trunk, are active now."""
        own = self.description.modules
        return any(term.is_active for name, term in self.overlay.terms.items() if name not in own)

    def encode(self, texts: Sequence[str], max_length: int) -> tuple[list[list[int]], int]:
        """Turn texts into token ids, and name the padding id."""
        return encode_texts(
            self._loaded, texts, max_length=max_length, is_language_model=self.is_language_model
        )

    def logits(self, batch: Batch, states: Tensor | None = None) -> Tensor:
        """Run the model, the trunk's part taken from ``states`` if given."""
        if states is None or self.trunk is None:
            return logits_of(self.module, batch)
        return self.trunk.run(lambda: logits_of(self.module, batch), states)

    def frozen_states(self, batch: Batch) -> Tensor:
        """Return hidden states (rows, tokens, width) that no adapter has touched.

        They are those that enter the lowest adapted layer; where nothing frozen lies beneath it,
        the last ones. No term may be active below that layer (``bare`` sees to it).
        """
        with torch.no_grad():
            if self.trunk is None:
                return last_hidden_states(self.module, batch)
            return self.trunk.entering(lambda: logits_of(self.module, batch))

    def bare(self) -> None:
        """Take all low-rank terms out."""
        for term in self.overlay.terms.values():
            term.set_trainable(None, self.overlay.device)
            term.set_frozen(None, self.overlay.device)

    def check_same(self, settings: PeftSettings) -> None:
        """Raise ConfigError naming the first setting for which this is another model."""
        for key, given, own in self._differences(settings):
            raise ConfigError(
                f"{key} is {given!r}, the shared base model was loaded with {own!r}", key=key
            )

    def is_for(self, settings: PeftSettings) -> bool:
        """Whether these settings ask for this very model."""
        return not any(self._differences(settings))

    def _differences(self, settings: PeftSettings) -> Iterator[tuple[str, object, object]]:
        """Yield each setting for which this is another model: its name, the given, the own."""
        for key in _OF_THE_MODEL:
            given, own = _plain(getattr(settings, key)), _plain(getattr(self.settings, key))
            if given != own:
                yield key, given, own


def check_settings(settings: PeftSettings) -> None:
    """Refuse settings that no model could be loaded with; raises ConfigError."""
    if settings.task not in TASKS:
        raise ConfigError(f"task is {settings.task!r}: use {' or '.join(TASKS)}", key="task")
    is_classifier = settings.task == "sequence-classification"
    if is_classifier and (settings.num_labels is None or settings.num_labels < 2):
        raise ConfigError("sequence-classification needs num_labels of 2 or more", key="num_labels")


def _plain(value: object) -> object:
    """Make equal what means the same: a list and a tuple, a path and its text."""
    if isinstance(value, (list, tuple)):
        return tuple(cast("Sequence[object]", value))
    return str(value) if isinstance(value, Path) else value
