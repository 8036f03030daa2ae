"""The SuperNode's loop as the launcher changes it, and the log file of a child."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flower.federation import until
from polyrank.client import _flower_launch as launch
from polyrank.client._flower_launch import Loop


class State:
    """What the loop reads of the SuperNode's state."""

    def __init__(self) -> None:
        self.lock_msg_store = threading.RLock()
        self.msg_store: dict[str, Any] = {}

    def put(self, key: str, *, reply_to: str, is_retrieved: bool = False) -> None:
        metadata = SimpleNamespace(reply_to_message_id=reply_to)
        self.msg_store[key] = SimpleNamespace(
            message=SimpleNamespace(metadata=metadata), is_retrieved=is_retrieved
        )


class World:
    """A loop with recording functions beneath it."""

    def __init__(self) -> None:
        self.state = State()
        self.arriving: list[int] = []
        self.pushes = 0
        self.loop = Loop(self._pull, self._push)

    def _pull(self, **_: Any) -> int | None:
        return self.arriving.pop() if self.arriving else None

    def _push(self, **_: Any) -> None:
        self.pushes += 1

    def pull(self) -> int | None:
        return self.loop.pull(state=self.state)

    def push(self) -> None:
        self.loop.push(state=self.state)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only sleeping moves."""
    naps: list[float] = []
    monkeypatch.setattr(
        launch, "time", SimpleNamespace(sleep=naps.append, monotonic=lambda: sum(naps))
    )
    return naps


def test_a_message_without_an_answer_does_not_hold_the_loop(world: World) -> None:
    world.arriving = [7]
    assert world.pull() == 7
    world.state.put("task", reply_to="")
    world.push()
    assert world.pushes == 0


def test_an_answer_is_pushed_though_no_message_came(world: World) -> None:
    world.state.put("answer", reply_to="task")
    assert world.pull() is not None
    world.push()
    assert world.pushes == 1


def test_an_answer_that_is_being_pushed_is_not_pushed_again(world: World) -> None:
    world.state.put("answer", reply_to="task", is_retrieved=True)
    assert world.pull() is None
    world.push()
    assert world.pushes == 0


def test_the_loop_asks_often_after_work_and_seldom_when_idle(slept: list[float]) -> None:
    world = World()
    world.pull()
    world.loop.sleep(3)
    assert sum(slept) == pytest.approx(launch.BUSY_POLL_SECONDS, abs=launch.LOCAL_POLL_SECONDS)
    slept.append(launch.EASE * launch.IDLE_POLL_SECONDS)
    before = sum(slept)
    world.loop.sleep(3)
    assert sum(slept) - before == pytest.approx(1.0, abs=2 * launch.LOCAL_POLL_SECONDS)
    world.arriving = [1]
    world.pull()
    before = sum(slept)
    world.loop.sleep(3)
    assert sum(slept) - before < 0.3


def test_an_answer_ends_the_sleep(slept: list[float]) -> None:
    world = World()
    world.pull()
    world.state.put("answer", reply_to="task")
    world.loop.sleep(3)
    assert slept == []


def test_waiting_for_chunks_is_short(slept: list[float]) -> None:
    World().loop.sleep(0.5)
    assert slept == [launch.LOCAL_POLL_SECONDS]


def test_a_log_that_grew_too_large_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "superlink.log"
    log.write_bytes(b"x" * 101)
    monkeypatch.setenv("POLYRANK_LOG_FILE", str(log))
    monkeypatch.setattr(launch, "MAX_LOG_BYTES", 101)
    launch._trim_log()
    assert log.stat().st_size == 101
    monkeypatch.setattr(launch, "MAX_LOG_BYTES", 100)
    launch._trim_log()
    assert log.stat().st_size == 0
    assert (tmp_path / "superlink.log.1").stat().st_size == 101
    until(lambda: "superlink.log.1" in capsys.readouterr().out, 1, "a word about it")


def test_a_full_disk_does_not_end_the_thread_that_watches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "superlink.log"
    log.write_bytes(b"x" * 101)
    (tmp_path / "superlink.log.1").mkdir()  # the copy fails, as it does without room
    monkeypatch.setenv("POLYRANK_LOG_FILE", str(log))
    monkeypatch.setattr(launch, "MAX_LOG_BYTES", 100)
    launch._trim_log()
    assert log.stat().st_size == 0
    log.unlink()
    launch._trim_log()
