"""The SuperLink as a child: ports, orphans, foreign runs."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flower.federation import Federation, federation, is_alive, kill, until
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.supercore.constant import TaskType
from flwr.supercore.control.control_http_client import ControlHttpClient
from polyrank.client._wire import MESSAGE_TYPE, Parcel, WireError, WireLimits, pack
from polyrank.client._wire_bundle import BUNDLE
from polyrank.client._wire_process import free_port
from polyrank.client._wire_runtime import Acquirer, Claim, RuntimeTask, connect
from polyrank.coordinator._flower import (
    DriverSession,
    LinkLost,
    PortInUse,
    SuperLink,
    SuperLinkError,
)
from polyrank.coordinator._flower_superlink import process_start

ORPHAN = """
import sys, time
from pathlib import Path
from polyrank.coordinator._flower import SuperLink
link = SuperLink(Path(sys.argv[1]), port=int(sys.argv[2]))
link.start()
print(link.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def foreign() -> bytes:
    """An app bundle that is not polyrank's: one byte of its manifest differs."""
    sink = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(BUNDLE)) as source,
        zipfile.ZipFile(sink, "w") as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"protocol = 1", b"protocol = 9"))
    return sink.getvalue()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost", ""])
def test_a_host_that_is_not_loopback_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(SuperLinkError, match="must not listen"):
        SuperLink(tmp_path, host=host)


def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        link = SuperLink(tmp_path, port=port)
        with pytest.raises(PortInUse, match=f"port {port} ") as caught:
            link.start()
        assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)
        assert link.pid is None
        assert not link.log_path.exists()


def test_a_session_without_a_superlink_is_lost() -> None:
    with pytest.raises(LinkLost):
        DriverSession(f"127.0.0.1:{free_port()}").open()


def test_a_process_start_tells_processes_apart() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid()) != ""
    assert process_start(os.getpid()) != process_start(1)
    with subprocess.Popen(["true"]) as done:
        until(lambda: process_start(done.pid) == "", 5, "the end, as a zombie")


@pytest.mark.processes
def test_a_superlink_that_does_not_answer_in_time_is_ended(tmp_path: Path) -> None:
    link = SuperLink(tmp_path, port=free_port())
    with pytest.raises(SuperLinkError, match="within 0 s") as caught:
        link.start(timeout_seconds=0)
    assert caught.value.log_path.exists()
    assert link.pid is None


@pytest.mark.processes
def test_a_superlink_ends_with_its_killed_daemon(tmp_path: Path) -> None:
    daemon, pid = _daemon(tmp_path, free_port())
    kill(daemon.pid)
    daemon.wait()
    until(lambda: not is_alive(pid), 5, "the end of the SuperLink")


@pytest.mark.processes
def test_the_orphan_of_a_dead_daemon_is_ended_that_of_a_live_one_is_not(tmp_path: Path) -> None:
    port = free_port()
    daemon, pid = _daemon(tmp_path, port)
    link = SuperLink(tmp_path, port=port)
    with pytest.raises(SuperLinkError, match=f"another daemon .process {daemon.pid}"):
        link.start()
    os.kill(pid, signal.SIGSTOP)  # so that it cannot notice its daemon's death
    kill(daemon.pid)
    daemon.wait()
    assert is_alive(pid)
    with link:
        assert not is_alive(pid)
        assert link.pid not in (None, pid)


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with federation(tmp_path_factory.mktemp("flower"), free_port(), 1) as made:
        made.await_nodes(1)
        yield made


@pytest.mark.processes
def test_a_run_of_somebody_else_is_ended_not_executed(fed: Federation, foreign: bytes) -> None:
    theirs = _submit(fed, foreign)
    with DriverSession(fed.link.address) as session:
        assert session.run_id != theirs
    assert _acquire(fed) is None


@pytest.mark.processes
def test_a_node_refuses_a_task_of_another_bundle(fed: Federation, foreign: bytes) -> None:
    task = _serve_foreign(fed, foreign)
    metadata = Metadata(
        task.run_id, "", 1, fed.await_nodes(1).pop(), "", "", time.time(), 60.0, MESSAGE_TYPE
    )
    metadata.delivered_at = ""
    sent = task.push(make_message(metadata, content=pack(Parcel("train", b"{}", b""))))
    ((reply, _),) = until(lambda: task.pull_messages([sent]), 20, "the refusal")
    task.finish(ok=False)
    assert reply.error.code == 2
    assert reply.error.reason.startswith("foreign_bundle: ")


@pytest.mark.processes
def test_a_node_refuses_a_task_of_another_protocol(fed: Federation) -> None:
    task = fed.session._live()
    metadata = Metadata(
        task.run_id, "", 1, fed.await_nodes(1).pop(), "", "", time.time(), 60.0, MESSAGE_TYPE
    )
    metadata.delivered_at = ""
    parcel = Parcel("train", b"{}", b"", protocol=2)
    sent = task.push(make_message(metadata, content=pack(parcel)))
    ((reply, _),) = until(lambda: task.pull_messages([sent]), 20, "the refusal")
    assert "upgrade the older of the two" in reply.error.reason


@pytest.mark.processes
def test_a_run_that_ends_while_a_node_works_does_not_harm_the_node(fed: Federation) -> None:
    node_id = fed.await_nodes(1).pop()
    fed.ask(node_id, sleep=2)
    time.sleep(1)
    fed.session.close()
    fed.session = DriverSession(fed.link.address)
    fed.session.open()
    assert fed.answer(fed.ask(node_id)).node_id == node_id
    time.sleep(2)  # now the old answer was refused
    assert fed.answer(fed.ask(node_id)).node_id == node_id


def _submit(fed: Federation, bundle: bytes) -> int:
    control = connect(ControlHttpClient, fed.link.address, "cli")
    try:
        return control.StartRun(StartRunRequest(fab=Fab(hash_str="", content=bundle))).run_id
    finally:
        control.close()


def _acquire(fed: Federation) -> Claim | None:
    with closing(Acquirer(fed.link.address, TaskType.SERVER_APP)) as acquirer:
        return acquirer.acquire()


def _serve_foreign(fed: Federation, bundle: bytes) -> RuntimeTask:
    run_id = _submit(fed, bundle)
    claim = _acquire(fed)
    assert claim is not None
    task = RuntimeTask(fed.link.address, claim, WireLimits())
    with pytest.raises(WireError, match="foreign_bundle"):
        task.begin()
    assert task.run_id == run_id
    task.node_id = 1
    return task


def _daemon(directory: Path, port: int) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-c", ORPHAN, str(directory), str(port)]
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert daemon.stdout is not None
    pid = int(daemon.stdout.readline())
    daemon.stdout.close()
    return daemon, pid
