"""Adapters in PEFT's form, and back: two files in a folder, written without PEFT itself.

PEFT's scaling is ``alpha / r`` per module. Ours is folded into ``b``, so alpha equals r in
everything written, and is folded into ``b`` in everything read.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..aggregation import Adapter, AdapterError, Factors
from ._durable import write_durably
from ._errors import ExportError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_PEFT_HEADS = ("classifier", "score")
_REFUSED = {
    "use_dora": "DoRA",
    "lora_bias": "lora_bias",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "alora_invocation_tokens": "aLoRA",
    "arrow_config": "Arrow",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "target_parameters": "target_parameters",
    "trainable_token_indices": "trainable tokens",
    "layer_replication": "layer replication",
}


def to_peft(
    adapter: Adapter,
    directory: Path | str,
    *,
    task_type: str | None = None,
    base_model: str = "",
    fan_in_fan_out: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write an adapter so that ``PeftModel.from_pretrained`` loads it.

    Modules of rank 0 are left out; an adapter without any rank gets one module of rank 1 and zero
    delta, since PEFT knows no empty adapter. Dense tensors become ``modules_to_save``.

    Args:
        adapter: the whole adapter (a version's state), module names as in the base model.
        directory: created if need be; the two files are replaced one by one.
        task_type: PEFT's name, ``SEQ_CLS`` or ``CAUSAL_LM``; None: a plain ``PeftModel``.
        base_model: name or path of the base model, kept in the configuration.
        fan_in_fan_out: the adapted modules keep their weights transposed (GPT-2's Conv1D).
        metadata: kept in the configuration under ``polyrank``'s own file, not in PEFT's.

    Returns:
        The directory.

    Raises:
        ExportError: no factors at all, or the folder cannot be written.
    """
    folder = Path(directory)
    factors = _written_factors(adapter)
    tensors: dict[str, Tensor] = {}
    for name, pair in factors.items():
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = pair.a.detach().float().contiguous().clone()
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = pair.b.detach().float().contiguous().clone()
    for name, value in adapter.dense.items():
        tensors[f"{_PREFIX}{name}"] = value.detach().float().contiguous().clone()
    config = _config(factors, adapter, task_type, base_model)
    config["fan_in_fan_out"] = fan_in_fan_out
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / WEIGHTS, [save(tensors, {"format": "pt"})], mode=0o644)
        write_durably(folder / CONFIG, [_pretty(config)], mode=0o644)
        if metadata is not None:
            write_durably(folder / "polyrank.json", [_pretty(metadata)], mode=0o644)
    except OSError as error:
        raise ExportError(f"cannot write {folder}: {error.strerror}", path=folder) from error
    return folder


def from_peft(directory: Path | str) -> Adapter:
    """Read a PEFT LoRA adapter, folding its scaling (alpha/r, or alpha/sqrt(r)) into ``b``.

    Raises:
        ExportError: a file is missing or damaged, or the adapter is not a plain low-rank delta
            (DoRA, lora_bias, KaSA and others).
    """
    folder = Path(directory)
    config, tensors = _read(folder)
    _refuse_unusual(config, folder)
    pairs: dict[str, dict[str, Tensor]] = {}
    dense: dict[str, Tensor] = {}
    for key, value in tensors.items():
        name = key.removeprefix(_PREFIX)
        found = re.fullmatch(r"(.+)\.lora_(A|B)\.weight", name)
        if found:
            pairs.setdefault(found[1], {})[found[2]] = value.float()
        elif "lora_" in name:
            raise ExportError(
                f"{folder} holds {key}, which is not a plain low-rank factor of a linear module",
                path=folder,
            )
        else:
            dense[name.replace(".modules_to_save.default", "")] = value.float()
    try:
        return Adapter(
            {name: _folded(name, pair, config, folder) for name, pair in pairs.items()}, dense
        )
    except AdapterError as error:
        raise ExportError(f"{folder} is not a usable adapter: {error}", path=folder) from error


def _written_factors(adapter: Adapter) -> dict[str, Factors]:
    factors = {name: pair for name, pair in adapter.factors.items() if pair.rank}
    if factors:
        return factors
    if not adapter.factors:
        raise ExportError("the adapter has no target module, which PEFT cannot hold")
    name, pair = next(iter(adapter.factors.items()))
    rows, columns = pair.shape
    return {name: Factors(torch.zeros(rows, 1), torch.zeros(1, columns))}


def _config(
    factors: Mapping[str, Factors], adapter: Adapter, task_type: str | None, base_model: str
) -> dict[str, Any]:
    ranks = {name: pair.rank for name, pair in factors.items()}
    common = Counter(ranks.values()).most_common(1)[0][0]
    # PEFT matches a pattern as `(.*\.)?(KEY)$`: an escaped whole name hits that module alone.
    unequal = {re.escape(name): rank for name, rank in ranks.items() if rank != common}
    return {
        "alpha_pattern": unequal,
        "base_model_name_or_path": base_model or None,
        "bias": "none",
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": common,
        "lora_dropout": 0.0,
        "modules_to_save": sorted({_saved_module(name) for name in adapter.dense}) or None,
        "peft_type": "LORA",
        "r": common,
        "rank_pattern": unequal,
        "target_modules": sorted(ranks),
        "task_type": task_type,
        "use_dora": False,
        "use_rslora": False,
    }


def _saved_module(tensor: str) -> str:
    """Name the module that PEFT saves for a head's tensor.

    For SEQ_CLS PEFT saves ``classifier`` and ``score`` by itself; a module within one of them
    (RoBERTa's ``classifier.dense``) must not be named besides, or it would be wrapped twice.
    """
    parts = tensor.split(".")[:-1]
    ends = [place for place, part in enumerate(parts, start=1) if part in _PEFT_HEADS]
    return ".".join(parts[: ends[0]] if ends else parts)


def _pretty(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        config = cast("dict[str, Any]", json.loads((folder / CONFIG).read_text("utf-8")))
        return config, load((folder / WEIGHTS).read_bytes())
    except FileNotFoundError as error:
        raise ExportError(
            f"{folder} lacks {Path(str(error.filename)).name or WEIGHTS}: give a folder that PEFT "
            "saved with safetensors",
            path=folder,
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise ExportError(f"{folder} cannot be read: {error}", path=folder) from error


def _refuse_unusual(config: Mapping[str, Any], folder: Path) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ExportError(f"{folder} is a {kind} adapter: only LORA can be read", path=folder)
    for key, name in _REFUSED.items():
        if config.get(key):
            raise ExportError(
                f"{folder} uses {name} ({key}), which is not a plain low-rank delta: "
                "train it without, or merge it first",
                path=folder,
            )
    if config.get("bias", "none") != "none":
        raise ExportError(f"{folder} trains biases (bias={config['bias']!r})", path=folder)
    method = str(config.get("init_lora_weights", True)).lower()
    if method.startswith(_CHANGES_BASE):
        raise ExportError(
            f"{folder} was initialised by {method}, which changes the base weights: convert it to "
            "plain LoRA first (PEFT's path_initial_model_for_weight_conversion)",
            path=folder,
        )


def _folded(
    name: str, pair: Mapping[str, Tensor], config: Mapping[str, Any], folder: Path
) -> Factors:
    if set(pair) != {"A", "B"}:
        raise ExportError(f"{folder}: module {name} lacks one of its two factors", path=folder)
    rank = pair["A"].shape[0]
    alpha = _pattern(config.get("alpha_pattern"), name)
    alpha = float(config.get("lora_alpha", 8) if alpha is None else alpha)  # 8 is PEFT's default
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return Factors(pair["B"] * scale, pair["A"])


def _pattern(patterns: Mapping[str, Any] | None, name: str) -> Any:
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return None
