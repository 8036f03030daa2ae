"""The edge to transformers: load a base model and its tokenizer from a directory, no hub."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from torch import Tensor, nn

from ._errors import ConfigError, ModelError
from ._fingerprint import checkpoint_files
from ._text_rows import Batch

Task = Literal["sequence-classification", "causal-lm"]
TASKS: tuple[Task, ...] = ("sequence-classification", "causal-lm")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class BaseModel:
    """A loaded base model: frozen, in evaluation mode.

    Attributes:
        module: the transformers model.
        tokenizer: its tokenizer.
        new_tensors: parameters that the checkpoint did not hold (the heads), whole modules.
        skipped: checkpoint tensors that the model did not take.
        prefix: the name under which the model keeps its body, e.g. ``bert``.
    """

    module: nn.Module
    tokenizer: Any
    new_tensors: tuple[str, ...]
    skipped: frozenset[str]
    prefix: str

    def was_loaded(self, name: str) -> bool:
        """Say whether a checkpoint tensor went into the model."""
        stripped = name.removeprefix(f"{self.prefix}.")
        return not self.skipped & {name, stripped, f"{self.prefix}.{stripped}"}


def load_base(
    directory: Path,
    task: Task,
    *,
    num_labels: int | None = None,
    num_hidden_layers: int | None = None,
    dtype: str = "float32",
    device: str = "cpu",
) -> BaseModel:
    """Load a frozen base model; raises ModelError or ConfigError that says what to do."""
    checkpoint_files(directory)
    if dtype not in DTYPES:
        raise ConfigError(f"dtype is {dtype!r}: use {' or '.join(DTYPES)}", key="dtype")
    changes: dict[str, Any] = {}
    if task == "sequence-classification":
        changes["num_labels"] = num_labels
    if num_hidden_layers is not None:
        changes["num_hidden_layers"] = num_hidden_layers
    auto: Any = {
        "sequence-classification": transformers.AutoModelForSequenceClassification,
        "causal-lm": transformers.AutoModelForCausalLM,
    }[task]
    try:
        with _quiet():
            module, report = auto.from_pretrained(
                str(directory),
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                dtype=DTYPES[dtype],
                **changes,
            )
            tokenizers: Any = transformers.AutoTokenizer
            tokenizer: Any = tokenizers.from_pretrained(str(directory), local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"model in {directory} cannot be loaded for {task}: {first}", path=directory
        ) from error
    return _frozen(module.to(device), tokenizer, report)


def _frozen(module: Any, tokenizer: Any, report: Any) -> BaseModel:
    module.requires_grad_(False)
    module.eval()
    module.config.use_cache = False
    pad = next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None), 0)
    if module.config.pad_token_id is None:
        module.config.pad_token_id = pad
    owners = {name.rpartition(".")[0] for name in report["missing_keys"]}
    new = [name for name, _ in module.named_parameters() if name.rpartition(".")[0] in owners]
    for name in {owner for owner in owners if owner}:
        module.get_submodule(name).float()  # heads are trained, so they are kept in float32
        module.get_submodule(name).register_forward_pre_hook(_as_float32)
    skipped = frozenset(str(name) for name in report["unexpected_keys"])
    return BaseModel(module, tokenizer, tuple(new), skipped, module.base_model_prefix)


def _as_float32(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(arg.float() if isinstance(arg, Tensor) else arg for arg in args)


def encode_texts(
    base: BaseModel, texts: Sequence[str], *, max_length: int, is_language_model: bool
) -> tuple[list[list[int]], int]:
    """Turn texts into token ids (at most ``max_length``), and name the padding id.

    For language models the end-of-text token is added, so that a text's end is learned too; not
    to a text that was cut, which does not end there.
    """
    tokenizer = base.tokenizer
    given: Any = tokenizer(list(texts), truncation=True, max_length=max_length)
    tokens: list[list[int]] = given["input_ids"]
    pad: Any = getattr(base.module, "config").pad_token_id  # noqa: B009 (untyped)
    end: Any = tokenizer.eos_token_id
    if is_language_model and end is not None:
        tokens = [
            row if len(row) >= max_length or row[-1:] == [end] else [*row, end] for row in tokens
        ]
    return [row or [pad] for row in tokens], int(pad)


def logits_of(module: nn.Module, batch: Batch) -> Tensor:
    """Run the model: (rows, classes), or (rows, tokens, vocabulary)."""
    output: Any = module(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    return output.logits


def last_hidden_states(module: nn.Module, batch: Batch) -> Tensor:
    """Run the model's body: the states of its last layer, (rows, tokens, width)."""
    body: Any = getattr(module, "base_model")  # noqa: B009 (untyped)
    output: Any = body(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    return output.last_hidden_state


@contextmanager
def _quiet() -> Generator[None]:
    """Keep transformers' loading report and progress bar out of a node's output."""
    log: Any = transformers.utils.logging
    before, shown = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(logging.ERROR)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(before)
        if shown:
            log.enable_progress_bar()
