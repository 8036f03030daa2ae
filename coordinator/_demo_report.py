"""What a demo prints: the table of rounds while it runs, and what came out of it.

Only words and layout are made here; every number was read from the registry.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ._cli_output import cell, short, size
from ._demo_plan import ADAPTER, DemoPlan, Layout
from ._demo_story_report import print_story
from ._demo_tell import Ending
from ._demo_watch import Scene


class Progress:
    """Shows scenes: a table that changes on a terminal, a line for each change elsewhere.

    Everything goes to stderr, so that stdout holds nothing but the result.
    """

    def __init__(self, plan: DemoPlan, rounds: int, console: Console | None = None) -> None:
        self._plan, self._rounds = plan, rounds
        self.console = console or Console(stderr=True, highlight=False)
        self._live = Live(console=self.console, auto_refresh=False, transient=False)
        self._said: set[str] = set()

    def say(self, line: str) -> None:
        """Print one line about the preparations."""
        self.console.print(Text(line, style="dim"), soft_wrap=True)

    def __enter__(self) -> Progress:
        """Begin the live table."""
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the table as it is."""
        self._live.stop()

    def show(self, scene: Scene) -> None:
        """Show one scene."""
        if self.console.is_terminal:
            self._live.update(rounds_table(self._plan, scene, self._rounds), refresh=True)
            return
        for line in round_lines(self._plan, scene, self._rounds):
            if line not in self._said:
                self._said.add(line)
                self.console.print(Text(f"{scene.seconds:6.1f} s  {line}"), soft_wrap=True)


def rounds_table(plan: DemoPlan, scene: Scene, rounds: int) -> Group:
    """Draw the rounds, and who is there."""
    count = len(plan.nodes)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headings = ("round", "state", "updates", "version", "rank", "size", _short_metric(plan))
    for heading in headings:
        table.add_column(heading, justify="right" if heading != "state" else "left")
    versions = {version.round or 0: version for version in scene.versions}
    states = {each.number: each.state for each in scene.rounds}
    for number in range(rounds + 1):
        version = versions.get(number)
        table.add_row(
            str(number) if number else "start",
            states.get(number, "published" if version is not None else "waiting"),
            f"{scene.updates(number)}/{count}" if number else "",
            version.ref if version is not None else "",
            str(version.rank) if version is not None else "",
            size(version.size_bytes) if version is not None else "",
            _score(scene.mean(version.number, count)) if version is not None else "",
        )
    names = ", ".join(sorted(scene.nodes.values())) or "none yet"
    return Group(Text(f"{scene.seconds:.0f} s   nodes: {names}"), table)


def round_lines(plan: DemoPlan, scene: Scene, rounds: int) -> list[str]:
    """Say the same in lines; a line never changes once it is true."""
    count = len(plan.nodes)
    lines = [f"node {name} is there" for name in sorted(scene.nodes.values())]
    for each in scene.rounds:
        got, refused = scene.updates(each.number), scene.refused(each.number)
        lines.append(f"round {each.number} of {rounds} started from {ADAPTER}@{each.start_number}")
        lines += [f"round {each.number}: update {n} of {count}" for n in range(1, got + 1)]
        lines += [f"round {each.number}: {refused} update(s) refused"] if refused else []
    for version in scene.versions:
        what = f"version {version.ref}"
        lines.append(f"{what}: rank {version.rank}, {size(version.size_bytes)}")
        mean = scene.mean(version.number, count)
        if mean is not None:
            lines.append(f"{what}: mean {_short_metric(plan)} {_score(mean)}")
    return lines


def result(
    plan: DemoPlan, scene: Scene, layout: Layout, registry: str, daemon_pid: int | None
) -> dict[str, object]:
    """Return the demo's outcome as plain values, for `--json`; `registry` is where to ask."""
    last = scene.versions[-1].number
    count = len(plan.nodes)
    return {
        "base": plan.base,
        "metric": plan.metric,
        "seconds": round(scene.seconds, 1),
        "nodes": [
            {
                "name": node.domain,
                "rank": node.rank,
                "before": scene.scores[0][node.domain],
                "after": scene.scores[last][node.domain],
                "adapter": str(own_adapter(layout, node.domain)),
            }
            for node in plan.nodes
        ],
        "mean": {"before": scene.mean(0, count), "after": scene.mean(last, count)},
        "versions": [
            {
                "ref": version.ref,
                "rank": version.rank,
                "size_bytes": version.size_bytes,
                "digest": version.digest,
                "mean": scene.mean(version.number, count),
            }
            for version in scene.versions
        ],
        "data_dir": str(layout.root),
        "registry": registry,
        "daemon_pid": daemon_pid,
        "commands": commands(layout, registry, last, is_told=bool(plan.story)),
    }


def print_result(
    plan: DemoPlan, scene: Scene, outcome: Mapping[str, object], ending: Ending | None = None
) -> None:
    """Print the closing tables to stdout."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    last, count = scene.versions[-1].number, len(plan.nodes)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=plan.title, title_justify="left")
    for heading in ("domain", "rank", "texts", "before", "after", "change"):
        table.add_column(heading, justify="left" if heading == "domain" else "right")
    for node in plan.nodes:
        pair = (scene.scores[0][node.domain], scene.scores[last][node.domain])
        table.add_row(node.domain, str(node.rank), str(node.train_rows), *_change(pair))
    means = (scene.mean(0, count) or 0.0, scene.mean(last, count) or 0.0)
    table.add_row("mean", "", "", *_change(means), style="bold")
    console.print(table)
    console.print(_versions_table(plan, scene))
    if ending is not None:
        print_story(console, ending, Layout(Path(str(outcome["data_dir"]))).report)
    console.print(Text("Each node keeps the adapter it helped train, in PEFT form:", style="bold"))
    for node in plan.nodes:
        console.print(f"  {own_adapter(Layout(Path(str(outcome['data_dir']))), node.domain)}")
    _print_commands(console, outcome)


def own_adapter(layout: Layout, domain: str) -> Path:
    """Return where a node keeps its newest stable adapter."""
    return layout.node_state(domain) / "latest"


def commands(layout: Layout, registry: str, last: int, *, is_told: bool = False) -> list[str]:
    """Return commands that explore the outcome and work as they are; more after the story."""
    where = ["--registry", registry]
    export = str(layout.root / f"{ADAPTER}-v{last}")
    calls: list[list[str]] = [
        ["registry", "versions", ADAPTER],
        ["registry", "show", f"{ADAPTER}@{last}"],
        ["registry", "metrics", f"{ADAPTER}@stable"],
        ["registry", "lineage", f"{ADAPTER}@stable"],
        ["registry", "contributions", ADAPTER],
        ["registry", "export", f"{ADAPTER}@stable", export],
    ]
    if is_told:
        calls += [
            ["registry", "families"],
            ["registry", "decisions", "--replay"],
            ["report", "--output", str(layout.report)],
        ]
    return [shlex.join([program(), *call, *where]) for call in calls]


def program() -> str:
    """Return how to call `polyrank` from here: by name if that is this installation."""
    ours = Path(sys.prefix) / "bin" / "polyrank"
    found = shutil.which("polyrank")
    if found is not None and Path(found).absolute() == ours.absolute():
        return "polyrank"
    here = Path.cwd()
    return str(ours.relative_to(here)) if ours.is_relative_to(here) else str(ours)


def _versions_table(plan: DemoPlan, scene: Scene) -> Table:
    count = len(plan.nodes)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="versions", title_justify="left")
    for heading in ("version", "rank", "size", "digest", f"mean {_short_metric(plan)}"):
        table.add_column(heading)
    for version in scene.versions:
        table.add_row(
            version.ref,
            str(version.rank),
            size(version.size_bytes),
            short(version.digest),
            cell(scene.mean(version.number, count)),
        )
    return table


def _print_commands(console: Console, outcome: Mapping[str, object]) -> None:
    listed = cast("list[str]", outcome["commands"])
    console.print(Text("Look further:", style="bold"))
    for command in listed:
        console.print(Text(f"  {command}"), soft_wrap=True)
    pid = outcome["daemon_pid"]
    if pid is not None:
        console.print(Text(f"The daemon still runs (--keep); stop it with: kill {pid}"))


def _change(pair: Sequence[float]) -> tuple[str, str, str]:
    before, after = pair
    return _score(before), _score(after), f"{after - before:+.3f}"


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _short_metric(plan: DemoPlan) -> str:
    return plan.metric.replace("_", " ")
