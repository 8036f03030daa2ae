"""The newest stable adapter of each line, on disk in PEFT form: what the data owner ends up with.

    adapters/<line>/<number>-<digest>/     adapter_config.json, adapter_model.safetensors, ...
    adapters/<line>/latest                 a link to the newest of the line (`/` is written %2F)
    latest                                 a link to the newest of all

A link is replaced by a rename, so a reader sees the old version or the new one, never a part.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ._durable import sync_folder
from ._errors import AdapterUnavailable, ExportError

if TYPE_CHECKING:
    from ..aggregation import Adapter


@dataclass(frozen=True, kw_only=True)
class VersionInfo:
    """One stable version as it reached this node.

    Attributes:
        adapter: the adapter line.
        number: the version's number in it.
        digest: sha-256 of the version's blob.
        base_fingerprint: of the base model it belongs to.
        metrics: this node's evaluation of it.
        received_at: ISO 8601, UTC.
    """

    adapter: str
    number: int
    digest: str
    base_fingerprint: str
    metrics: Mapping[str, float]
    received_at: str = ""


class LatestAdapters:
    """Writes stable versions and finds the newest."""

    def __init__(self, folder: Path, *, kept_versions: int = 2) -> None:
        self._folder = folder
        self._kept = kept_versions

    def path(self, adapter: str | None = None) -> Path:
        """Return the folder of the newest stable version (of one line, or of all).

        Raises:
            AdapterUnavailable: none has arrived yet.
        """
        base = self._folder if adapter is None else self._line(adapter)
        link = base / "latest"
        if not link.is_dir():
            raise AdapterUnavailable(
                f"no stable version of {adapter or 'any adapter'} has reached this node yet: "
                "let it take part in a round first",
                path=link,
            )
        return link.resolve()

    def write(self, adapter: Adapter, info: VersionInfo, *, options: Mapping[str, Any]) -> Path:
        """Write a version in PEFT form and make it the newest; returns its folder.

        Args:
            adapter: the whole version.
            info: what is known of it; kept beside it as ``polyrank.json``.
            options: ``task_type``, ``base_model``, ``fan_in_fan_out`` for PEFT's configuration.

        Raises:
            ExportError: the folder cannot be written.
        """
        from ._peft_files import to_peft  # torch is loaded only where an adapter is at hand

        stamped = asdict(info) | {"received_at": info.received_at or _now()}
        line = self._line(info.adapter)
        final = line / f"{info.number:06d}-{info.digest[:12]}"
        partial = line / f"{final.name}.partial"
        try:
            if not final.exists():  # a whole one, which a reader may have open: it stays
                shutil.rmtree(partial, ignore_errors=True)
                to_peft(adapter, partial, metadata=stamped, **options)
                partial.rename(final)
                sync_folder(line)
            _point(line / "latest", Path(final.name))
            _point(self._folder / "latest", final.relative_to(self._folder))
        except OSError as error:
            raise ExportError(f"cannot write {final}: {error.strerror}", path=final) from error
        self._prune(line, final)
        return final

    def _line(self, adapter: str) -> Path:
        name = quote(adapter, safe="")  # one folder name for each line, and none that climbs out
        return self._folder / "adapters" / (f"%2E{name[1:]}" if name[:1] == "." else name or "%")

    def _prune(self, line: Path, newest: Path) -> None:
        there = [p for p in line.iterdir() if p.is_dir() and not p.is_symlink() and p != newest]
        halves = [path for path in there if path.suffix == ".partial"]  # what a crash left
        for path in halves:
            shutil.rmtree(path, ignore_errors=True)
        found = [path for path in there if path not in halves]
        found.sort(key=lambda path: path.stat().st_mtime_ns)
        for path in found[: max(0, len(found) + 1 - self._kept)]:
            shutil.rmtree(path, ignore_errors=True)


def _point(link: Path, target: Path) -> None:
    partial = link.with_name("latest.partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(target, target_is_directory=True)
    partial.replace(link)
    sync_folder(link.parent)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
