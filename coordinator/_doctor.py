"""The checks of `polyrank doctor`: each looks at one thing and says what to do about it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

PYTHON_MIN = (3, 11)
LOW_SPACE_BYTES = 1 << 30
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?(?P<pins>[^;]*)(;.*extra\s*==\s*['\"](?P<extra>[\w-]+))?"
)
_PIN = re.compile(r"(==|>=|<=|!=|<|>)\s*([0-9][0-9.]*)")
# Without these no federation runs; the other extras are for who develops or for one backend.
_RUNTIME_EXTRAS = ("aggregation", "client", "coordinator")


@dataclass(frozen=True)
class Finding:
    """One line of the report: `status` is ok, warn or fail; `todo` is empty when ok."""

    status: Literal["ok", "warn", "fail"]
    check: str
    found: str
    todo: str = ""


def check_python() -> Finding:
    """Compare the running Python with the oldest that polyrank supports."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= PYTHON_MIN:
        return Finding("ok", "python", found)
    least = ".".join(map(str, PYTHON_MIN))
    return Finding("fail", "python", found, f"install Python {least} or newer")


def check_libraries(
    requirements: list[str] | None = None, installed: Callable[[str], str] = version
) -> list[Finding]:
    """Compare installed libraries with the pins in polyrank's own metadata.

    A missing or wrong library of the base installation fails; one that only `up` or `node` needs
    is a warning when missing.
    """
    lines = requirements if requirements is not None else (requires("polyrank") or [])
    findings: dict[str, Finding] = {}
    for line in lines:
        match = _REQUIREMENT.match(line)
        if match is None or match["name"] == "polyrank":
            continue
        extra = match["extra"]
        if extra is None or extra in _RUNTIME_EXTRAS:
            finding = _library(match["name"], match["pins"], extra, installed)
            findings.setdefault(match["name"], finding)
    bad = [finding for finding in findings.values() if finding.status != "ok"]
    good = len(findings) - len(bad)
    return [Finding("ok", "libraries", f"{good} as required"), *bad]


def _library(name: str, pins: str, extra: str | None, installed: Callable[[str], str]) -> Finding:
    needed = f"'{name}{pins.strip().strip('()')}'"
    try:
        found = installed(name)
    except PackageNotFoundError:
        if extra is None:
            return Finding("fail", name, "not installed", f"pip install {needed}")
        return Finding("warn", name, "not installed", f"pip install 'polyrank[{extra}]'")
    if all(_meets(found, operator, pin) for operator, pin in _PIN.findall(pins)):
        return Finding("ok", name, f"{name} {found}")
    return Finding("fail", name, found, f"pip install {needed}")


def _meets(found: str, operator: str, pin: str) -> bool:
    one, other = _release(found), _release(pin)
    width = max(len(one), len(other))
    one, other = one + (0,) * (width - len(one)), other + (0,) * (width - len(other))
    compared = (one > other) - (one < other)
    return {"==": compared == 0, "!=": compared != 0, ">=": compared >= 0, "<=": compared <= 0,
            ">": compared > 0, "<": compared < 0}[operator]  # fmt: skip


def _release(text: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else (0,)


def check_data_dir(folder: Path) -> list[Finding]:
    """Write, fsync and remove a file where the data are (or will be), and look at free space.

    Nothing is created that stays: a missing folder is judged by the nearest one that exists.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    choose = "choose another with --data-dir, or [daemon] data_dir in the configuration"
    if not place.is_dir():
        return [Finding("fail", "data directory", f"{place} is not a folder", choose)]
    try:
        _write_durably(place)
    except OSError as error:
        return [Finding("fail", "data directory", f"{place}: {error.strerror}", choose)]
    found = str(folder) if place == folder else f"{folder} (will be created)"
    free = shutil.disk_usage(place).free
    if free < LOW_SPACE_BYTES:
        note = f"{found}: {free >> 20} MiB free"
        return [Finding("warn", "data directory", note, "free some space: blobs are kept here")]
    return [Finding("ok", "data directory", f"{found}, {free >> 30} GiB free")]


def _write_durably(place: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=place, prefix=".polyrank-doctor-") as probe:
        probe.write(b"x")
        probe.flush()
        os.fsync(probe.fileno())
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_port(port: int, *, key: str, host: str = "127.0.0.1") -> Finding:
    """See whether a port can be had on loopback; `key` is the setting that chooses it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            todo = f"stop the process that holds it, or set {key} in the configuration"
            return Finding("fail", f"port {port}", f"{host}: {error.strerror}", todo)
    return Finding("ok", f"port {port}", "free")
