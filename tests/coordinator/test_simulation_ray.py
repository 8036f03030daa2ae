"""The nodes of a simulation in Flower's Ray actors: the same bytes, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

# half a minute with Ray's own start: the engine's other tests are in `make test`
pytestmark = [pytest.mark.processes, pytest.mark.soak]

TESTS = Path(__file__).parents[1]
MARK = "POLYRANK_TEST_RAY"


@dataclass
class Told:
    """What the script has printed, and what was seen from outside.

    Attributes:
        said: its JSON objects, merged.
        listening: the addresses at which its processes listened while it worked.
        left: names of processes that were there after its end.
        files: what it left in its temporary folder.
    """

    said: dict[str, Any]
    listening: set[str]
    left: list[str]
    files: list[str]
    code: int
    err: str


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    pytest.importorskip("ray", reason="needs polyrank[ray]")
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")  # a short one: sockets are made in it
    mark = f"{os.getpid()}-{folder}"
    log = tmp_path_factory.mktemp("ray") / "err"
    with log.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "coordinator.ray_script"],
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            cwd=TESTS,
            start_new_session=True,
            env={
                **os.environ,
                MARK: mark,
                "TMPDIR": folder,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
            },
        )
        try:
            yield watched(process, mark, Path(folder), log)
        finally:
            for each in marked(mark):
                each.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
            shutil.rmtree(folder, ignore_errors=True)


def watched(process: subprocess.Popen[str], mark: str, folder: Path, log: Path) -> Told:
    """Read what a script says; press Ctrl-C when its last simulation trains."""
    said: dict[str, Any] = {}
    listening: set[str] = set()
    assert process.stdout is not None
    for line in process.stdout:
        said |= json.loads(line) if line.startswith("{") else {}  # Ray says something now and then
        if said.get("answers") == 4 and not listening:  # all have introduced themselves
            listening = addresses(mark)
            os.killpg(process.pid, signal.SIGINT)
    process.stdout.close()
    code = process.wait(timeout=60)
    _, left = psutil.wait_procs(marked(mark), timeout=10)
    names = [" ".join(each.cmdline()) for each in left]
    return Told(said, listening, names, [p.name for p in folder.iterdir()], code, log.read_text())


def marked(mark: str) -> list[psutil.Process]:
    """Return the processes that were started by a script, in whatever way."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


def addresses(mark: str) -> set[str]:
    """Return where the processes of a script listen."""
    found: set[str] = set()
    for process in marked(mark):
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:
            continue
        found |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    return found


def test_versions_decisions_and_contributions_are_those_of_one_process(told: Told) -> None:
    assert told.code == 0, told.err
    here, there = told.said["here"], told.said["there"]
    assert {name: there[name] for name in here} == here
    assert len(here["decisions"]) > 1
    assert "expand_adapter" in here["kinds"], "nothing of interest happened"
    assert any("no such column" in c[3] for c in here["line: contributions"])


def test_the_same_seeds_give_the_same_twice(told: Told) -> None:
    there, again = told.said["there"], told.said["again"]
    assert {name: again[name] for name in told.said["here"]} == {
        name: there[name] for name in told.said["here"]
    }


def test_nodes_live_in_other_processes_and_keep_their_data_there(told: Told) -> None:
    assert told.said["there"]["is_elsewhere"]
    assert told.said["there"]["windows"]["ann"] > 5


def test_what_cannot_be_done_is_told_in_one_line(told: Told) -> None:
    refused = told.said["there"]["refusals"]
    wanted = [
        "EngineError: node 'ann' lives in a Ray actor now",
        "EngineError: node 'ann' lives in a Ray actor now",
        "EngineError: node 'gus' cannot be sent to a Ray actor: node 'gus' has worked in this",
        "EngineError: node 'hal' cannot be sent to a Ray actor: cannot pickle",
        "AttributeError: 'Drawing' object has no attribute 'no_such_thing'",
        "EngineError: the function cannot be sent to a Ray actor: cannot pickle",
        "EngineError: the Ray actor of ann, ",
    ]
    for said, words in zip(refused, wanted, strict=True):
        assert said.startswith(words)
        assert "\n" not in said


def test_ray_listens_on_the_loopback_interface_alone(told: Told) -> None:
    assert told.listening
    assert told.listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_ctrl_c_in_a_training_ends_ray_and_leaves_nothing_behind(told: Told) -> None:
    assert told.said["stopped"]
    assert told.said["as_before"]
    assert told.left == []
    assert told.files == []
