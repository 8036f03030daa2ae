"""`polyrank doctor`: check what polyrank needs, and say what to do about what is wrong."""

from __future__ import annotations

from pathlib import Path

import click
import typer
from rich.text import Text

from ._cli_connect import DataDirOption, JsonOption, UrlOption, open_registry
from ._cli_output import print_json, print_table
from ._doctor import Finding, check_data_dir, check_libraries, check_port, check_python
from ._paths import (
    DEFAULT_REGISTRY_PORT,
    default_data_dir,
    default_registry_url,
    read_daemon,
)

SUPERLINK_PORT = 9092
_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    data_dir: DataDirOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Check this machine and the registry; exit code 1 if something is wrong."""
    folder = data_dir or default_data_dir()
    findings = [
        check_python(),
        *check_libraries(),
        *check_data_dir(folder),
        *_ports(folder),
        *_registry(folder, data_dir, url),
    ]
    if as_json:
        print_json(checks=findings, ok=not _failed(findings))
    else:
        print_table(
            ["", "check", "found", "what to do"],
            ([Text(f.status, style=_STYLES[f.status]), f.check, f.found, f.todo] for f in findings),
        )
    if _failed(findings):
        raise typer.Exit(1)


def _failed(findings: list[Finding]) -> bool:
    return any(finding.status == "fail" for finding in findings)


def _ports(folder: Path) -> list[Finding]:
    daemon = read_daemon(folder)
    if daemon is not None and daemon.is_running:
        held = f"held by this data directory's daemon (process {daemon.pid})"
        return [Finding("ok", "ports", held)]
    return [
        check_port(SUPERLINK_PORT, key="[superlink] port"),
        check_port(DEFAULT_REGISTRY_PORT, key="[registry] port"),
    ]


def _registry(folder: Path, data_dir: Path | None, url: str | None) -> list[Finding]:
    """Ask the registry who it is; without a running daemon look at its database file."""
    from ..store import StoreError

    daemon = read_daemon(folder)
    expected = url is not None or (daemon is not None and daemon.is_running)
    where = url or default_registry_url(data_dir)
    try:
        with open_registry(where) as registry:
            info = registry.info()
    except (StoreError, click.ClickException) as error:
        if expected:
            return [Finding("fail", "registry", where, str(error))]
        missing = Finding("warn", "registry", f"none at {where}", "start it: polyrank up")
        return [missing, *_database(folder / "registry.db")]
    found = f"{where} ({info.backend}, schema {info.schema_revision})"
    return [Finding("ok", "registry", found)]


def _database(path: Path) -> list[Finding]:
    if not path.is_file():
        return []
    from ..store import StoreError
    from ..store._schema import schema_of

    try:
        state = schema_of(path)
    except StoreError as error:
        todo = "move the file away, or restore it from a backup"
        return [Finding("fail", "schema", str(error), todo)]
    if state.found == state.newest:
        return [Finding("ok", "schema", f"{path}: {state.found}")]
    if state.found in state.known:
        todo = "nothing: polyrank up migrates it; make a backup first"
        return [Finding("warn", "schema", f"{path}: {state.found}, older", todo)]
    todo = f"upgrade polyrank (it knows {state.newest}), or restore an older backup"
    return [Finding("fail", "schema", f"{path}: {state.found or 'not a registry'}", todo)]
