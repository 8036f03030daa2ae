"""Where the command line looks for the daemon."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from polyrank.coordinator import _paths


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("POLYRANK_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("POLYRANK_REGISTRY", raising=False)
    (tmp_path / "run").mkdir()
    return tmp_path


def write(folder: Path, **changes: object) -> None:
    facts = {"pid": os.getpid(), "registry": "grpc://127.0.0.1:5", "superlink_port": 6,
             "epoch": 7, "started_at": "t", **changes}  # fmt: skip
    _paths.daemon_file(folder).write_text(json.dumps(facts))


def test_the_default_data_directory_is_in_the_home_folder(monkeypatch):
    monkeypatch.setenv("POLYRANK_DATA_DIR", " ")
    monkeypatch.setenv("HOME", "/somewhere")
    assert _paths.default_data_dir() == Path("/somewhere/.local/share/polyrank")


def test_a_running_daemon_says_where_it_is(data_dir):
    write(data_dir)
    assert _paths.read_daemon(data_dir) == _paths.DaemonInfo(
        os.getpid(), "grpc://127.0.0.1:5", 6, 7, "t"
    )
    assert _paths.default_registry_url() == "grpc://127.0.0.1:5"


def test_a_dead_daemons_file_is_not_believed(data_dir):
    process = subprocess.Popen(["true"])
    process.wait()
    write(data_dir, pid=process.pid)
    assert _paths.default_registry_url() == _paths.DEFAULT_REGISTRY_URL


def test_the_environment_wins_but_not_over_a_named_folder(data_dir, monkeypatch):
    write(data_dir)
    monkeypatch.setenv("POLYRANK_REGISTRY", "grpc://127.0.0.1:8")
    assert _paths.default_registry_url() == "grpc://127.0.0.1:8"
    assert _paths.default_registry_url(data_dir) == "grpc://127.0.0.1:5"


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"pid": "x"}', '{"pid": -1}', "\xff"])
def test_a_torn_file_is_no_daemon(data_dir, text):
    _paths.daemon_file(data_dir).write_bytes(text.encode("latin-1"))
    assert _paths.read_daemon(data_dir) is None
