"""`polyrank demo` as a user runs it: real processes, model and texts (minutes: soak only)."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.soak, pytest.mark.processes, pytest.mark.timeout(1500)]

DEMO = [sys.executable, "-m", "polyrank.coordinator._cli", "demo"]
CHECK = Path(__file__).parents[2] / "benchmarks" / "demo_exactness.py"


def _processes_naming(folder: Path) -> list[str]:
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except (OSError, ValueError):
            continue
        if str(folder) in line and entry.name != str(os.getpid()):
            found.append(line)
    return found


STORY = ["pin", "expand_adapter", "merge", "expand_adapter", "reroute"]


def test_the_default_demo_learns_tells_its_story_in_time_and_what_it_saved_is_exact(
    tmp_path: Path, minilm_dir: Path, sentiment_dir: Path
):
    folder = tmp_path / "demo"
    began = time.monotonic()
    done = subprocess.run(
        [*DEMO, "--data-dir", str(folder), "--json"], capture_output=True, text=True
    )
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)["demo"]
    assert outcome["mean"]["after"] - outcome["mean"]["before"] >= 0.15
    assert all(node["after"] > 0.65 for node in outcome["nodes"])
    told = [line for line in outcome["story"]["lines"] if line["happened"] != "meanwhile"]
    assert outcome["story"]["whole"]
    assert [line["kind"] for line in told] == STORY
    assert told[-1]["review"] - told[-1]["after_review"] == 1, "a return takes one round"
    page = Path(outcome["story"]["report"]).read_text("utf-8")
    assert all(line["reason"][:30] in page for line in told)
    assert seconds <= 300
    assert _processes_naming(folder) == []
    for node in outcome["nodes"]:
        assert (Path(node["adapter"]) / "adapter_model.safetensors").exists()
    for command in outcome["commands"]:
        subprocess.run(shlex.split(command), check=True, capture_output=True)
    subprocess.run([sys.executable, str(CHECK), str(folder)], check=True)


def test_a_kept_daemon_answers_until_it_is_stopped(tmp_path: Path, minilm_dir: Path):
    folder = tmp_path / "demo"
    arguments = ["--data-dir", str(folder), "--json", "--keep", "--no-story"]
    arguments += ["--rounds", "1"]
    done = subprocess.run([*DEMO, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)["demo"]
    try:
        assert outcome["registry"].startswith("grpc://127.0.0.1:")
        for command in outcome["commands"]:
            subprocess.run(shlex.split(command), check=True, capture_output=True)
    finally:
        os.kill(outcome["daemon_pid"], signal.SIGTERM)
    _wait_for_silence(folder)


def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path, minilm_dir: Path):
    folder = tmp_path / "demo"
    with _running(folder, stderr=subprocess.PIPE) as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if "round 2: update 1" in line:
                break
        demo.send_signal(signal.SIGINT)
        _, said = demo.communicate(timeout=60)
        assert demo.returncode == 130
    assert "interrupted: stopping the nodes and the daemon" in said
    assert said.endswith(f"nothing runs any more; what was made until now is in {folder}\n")
    assert _processes_naming(folder) == []


def test_a_node_that_dies_ends_the_demo_with_its_log(tmp_path: Path, minilm_dir: Path):
    folder = tmp_path / "demo"
    with _running(folder, stderr=subprocess.PIPE) as demo:
        until = time.monotonic() + 120
        pid_file = folder / "nodes" / "amazon" / "state" / "lock"
        while not (pid_file.exists() and pid_file.read_text().strip()):
            assert time.monotonic() < until
            time.sleep(0.5)
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
        _, said = demo.communicate(timeout=60)
        assert demo.returncode == 1
    assert "error: the node amazon ended with exit code -9" in said
    assert "the last lines of" in said
    _wait_for_silence(folder)


@contextlib.contextmanager
def _running(folder: Path, stderr: int | None = None) -> Iterator["subprocess.Popen[str]"]:
    """Run the demo as a terminal does: a job in the background inherits an ignored Ctrl-C."""
    with subprocess.Popen(
        [*DEMO, "--data-dir", str(folder)],
        stderr=stderr,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as demo:
        try:
            yield demo
        finally:
            demo.terminate()


def _wait_for_silence(folder: Path) -> None:
    until = time.monotonic() + 20
    while _processes_naming(folder):
        assert time.monotonic() < until, _processes_naming(folder)
        time.sleep(0.2)
