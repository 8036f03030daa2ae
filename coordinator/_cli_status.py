"""`polyrank status`: what the federation is doing, read from the registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._cli_connect import DataDirOption, JsonOption, UrlOption, open_registry
from ._cli_output import cell, print_json, print_line, print_table, short
from ._paths import default_data_dir, default_registry_url, read_daemon

if TYPE_CHECKING:
    from ..store import AdapterLine, NodeRecord, Registry, RoundRecord

_CLOSED = ("committed", "abandoned")


def status(
    data_dir: DataDirOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Show the daemon's adapters, nodes and open rounds."""
    where = url or default_registry_url(data_dir)
    with open_registry(where) as registry:
        report = collect(registry)
    report["registry"] = where
    report["daemon"] = _daemon(data_dir or default_data_dir(), where)
    if as_json:
        print_json(**report)
    else:
        _print(report)


def collect(registry: Registry) -> dict[str, Any]:
    """Gather the facts of `polyrank status --json` from a registry.

    Keys: `epoch` (0 before the first driver), `driver`, `adapters` (with `head`, `aliases` and
    the number of `rounds` in each state), `nodes` (with what their cards say of `max_rank`,
    `model_loads` and `trainings`), `open_rounds` (with tasks and contributions so far).
    """
    drivers = registry.drivers()
    rounds = registry.rounds()
    return {
        "epoch": drivers[-1].epoch if drivers else 0,
        "driver": drivers[-1] if drivers else None,
        "adapters": [_adapter(registry, line, rounds) for line in registry.adapters()],
        "nodes": [_node(node) for node in registry.nodes()],
        "open_rounds": [_open(registry, one) for one in rounds if one.state not in _CLOSED],
    }


def _adapter(registry: Registry, line: AdapterLine, rounds: list[RoundRecord]) -> dict[str, Any]:
    states = Counter(one.state for one in rounds if one.adapter == line.name)
    return {
        "name": line.name,
        "base_model": line.base_model,
        "head": line.head,
        "aliases": {alias.alias: alias.number for alias in registry.aliases(line.name)},
        "rounds": dict(states),
        "retired": line.retired,
    }


def _node(node: NodeRecord) -> dict[str, Any]:
    wanted = ("max_rank", "device", "model_loads", "trainings", "adapters")
    return {
        "name": node.name,
        "identity": node.identity,
        "status": node.status,
        "address": node.address,
        **{key: node.card.get(key) for key in wanted},
        "first_seen": node.first_seen,
        "last_seen": node.last_seen,
    }


def _open(registry: Registry, one: RoundRecord) -> dict[str, Any]:
    tasks = [t for t in registry.tasks(one.adapter, round=one.number) if t.kind == "train"]
    came = Counter(c.status for c in registry.contributions(one.adapter, round=one.number))
    return {
        "adapter": one.adapter,
        "number": one.number,
        "state": one.state,
        "start_number": one.start_number,
        "tasks": len(tasks),
        "accepted": came["accepted"],
        "rejected": came["rejected"],
        "deadline_at": one.deadline_at,
        "created_at": one.created_at,
    }


def _daemon(data_dir: Path, where: str) -> dict[str, Any] | None:
    # The file of another daemon than the one that was asked would only mislead.
    daemon = read_daemon(data_dir)
    if daemon is None or daemon.registry != where:
        return None
    return {"pid": daemon.pid, "running": daemon.is_running, "started_at": daemon.started_at,
            "superlink_port": daemon.superlink_port, "data_dir": data_dir}  # fmt: skip


def _print(report: Mapping[str, Any]) -> None:
    daemon = report["daemon"]
    pid = f"daemon {daemon['pid']}" if daemon else "registry"
    print_line(f"{pid} at {report['registry']}, epoch {report['epoch']}")
    print_table(
        ["adapter", "base model", "latest", "stable", "rounds"],
        ([a["name"], a["base_model"], a["head"], a["aliases"].get("stable"), _states(a["rounds"])]
         for a in report["adapters"]),
        title="adapters",
        empty="none yet",
    )  # fmt: skip
    print_table(
        ["node", "identity", "status", "max rank", "model loads", "trainings", "last seen"],
        ([n["name"], short(n["identity"]), n["status"], n["max_rank"], n["model_loads"],
          n["trainings"], n["last_seen"]] for n in report["nodes"]),
        title="nodes",
        empty="none yet",
    )  # fmt: skip
    print_table(
        ["adapter", "round", "state", "accepted", "rejected", "deadline"],
        ([o["adapter"], o["number"], o["state"], f"{o['accepted']} of {o['tasks']}",
          o["rejected"], cell(o["deadline_at"])] for o in report["open_rounds"]),
        title="open rounds",
        empty="none open",
    )  # fmt: skip


def _states(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
