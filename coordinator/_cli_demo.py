"""`polyrank demo`: a whole federation on this machine, with real processes and real data."""

# pyright: reportUnknownMemberType=false
# (typer's Option is declared with unknown type arguments)

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import click
import typer

from ._cli_output import print_json
from ._demo_plan import PLANS, DemoPlan, Layout
from ._demo_prepare import choose_folder, prepare
from ._demo_processes import (
    DemoError,
    Program,
    Programs,
    child_environment,
    free_ports,
    interruptible,
)
from ._demo_report import Progress, print_result, result
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Run a daemon and a few nodes with unequal ranks and data; show what they learn together."""
    plan = PLANS[base]
    wanted = rounds or plan.rounds
    layout = choose_folder(data_dir, datetime.now().strftime("%Y%m%d-%H%M%S"))
    progress = Progress(plan, wanted)
    with interruptible():
        try:
            scene, address, daemon = _run(plan, layout, wanted, progress, keep=keep)
        except DemoError as error:
            _show_log(error)
            raise
    registry = address if daemon is not None else layout.database
    pid = daemon.process.pid if daemon is not None else None
    outcome = result(plan, scene, layout, registry, pid)
    if as_json:
        print_json(demo=outcome)
    else:
        print_result(plan, scene, outcome)


def _run(
    plan: DemoPlan, layout: Layout, rounds: int, progress: Progress, *, keep: bool
) -> tuple[Scene, str, Program | None]:
    """Prepare, start, follow, stop; returns what was seen and the daemon, if it was kept."""
    ports = free_ports()
    prepare(plan, layout, ports, rounds, progress.say)
    address = f"grpc://127.0.0.1:{ports.registry}"
    progress.say(f"starting the daemon and {len(plan.nodes)} nodes; everything is in {layout.root}")
    with Programs(child_environment(len(plan.nodes))) as programs:
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
        if keep:
            programs.release(daemon)
    return scene, address, daemon if keep else None


def _show_log(error: DemoError) -> None:
    if error.log_tail:
        click.echo(f"the last lines of {error.log_path}:", err=True)
        click.echo(error.log_tail, err=True)
    sys.stderr.flush()
