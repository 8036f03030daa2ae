"""What a simulation has made, for its table and for `--json`; every number is in the registry."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..store import Registry, Version
from ._cli_output import cell, print_table, short, size
from ._demo_report import program
from ._read_all import read_pages

_PAGE = 1000


@dataclass(frozen=True)
class Measured:
    """One version and what the nodes say of it.

    Attributes:
        version: as the registry has it.
        nodes: how many nodes have evaluated it.
        means: by name of the metric, the mean over those nodes that gave it, each counted once.
    """

    version: Version
    nodes: int
    means: Mapping[str, float]

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        version = self.version
        return {
            "ref": version.ref,
            "rank": version.rank,
            "size_bytes": version.size_bytes,
            "digest": version.digest,
            "updates": int(version.metrics.get("contributions", 0)),
            "nodes": self.nodes,
            "mean": dict(self.means),
        }


def measured(registry: Registry, adapter: str) -> list[Measured]:
    """Return all versions of a line, the oldest first, with what was measured of them."""
    found = read_pages(lambda token: registry.versions(adapter, limit=_PAGE, page_token=token))
    return [_measured(registry, version) for version in sorted(found, key=lambda v: v.number)]


def _measured(registry: Registry, version: Version) -> Measured:
    values: dict[str, list[float]] = defaultdict(list)
    nodes: set[str] = set()
    for metric in registry.metrics(version.ref):
        if metric.identity is not None:
            nodes.add(metric.identity)
            values[metric.name].append(metric.value)
    values.pop("num_examples", None)
    return Measured(version, len(nodes), {n: sum(v) / len(v) for n, v in sorted(values.items())})


def outcome(registry: Registry, data_dir: Path | None, seconds: float) -> dict[str, Any]:
    """Return all that is printed as plain values, for `--json`."""
    adapters = [line.name for line in registry.adapters()]
    return {
        "seconds": round(seconds, 1),
        "nodes": [
            {"name": node.name, "identity": node.identity, "status": node.status}
            for node in registry.nodes()
        ],
        "adapters": [
            {"name": name, "versions": [one.to_json() for one in measured(registry, name)]}
            for name in adapters
        ],
        "registry": None if data_dir is None else registry_url(data_dir),
        "commands": [] if data_dir is None else _commands(adapters, data_dir),
    }


def print_outcome(registry: Registry, data_dir: Path | None) -> None:
    """Print a table for each adapter, and how to look further."""
    names = [line.name for line in registry.adapters()]
    for name in names:
        _print_versions(name, measured(registry, name))
    if data_dir is not None:
        print("Look further:")
        for command in _commands(names, data_dir):
            print(f"  {command}")


def registry_url(data_dir: Path) -> str:
    """Return where the registry of a data directory is."""
    return f"sqlite:///{data_dir.absolute() / 'registry.db'}"


def _print_versions(adapter: str, found: Sequence[Measured]) -> None:
    names = sorted({name for one in found for name in one.means})
    headings = ["version", "rank", "size", "digest", "updates", "nodes"]
    print_table(
        [*headings, *(name.replace("_", " ") for name in names)],
        [_row(one, names) for one in found],
        title=f"{adapter} (means over its nodes)",
    )


def _row(one: Measured, names: Sequence[str]) -> list[object]:
    version, updates = one.version, int(one.version.metrics.get("contributions", 0))
    row = [version.number, version.rank, size(version.size_bytes), short(version.digest)]
    return [*row, updates or None, one.nodes, *(cell(one.means.get(name)) for name in names)]


def _commands(adapters: Sequence[str], data_dir: Path) -> list[str]:
    """Return commands that explore the outcome and work as they are."""
    where = ["--registry", registry_url(data_dir)]
    calls = [[what, name] for name in adapters for what in ("versions", "contributions")]
    calls += [["metrics", f"{name}@stable"] for name in adapters]
    return [shlex.join([program(), "registry", *call, *where]) for call in calls]
