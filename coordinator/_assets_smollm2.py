"""Convert the packaged SmolLM2 (4-bit GGUF) into bfloat16 safetensors, once.

Reading the GGUF file takes half a minute; the converted model loads in under a second, so the
four nodes of the demo would otherwise spend more time reading than training. The only module of
the coordinator that touches transformers, which is untyped.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any, cast

from ._assets import SMOLLM2_GGUF, AssetError
from ._assets_fetch import Report, build, ensure, silent

_REVISION = 1


def ensure_smollm2(*, report: Report = silent, cache: Path | None = None) -> Path:
    """Return the folder of SmolLM2-135M-Instruct as safetensors, converting it when needed.

    Raises:
        AssetError: it cannot be fetched, or the package `gguf` is not installed.
    """
    folder = f"smollm2-{SMOLLM2_GGUF.package.sha256[:12]}-{_REVISION}"

    def make(target: Path) -> None:
        # Beside the target, in the scratch folder: the GGUF file is not needed afterwards.
        source = ensure(SMOLLM2_GGUF, report=report, cache=target.parent)
        report("smollm2: converting to bfloat16 safetensors (about a minute, only once)")
        _convert(source, target)

    return build("smollm2", folder, make, cache=cache)


def _convert(source: Path, target: Path) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import gguf  # pyright: ignore[reportUnusedImport]  # noqa: F401
        import torch
        from transformers import AutoTokenizer, LlamaForCausalLM
    except ImportError as error:
        raise AssetError(
            f"smollm2: the package {error.name!r} is missing: pip install 'polyrank[demo]'",
            asset="smollm2",
        ) from error
    (name,) = SMOLLM2_GGUF.members.values()
    with contextlib.redirect_stderr(io.StringIO()):
        loaded: Any = cast(Any, LlamaForCausalLM).from_pretrained(
            str(source), gguf_file=name, dtype=torch.float32
        )
        tokenizer: Any = cast(Any, AutoTokenizer).from_pretrained(str(source), gguf_file=name)
        _save(loaded, tokenizer, target)


def _save(loaded: Any, tokenizer: Any, target: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    settings: dict[str, Any] = loaded.config.to_dict()
    settings.pop("quantization_config", None)
    # A fresh model, because the loaded one refuses to be saved without its quantisation.
    model: Any = cast(Any, LlamaForCausalLM)(LlamaConfig(**settings))
    model.load_state_dict(loaded.state_dict())
    model.to(torch.bfloat16).save_pretrained(str(target))
    tokenizer.save_pretrained(str(target))
