"""The demo's children: a failure shows its log, and nothing is left running."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from polyrank.coordinator._demo_processes import (
    DemoError,
    Program,
    Programs,
    child_environment,
    free_ports,
    interruptible,
)


def _started(programs: Programs, name: str, code: str, log: Path) -> Program:
    """Start Python code in place of `polyrank`, and wait until it has said that it runs."""
    programs.command = (sys.executable, "-u", "-c")
    program = programs.start(name, [code], log)
    _until(lambda: "running" in log.read_text() or program.exit_code is not None)
    return program


def _until(holds) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


SLEEP = "import time; print('running'); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEP
PARENT = (
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print('child', child.pid); print('running'); time.sleep(60)"
)


def test_a_child_that_ends_by_itself_is_reported_with_the_end_of_its_log(tmp_path: Path):
    log = tmp_path / "log" / "tweets.log"
    code = "print('running'); print('error: no such model'); raise SystemExit(3)"
    with Programs({}) as programs:
        program = _started(programs, "node tweets", code, log)
        program.process.wait(20)
        with pytest.raises(DemoError, match="the node tweets ended with exit code 3") as caught:
            programs.check()
    assert caught.value.log_path == log
    assert caught.value.log_tail.endswith("error: no such model")


def test_children_that_run_are_no_failure(tmp_path: Path):
    with Programs({}) as programs:
        _started(programs, "daemon", SLEEP, tmp_path / "daemon.log")
        programs.check()


def test_nothing_is_left_running_when_the_demo_ends(tmp_path: Path):
    with Programs({}) as programs:
        started = [
            _started(programs, f"node {n}", SLEEP, tmp_path / f"{n}.log").process for n in range(3)
        ]
    assert all(process.poll() == -signal.SIGTERM for process in started)


def test_nothing_is_left_running_when_the_demo_is_interrupted(tmp_path: Path):
    programs = Programs({})
    process = _started(programs, "daemon", SLEEP, tmp_path / "daemon.log").process
    with pytest.raises(KeyboardInterrupt), programs:
        raise KeyboardInterrupt
    assert process.poll() is not None


def test_a_child_that_does_not_listen_is_made_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("polyrank.coordinator._demo_processes.STOP_GRACE_SECONDS", 0.3)
    with Programs({}) as programs:
        process = _started(programs, "daemon", STUBBORN, tmp_path / "daemon.log").process
    assert process.poll() == -signal.SIGKILL


def test_what_a_child_started_ends_with_it(tmp_path: Path):
    log = tmp_path / "daemon.log"
    with Programs({}) as programs:
        _started(programs, "daemon", PARENT, log)
        grandchild = int(log.read_text().split()[1])
        assert _alive(grandchild)
    _until(lambda: not _alive(grandchild))


def test_a_released_child_lives_on(tmp_path: Path):
    with Programs({}) as programs:
        kept = _started(programs, "daemon", SLEEP, tmp_path / "daemon.log")
        programs.release(kept)
    try:
        assert kept.exit_code is None
    finally:
        kept.signal(signal.SIGKILL)
        kept.process.wait()


def test_a_child_is_polyrank_itself_with_the_given_arguments(tmp_path: Path):
    log = tmp_path / "daemon.log"
    with Programs(child_environment(4)) as programs:
        program = programs.start("daemon", ["up", "--config", str(tmp_path / "no.toml")], log)
        assert program.process.wait(60) == 2
    assert "no.toml: cannot be read" in log.read_text()


@pytest.mark.parametrize(("cores", "threads"), [(2, "1"), (4, "1"), (16, "4")])
def test_children_share_the_cores_and_stay_off_the_network(cores: int, threads: str):
    found = child_environment(4, cores)
    assert found["OMP_NUM_THREADS"] == threads
    assert found["HF_HUB_OFFLINE"] == "1"
    assert found["FLWR_TELEMETRY_ENABLED"] == "0"


def test_two_different_ports_are_found():
    ports = free_ports()
    assert ports.superlink != ports.registry


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_demo_as_ctrl_c_does(number: signal.Signals):
    before = signal.getsignal(number)

    def serve() -> None:
        with interruptible():
            os.kill(os.getpid(), number)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        serve()
    assert signal.getsignal(number) is before


def test_a_broken_demo_shows_the_log_of_what_failed(tmp_path: Path, minilm_dir: Path):
    """The real command: a daemon that cannot start, since its port is refused to everybody."""
    code = (
        "import sys\n"
        "from polyrank.coordinator import _cli_demo, _cli\n"
        "from polyrank.coordinator._demo_plan import Ports\n"
        "_cli_demo.free_ports = lambda: Ports(superlink=70000, registry=19093)\n"
        f"_cli.main(['demo', '--data-dir', {str(tmp_path / 'demo')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "daemon.toml: superlink.port" in done.stderr
    assert "error: the daemon ended with exit code 2" in done.stderr
    assert "Traceback" not in done.stderr
