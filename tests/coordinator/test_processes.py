"""The daemon, its SuperLink and toy nodes as real processes."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path

import psutil
import pytest

from .federation import Federation

pytestmark = pytest.mark.processes

LINE = {
    "base_model": "toy",
    "rounds": 3,
    "min_nodes": 2,
    "deadline_seconds": 120,
    "training": {"steps": 3},
}


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_a_federation_runs_is_queried_and_ends_with_nothing_left_running(tmp_path: Path):
    with Federation(tmp_path, {"toy/line": LINE}) as federation:
        federation.start_daemon()
        federation.start_node("ann", "--rank", "4")
        federation.start_node("bob", "--rank", "2")
        federation.wait_event("version_evaluated", number=3, count=2)
        with federation.registry(remote=True) as registry:
            versions = registry.versions("toy/line").items
            assert [(v.number, v.rank) for v in versions] == [(3, 3), (2, 3), (1, 3), (0, 0)]
            assert registry.version("toy/line@stable").number == 3
            cards = {node.name: node.card for node in registry.nodes()}
            assert {n: (c["model_loads"], c["trainings"]) for n, c in cards.items()} == {
                "ann": (1, 3),
                "bob": (1, 3),
            }
            digests = {registry.version(f"toy/line@{n}").digest for n in range(4)}
        written = json.loads((federation.data_dir / "run" / "daemon.json").read_text())
        assert written["pid"] == federation.pid("daemon")
        assert written["epoch"] == 1
        kept = list((tmp_path / "nodes" / "ann").rglob("adapter_model.safetensors"))
        assert kept, "the node has no adapter of its own"

        # A second daemon on the same data directory is refused, in one line.
        federation.may_end.add("second")
        federation.start_daemon(name="second")
        federation.processes["second"].wait(120)
        assert federation.processes["second"].returncode == 1
        (line,) = federation.tail("second").splitlines()
        assert f"in use by process {federation.pid('daemon')}" in line

        running = children(federation.pid("daemon"))
        assert running, "there should be a SuperLink"
        federation.kill("daemon", signal.SIGTERM)
        assert federation.processes["daemon"].returncode == 0
        assert not psutil.wait_procs(running, timeout=10)[1], "left running"
        assert not (federation.data_dir / "run" / "daemon.json").exists()
        with federation.registry() as registry:
            assert {v.digest for v in registry.versions("toy/line").items} == digests


@pytest.mark.soak  # the crash matrix has a cell of it in `make test`
def test_a_paused_daemon_is_replaced_and_changes_nothing_when_it_wakes_up(tmp_path: Path):
    with Federation(tmp_path, {"toy/line": LINE}) as federation:
        federation.may_end.add("daemon")
        federation.start_daemon(pause_at="commit_started:2")
        federation.start_node("ann", "--rank", "4")
        federation.start_node("bob", "--rank", "2")
        federation.wait_event("commit_started", count=2)
        federation.wait(lambda: federation.is_stopped("daemon"), "pause")
        federation.start_daemon("--take-over", name="new")
        federation.wait_event("version_committed", number=2)
        superlink = federation.superlink_pid()
        federation.kill("daemon", signal.SIGCONT)
        assert federation.processes["daemon"].wait(60) == 3
        assert "a newer daemon (epoch 2) has taken over" in federation.tail("daemon")
        federation.wait_event("version_evaluated", number=3, count=2)
        assert federation.superlink_pid() == superlink
        assert psutil.pid_exists(superlink)
        assert len(federation.events("version_committed", number=2)) == 1
        with federation.registry() as registry:
            counted = [c.counted_in for c in registry.contributions("toy/line")]
            assert sorted(counted) == [1, 1, 2, 2, 3, 3]
            assert {node.card["trainings"] for node in registry.nodes()} == {3}


def test_a_port_in_use_is_one_clear_line(tmp_path: Path):
    import socket

    with Federation(tmp_path, {}) as federation, socket.socket() as holder:
        holder.bind(("127.0.0.1", federation.port))
        holder.listen()
        federation.may_end.add("daemon")
        federation.start_daemon()
        assert federation.processes["daemon"].wait(120) == 1
        line = federation.tail("daemon", 1)
        assert line.startswith(f"error: port {federation.port} on 127.0.0.1 is in use")
        assert "superlink.port" in line


PAYLOAD_DIM, PAYLOAD_RANK = 32768, 64  # two layers of (32768 + 32768) x 64 float32: 33.6 MB
MIB = 2**20


def peak_bytes(pid: int) -> int:
    """Sum of the largest resident sizes so far of the daemon and its children (the SuperLink).

    The kernel keeps them, so nothing is missed between two looks, however busy the machine is.
    """
    total = 0
    for process in [psutil.Process(pid), *children(pid)]:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            total += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return total


def test_daemon_and_superlink_together_hold_one_large_update_however_many_nodes(tmp_path: Path):
    """Four nodes answer with 34 MB each; the budget lets one task be out at a time.

    The first answer shows what one takes in both processes, Flower's buffers included. Three more
    must take no more than that: whoever kept them would need three payloads on top.
    """
    payload = 2 * (PAYLOAD_DIM * 2) * PAYLOAD_RANK * 4
    line = {**LINE, "rounds": 1, "min_nodes": 4, "evaluate_every": 0, "deadline_seconds": 600}
    limits = {"max_inflight_bytes": payload + payload // 2}
    options = ("--rank", str(PAYLOAD_RANK), "--dim", str(PAYLOAD_DIM), "--rows", "4")
    with Federation(tmp_path, {"toy/line": line}, limits=limits) as federation:
        federation.start_daemon()
        for name in ("ann", "bob", "cyd", "dan"):
            federation.start_node(name, *options)
        federation.wait_event("round_planned")
        peaks = [0] * 5
        daemon = federation.pid("daemon")

        def all_in() -> bool:
            taken = len(federation.events("reply_accepted"))
            peaks[taken] = max(peaks[taken], peak_bytes(daemon))
            return taken == 4

        federation.wait(all_in, "four large replies", 280)
        sent, replies = federation.events("task_sent"), federation.events("reply_accepted")
        assert min(event["size_bytes"] for event in replies) > 0.95 * payload
        order = sorted([*sent, *replies], key=lambda event: event["timestamp"])
        assert [event["event"] for event in order] == ["task_sent", "reply_accepted"] * 4
        more = (max(peaks[1:]) - peaks[0]) / payload
        assert more < 2.5, f"{[peak // MIB for peak in peaks]} MiB: {more:.1f} payloads more"
