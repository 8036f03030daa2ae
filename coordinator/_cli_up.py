"""`polyrank up`: run the daemon until it is told to stop."""

# pyright: reportUnknownMemberType=false
# (typer's Option is declared with unknown type arguments)

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from ._config import CoordinatorConfig
from ._errors import CoordinatorError


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
    settings = load(config, data_dir=data_dir, superlink_port=superlink_port,
                    registry_port=registry_port)  # fmt: skip
    if check:
        typer.echo(f"{config or 'built-in configuration'}: fine")
        return
    sys.exit(_run(settings, take_over=take_over))


def load(
    config: Path | None,
    *,
    data_dir: Path | None = None,
    superlink_port: int | None = None,
    registry_port: int | None = None,
) -> CoordinatorConfig:
    """Read the file, or take the built-in default, and put the command line's values over it."""
    settings = CoordinatorConfig() if config is None else CoordinatorConfig.load(config)
    values: dict[str, Any] = settings.model_dump()
    for section, key, value in (
        ("daemon", "data_dir", data_dir),
        ("superlink", "port", superlink_port),
        ("registry", "port", registry_port),
    ):
        if value is not None:
            values[section][key] = value
    return CoordinatorConfig.parse(values, source="command line")


def _run(settings: CoordinatorConfig, *, take_over: bool) -> int:
    """Run until a signal or a failure; return the exit code."""
    told = threading.Event()

    def tell(_number: int, _frame: FrameType | None) -> None:
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    from ._daemon import Coordinator  # torch and Flower: a wrong configuration is told without them

    coordinator = Coordinator(settings, take_over=take_over, terminal=sys.stderr)
    coordinator.start()
    if not settings.adapters:
        typer.echo("no adapter lines are configured: nodes are greeted and the registry answers; "
                   'add [adapters."NAME"] to a TOML file to run rounds', err=True)  # fmt: skip
    while not told.wait(0.2) and not coordinator.wait(0):
        pass
    try:
        coordinator.stop()
    except CoordinatorError as error:
        typer.echo(f"error: {error}", err=True)
        return error.exit_code
    return 0
