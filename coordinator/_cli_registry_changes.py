"""`polyrank registry` commands that change an alias, write a version to files, or prune."""

# pyright: reportUnknownMemberType=false
# (typer's Option and Argument mention a generic click type without its argument)

from __future__ import annotations

import importlib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._cli_connect import AdapterName, JsonOption, Ref, UrlOption, open_registry
from ._cli_output import print_json, print_line, print_table, short, size
from ._cli_registry_records import AliasName

if TYPE_CHECKING:
    from ..store import Alias

Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]


class Format(StrEnum):
    """What an export writes."""

    PEFT = "peft"
    SAFETENSORS = "safetensors"


class TaskType(StrEnum):
    """PEFT's name for what the model does."""

    SEQ_CLS = "SEQ_CLS"
    CAUSAL_LM = "CAUSAL_LM"


def add_changes(app: typer.Typer) -> None:
    """Add these commands to `polyrank registry`."""
    app.command("set-alias")(set_alias)
    app.command("promote", help="The same as set-alias.")(set_alias)
    app.command()(rollback)
    app.command()(export)
    app.command()(prune)


def set_alias(
    adapter: AdapterName,
    alias: AliasName,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=0, help="Of a version.")],
    expect: Annotated[
        str | None,
        typer.Option(metavar="NUMBER|none", help="Only if the alias names this now."),
    ] = None,
    reason: Reason = "",
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an alias name a version (promote it)."""
    if expect is not None and expect != "none" and not expect.isdecimal():
        raise typer.BadParameter(f"{expect!r} is neither a version's number nor 'none'")
    with open_registry(url) as source:
        if expect is None:
            found = source.set_alias(adapter, alias, number, reason=reason)
        else:
            now = None if expect == "none" else int(expect)
            found = source.set_alias(adapter, alias, number, expect=now, reason=reason)
    _print_alias(found, as_json=as_json)


def rollback(
    adapter: AdapterName,
    alias: AliasName,
    reason: Reason = "",
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Undo an alias's last change."""
    with open_registry(url) as source:
        found = source.rollback(adapter, alias, reason=reason)
    _print_alias(found, as_json=as_json)


def export(
    ref: Ref,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Created if need be.")],
    format: Annotated[
        Format, typer.Option("--format", help="peft: as PEFT loads it.")
    ] = Format.PEFT,
    task_type: Annotated[
        TaskType | None, typer.Option(help="For PEFT: written to its configuration.")
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a version to a folder, for PEFT or as the registry's own safetensors file."""
    # torch is loaded for PEFT alone, and only here.
    module = importlib.import_module("._cli_export", __package__)
    with open_registry(url) as source:
        version = source.version(ref)
        if format is Format.PEFT:
            path = module.export_peft(source, version, directory, task_type=task_type)
        else:
            path = module.export_safetensors(source, version, directory)
    if as_json:
        print_json(export={"path": path, "format": format.value, "version": version})
    else:
        print_line(version.ref, short(version.digest), size(version.size_bytes), "->", str(path))


def prune(
    adapter: Annotated[
        str | None, typer.Option(help="Only this line; by default all, and what nothing names.")
    ] = None,
    keep_versions: Annotated[
        int | None,
        typer.Option(min=2, help="First retire the versions beyond so many newest of each line."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    blobs: Annotated[
        Path | None,
        typer.Option(help="The blob folder, if it is not beside the database: [registry] blobs."),
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Free the disk of retired versions' bytes that nothing needs; every record stays.

    Kept are versions that an alias or a pin names or would go back to next, that a decision made or
    speaks of, and their parents: a rollback and undo go on working. Works on the database itself
    (--registry sqlite:///…), also while the daemon runs. Never prune a copy of a database beside
    the original: they share the bytes.
    """
    with open_registry(url, blobs=blobs) as source:
        found = source.prune(adapter=adapter, keep_versions=keep_versions, dry_run=dry_run)
    if as_json:
        print_json(pruned=found)
        return
    rows = [[ref, "retired" if ref in found.retired else "was retired",
             "its bytes go" if ref in found.collected else "its bytes stay: they are needed"]
            for ref in (*found.collected, *(r for r in found.retired if r not in found.collected))
            ]  # fmt: skip
    print_table(["version", "record", "bytes"], rows, empty="no version to let go of")
    said = "would be freed" if dry_run else "freed"
    print_line(f"{size(found.size_bytes)} {said}; {found.unnamed} blobs that nothing names")


def _print_alias(alias: Alias, *, as_json: bool) -> None:
    if as_json:
        print_json(alias=alias)
    else:
        print_line(f"{alias.adapter}@{alias.alias}", "->", f"{alias.adapter}@{alias.number}")
