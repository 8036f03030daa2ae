"""The base model's fingerprint: a digest of the checkpoint tensors that were loaded.

The same tensors give the same fingerprint however they are spread over files. Files are streamed,
and the digests of their tensors are kept in a small file keyed by path, size and time of change,
so that a second start reads no weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from ._errors import ModelError

MAX_HEADER_BYTES = 100_000_000
_CHUNK_BYTES = 8 << 20
Tensors = dict[str, tuple[str, list[int], str]]  # name -> dtype, shape, digest of the bytes


def checkpoint_files(directory: Path) -> list[Path]:
    """List the safetensors files of a model directory; raises ModelError when there are none."""
    if not directory.is_dir():
        raise ModelError(
            f"model directory {directory} does not exist: give the folder that holds config.json "
            "and *.safetensors",
            path=directory,
        )
    index = directory / "model.safetensors.index.json"
    single = directory / "model.safetensors"
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"{index} is not a safetensors index: {error}", path=index) from error
        files = [directory / str(name) for name in shards]
    else:
        files = [single] if single.is_file() else sorted(directory.glob("*.safetensors"))
    if not files:
        raise ModelError(
            f"model directory {directory} has no model.safetensors: convert the model to "
            "safetensors first",
            path=directory,
        )
    if missing := [path for path in files if not path.is_file()]:
        raise ModelError(f"model file {missing[0]} is missing: copy it again", path=missing[0])
    return files


def fingerprint(
    directory: Path, loaded: Callable[[str], bool], *, cache_dir: Path | None = None
) -> str:
    """Digest name, dtype, shape and bytes of the tensors that ``loaded`` accepts, sorted by name.

    Returns:
        sha-256 in hexadecimal.

    Raises:
        ModelError: a file is missing or is not safetensors, or nothing was loaded.
    """
    tensors: Tensors = {}
    for path in checkpoint_files(directory):
        tensors.update(_tensors_of(path, cache_dir))
    chosen = [[name, *tensors[name]] for name in sorted(tensors) if loaded(name)]
    if not chosen:
        raise ModelError(f"no tensor of {directory} was loaded into the model", path=directory)
    return hashlib.sha256(json.dumps(chosen, separators=(",", ":")).encode()).hexdigest()


def _tensors_of(path: Path, cache_dir: Path | None) -> Tensors:
    stat = path.stat()
    facts = json.dumps([str(path.resolve()), stat.st_size, stat.st_mtime_ns])
    kept = None
    if cache_dir is not None:
        key = hashlib.sha256(facts.encode()).hexdigest()
        kept = cache_dir / f"tensors-{key}.json"
        if (found := _read_kept(kept)) is not None:
            return found
    tensors = _hash_file(path)
    if kept is not None:
        with contextlib.suppress(OSError):  # no room or no right: the weights are read again
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = kept.with_suffix(f".{os.getpid()}.partial")
            partial.write_text(json.dumps(tensors), "utf-8")
            partial.replace(kept)
    return tensors


def _read_kept(path: Path) -> Tensors | None:
    try:
        values = cast("dict[str, list[Any]]", json.loads(path.read_text("utf-8")))
        return {name: (str(v[0]), list(v[1]), str(v[2])) for name, v in values.items()}
    except (OSError, ValueError, TypeError, IndexError, AttributeError):
        return None  # absent or damaged: the weights are read again


def _hash_file(path: Path) -> Tensors:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            (length,) = struct.unpack("<Q", data[:8])
            if not 2 <= length <= min(MAX_HEADER_BYTES, len(data) - 8):
                raise ModelError(f"{path} is not a safetensors file: copy it again", path=path)
            header = cast("dict[str, Any]", json.loads(data[8 : 8 + length]))
            header.pop("__metadata__", None)
            return {
                name: (entry["dtype"], entry["shape"], _digest(data, 8 + length, entry))
                for name, entry in header.items()
            }
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise ModelError(f"{path} is not a safetensors file: {error}", path=path) from error


def _digest(data: mmap.mmap, base: int, entry: dict[str, Any]) -> str:
    begin, end = (base + int(offset) for offset in entry["data_offsets"])
    if end > len(data):
        raise ValueError("it is cut short")
    running = hashlib.sha256()
    for offset in range(begin, end, _CHUNK_BYTES):
        running.update(data[offset : min(offset + _CHUNK_BYTES, end)])
    return running.hexdigest()
