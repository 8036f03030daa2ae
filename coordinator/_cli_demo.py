"""`polyrank demo`: a whole federation on this machine, with real processes and real data."""

# pyright: reportUnknownMemberType=false
# (typer's Option is declared with unknown type arguments)

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import click
import typer

from ._cli_output import print_json
from ._demo_plan import PLANS, DemoPlan, Layout, quiet_reviews
from ._demo_prepare import begin_stage, choose_folder, prepare
from ._demo_processes import (
    DemoError,
    Program,
    Programs,
    child_environment,
    free_ports,
    interruptible,
)
from ._demo_report import Progress, print_result, result
from ._demo_story import Teller
from ._demo_story_report import StoryLines, story_values
from ._demo_tell import Ending, tell_at
from ._demo_watch import Scene, follow


def demo(
    base: Annotated[
        Literal["minilm", "smollm2"], typer.Option(help="Base model that the nodes adapt.")
    ] = "minilm",
    rounds: Annotated[
        int | None, typer.Option(min=1, max=500, help="How many rounds to run.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the daemon running.")] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="A new or empty folder for everything the demo makes.")
    ] = None,
    story: Annotated[
        bool, typer.Option(help="Let data drift afterwards, and show what is decided.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Run a daemon and a few nodes with unequal ranks and data; show what they learn together.

    Then their data drift, and the family of adapters answers: kept and pinned, a new adapter, a
    merge, a re-route, each with its reason, and a report. (Not with --base smollm2.)
    """
    plan = PLANS[base] if story else replace(PLANS[base], story=())
    wanted = rounds or plan.rounds
    layout = choose_folder(data_dir, datetime.now().strftime("%Y%m%d-%H%M%S"))
    progress = Progress(plan, wanted)
    with interruptible():
        try:
            seen = _run(plan, layout, wanted, progress, keep=keep)
        except KeyboardInterrupt:
            progress.say(f"nothing runs any more; what was made until now is in {layout.root}")
            raise
        except DemoError as error:
            _show_log(error)
            raise
    _print(plan, layout, seen, as_json=as_json)
    if seen.ending is not None and not seen.ending.is_whole:
        raise click.ClickException(
            "the story was not told to its end: a decision did not come in time (see above)"
        )


@dataclass(frozen=True)
class _Seen:
    """What a demo has seen; the daemon, if it was kept; `ending` is None without a story."""

    scene: Scene
    address: str
    daemon: Program | None
    ending: Ending | None


def _print(plan: DemoPlan, layout: Layout, seen: _Seen, *, as_json: bool) -> None:
    registry = seen.address if seen.daemon is not None else layout.database
    pid = seen.daemon.process.pid if seen.daemon is not None else None
    outcome = result(plan, seen.scene, layout, registry, pid)
    if seen.ending is not None:
        outcome["story"] = story_values(seen.ending, layout.report)
    if as_json:
        print_json(demo=outcome)
        return
    print_result(plan, seen.scene, outcome, seen.ending)


def _run(plan: DemoPlan, layout: Layout, rounds: int, progress: Progress, *, keep: bool) -> _Seen:
    """Prepare, start, follow, tell the story, stop."""
    ports = free_ports()
    prepare(plan, layout, ports, rounds, progress.say, story=bool(plan.story))
    address = f"grpc://127.0.0.1:{ports.registry}"
    progress.say(f"starting the daemon and {len(plan.nodes)} nodes; everything is in {layout.root}")
    with Programs(child_environment(len(plan.nodes))) as programs, _told(progress):
        daemon = programs.start(
            "daemon", ["up", "--config", str(layout.daemon_config)], layout.log("daemon")
        )
        for node in plan.nodes:
            config = str(layout.node_config(node.domain))
            name = f"node {node.domain}"
            programs.start(name, ["node", "--config", config], layout.log(node.domain))
        with progress:
            scene = follow(
                address,
                plan.metric,
                rounds=rounds,
                count=len(plan.nodes),
                quiet_seconds=plan.deadline_seconds,
                check=programs.check,
                show=progress.show,
            )
        ending = _story(plan, layout, address, rounds, programs, progress) if plan.story else None
        if keep:
            programs.release(daemon)
    return _Seen(scene, address, daemon if keep else None, ending)


@contextlib.contextmanager
def _told(progress: Progress) -> Generator[None]:
    """Say at once that an interrupt was heard: it takes seconds until all children have ended."""
    try:
        yield
    except KeyboardInterrupt:
        progress.say("interrupted: stopping the nodes and the daemon")
        raise


def _story(
    plan: DemoPlan,
    layout: Layout,
    address: str,
    rounds: int,
    programs: Programs,
    progress: Progress,
) -> Ending:
    """Let the data drift, and write the report at the end."""
    progress.say(f"the nodes have learned; now their data change ({len(plan.story)} times)")
    ending = tell_at(
        address,
        Teller(plan.story, quiet=max(quiet_reviews(plan), rounds)),
        quiet_seconds=plan.deadline_seconds,
        begin=lambda stage: begin_stage(plan, layout, stage),
        check=programs.check,
        show=StoryLines(progress.console).show,
    )
    layout.report.write_text(ending.html, "utf-8")
    return ending


def _show_log(error: DemoError) -> None:
    if error.log_tail:
        click.echo(f"the last lines of {error.log_path}:", err=True)
        click.echo(error.log_tail, err=True)
    sys.stderr.flush()
