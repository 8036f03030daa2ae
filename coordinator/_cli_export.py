"""Writing a version to files: for PEFT, or as the registry keeps it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..store import Registry, Version

CHUNK_BYTES = 1 << 20


def export_peft(
    registry: Registry, version: Version, directory: Path, *, task_type: str | None = None
) -> Path:
    """Write a version so that `PeftModel.from_pretrained` loads it; return the folder.

    Needs torch and the client extra. Raises ExportError (client), AdapterError, StoreError.
    """
    try:
        from ..aggregation import decode
        from ..client import to_peft
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"an export for PEFT needs the package {error.name!r}; "
            "run: pip install 'polyrank[client]', or use --format safetensors"
        ) from error
    adapter = decode(registry.read(version.ref))
    origin = {"version": version.ref, "digest": version.digest, "base_model": version.base_model}
    return to_peft(
        adapter, directory, task_type=task_type, base_model=version.base_model, metadata=origin
    )


def export_safetensors(registry: Registry, version: Version, directory: Path) -> Path:
    """Copy a version's bytes, in pieces, to `DIGEST.safetensors`; return the file.

    The file appears whole or not at all. Raises StoreError, and a usage error if the folder
    cannot be written.
    """
    target = directory / f"{version.digest}.safetensors"
    partial = directory / f".{version.digest}.{os.getpid()}.partial"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            with registry.open(version.ref) as source, partial.open("wb") as sink:
                while data := source.read(CHUNK_BYTES):
                    sink.write(data)
                sink.flush()
                os.fsync(sink.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise click.ClickException(
            f"cannot write {target}: {error.strerror}; choose another folder"
        ) from error
    return target
