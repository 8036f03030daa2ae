"""What the daemon outlives: trouble of Flower, of the disk, of its terminal."""

from __future__ import annotations

import errno
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from polyrank.client._wire import LinkError, LinkLost
from polyrank.coordinator import Coordinator, CoordinatorConfig, _daemon
from polyrank.coordinator._errors import DataDirLocked, PortBusy
from polyrank.coordinator._files import DataDirLock
from polyrank.coordinator._log import open_log
from polyrank.store import Conflict, StorageFailure, open_ledger


class Link:
    """Has the methods of SuperLink; it is alive, whether it answers or not."""

    address = "127.0.0.1:1"
    pid = 1

    def __init__(self) -> None:
        self.calls: list[str] = []

    def poll(self) -> int | None:
        return 0 if self.calls[-1:] == ["stop"] else None

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")


@pytest.fixture
def supervise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that runs drivers which fail one after the other, then end well."""

    def run(failures: list[Exception]) -> Link:
        class Session:
            run_id = 7

            def __init__(self, *_: Any, **__: Any) -> None: ...

            def __enter__(self) -> Session:
                return self

            def __exit__(self, *_: object) -> None: ...

        class Driver:
            def __init__(self, *_: Any, **__: Any) -> None: ...

            def run(self, stop: object) -> None:
                if failures:
                    raise failures.pop(0)

        monkeypatch.setattr(_daemon, "DriverSession", Session)
        monkeypatch.setattr(_daemon, "Driver", Driver)
        monkeypatch.setattr(_daemon, "_MAX_RESTART_PAUSE_SECONDS", 0.5)
        config = CoordinatorConfig.parse({"daemon": {"data_dir": str(tmp_path)}})
        coordinator, link = Coordinator(config), Link()
        with open_ledger("memory://") as ledger, open_log(tmp_path / "log.jsonl") as log:
            coordinator._epoch = ledger.take_epoch("test")
            coordinator._supervise(ledger, link, log)  # type: ignore[arg-type]
        return link

    return run


@pytest.mark.parametrize(
    "trouble",
    [
        LinkLost("the run is gone"),
        LinkError("/api was answered 500"),
        StorageFailure("registry.db", "database or disk is full"),
    ],
)
def test_the_daemon_goes_on_after_what_passes(supervise, trouble: Exception):
    failures = [trouble, trouble]
    assert supervise(failures).calls == []
    assert not failures


def test_a_superlink_that_is_alive_but_never_answers_is_replaced(supervise):
    assert supervise([LinkLost("no answer")] * 5).calls == ["stop", "start"]


def test_what_does_not_pass_ends_the_daemon(supervise):
    with pytest.raises(Conflict):
        supervise([Conflict("x", "y", "z")])


def test_a_full_disk_and_a_lost_terminal_do_not_stop_the_log(tmp_path: Path):
    class Gone:
        def write(self, text: str) -> int:
            tried.append(text)
            raise OSError(errno.EPIPE, "Broken pipe")

        def flush(self) -> None:
            raise OSError(errno.EPIPE, "Broken pipe")

    tried: list[str] = []
    with open_log(Path("/dev/full"), terminal=Gone()) as log:  # type: ignore[arg-type]
        log.info("round_opened")
    assert "round opened" in tried[0], "the terminal comes after the file that is full"


def test_who_took_over_holds_the_lock_once_the_replaced_daemon_has_ended(tmp_path: Path):
    replaced = DataDirLock(tmp_path)
    replaced.acquire()
    coordinator = Coordinator(CoordinatorConfig.parse({"daemon": {"data_dir": str(tmp_path)}}))
    thread = threading.Thread(target=coordinator._take_lock)
    thread.start()
    replaced.release()
    thread.join(10)
    with pytest.raises(DataDirLocked):
        DataDirLock(tmp_path).acquire()
    coordinator._lock.release()


def test_taking_over_works_while_the_replaced_daemon_still_has_the_registry_port(tmp_path: Path):
    with socket.socket() as held, open_ledger("memory://") as ledger:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        config = CoordinatorConfig.parse(
            {"daemon": {"data_dir": str(tmp_path)}, "registry": {"port": port}}
        )
        coordinator = Coordinator(config)
        with open_log(tmp_path / "log.jsonl") as log:
            with pytest.raises(PortBusy, match=r"registry\.port"):
                coordinator._serve(ledger, log, is_taking_over=False)
            server = coordinator._serve(ledger, log, is_taking_over=True)
        try:
            assert server.port not in (0, port)
        finally:
            server.stop()
