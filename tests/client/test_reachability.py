"""The lines that say whether the server can be reached."""

import socket
import threading

import pytest
from polyrank.client import _reachability
from polyrank.client._reachability import Reachability, probe
from polyrank.client._wire_process import free_port
from structlog.testing import capture_logs

from .federation import until


def test_a_probe_says_why_nobody_can_be_reached():
    assert probe(f"127.0.0.1:{free_port()}") == "Connection refused"
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert probe(f"127.0.0.1:{server.getsockname()[1]}") is None


def test_each_change_is_one_line_that_names_the_server(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_reachability, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(_reachability, "CHECK_SECONDS", 0.05)
    address, stopping = f"127.0.0.1:{free_port()}", threading.Event()
    with capture_logs() as logs:
        Reachability(address, tmp_path / "supernode.log", stopping).start()
        until(lambda: logs, 10, "the warning")
        with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
            until(lambda: len(logs) == 2, 10, "the good news")
        until(lambda: len(logs) == 3, 10, "the second warning")
        stopping.set()
    events = [log["event"] for log in logs]
    assert events == ["server_unreachable", "server_reached", "server_unreachable"]
    assert {log["server"] for log in logs} == {address}
    assert (logs[0]["reason"], logs[0]["flower_log"]) == (
        "Connection refused",
        str(tmp_path / "supernode.log"),
    )
