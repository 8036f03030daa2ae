"""`polyrank up`: run the daemon until it is told to stop."""

# pyright: reportUnknownMemberType=false
# (typer's Option is declared with unknown type arguments)

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from ..client._wire_memory import keep_buffers
from ._config import CoordinatorConfig, read_settings
from ._errors import CoordinatorError

_NO_LINES = (
    "no adapter line is configured: nodes are greeted and the registry answers; add an "
    '[adapters."NAME"] section to a TOML file to run rounds'
)


def up(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="TOML file; without it: SQLite in the data directory."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Data directory, instead of daemon.data_dir.")
    ] = None,
    superlink_port: Annotated[
        int | None, typer.Option(help="Instead of superlink.port; 0 takes a free one.")
    ] = None,
    registry_port: Annotated[
        int | None, typer.Option(help="Instead of registry.port; 0 takes a free one.")
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Replace a daemon that is stuck or paused.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only check the configuration, start nothing.")
    ] = False,
) -> None:
    """Run the coordinator daemon: SuperLink, rounds and registry. Ctrl-C or SIGTERM ends it."""
    try:
        settings = read_settings(
            config,
            data_dir=data_dir,
            superlink_port=superlink_port,
            registry_port=registry_port,
        )
        if check:
            typer.echo(f"{config or 'built-in configuration'}: fine")
        else:
            _run(settings, take_over=take_over)
    except CoordinatorError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


def _run(settings: CoordinatorConfig, *, take_over: bool) -> None:
    """Run until a signal, or until the driver fails; then raise what it failed with."""
    told = threading.Event()

    def tell(_number: int, _frame: FrameType | None) -> None:
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    keep_buffers()
    from ._daemon import Coordinator  # torch and Flower: a wrong configuration is told without them

    coordinator = Coordinator(settings, take_over=take_over, terminal=sys.stderr)
    coordinator.start()
    if not settings.adapters:
        typer.echo(_NO_LINES, err=True)
    while not told.wait(0.2) and not coordinator.wait(0):
        pass
    coordinator.stop()
