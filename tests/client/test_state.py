"""The state directory: one process, one key for life, counts that survive."""

import json
import stat
import subprocess
import sys

import pytest
from polyrank.client import StateError, StateLocked
from polyrank.client._state import NodeState


def test_the_key_pair_is_made_once_and_is_private(tmp_path):
    with NodeState(tmp_path / "s") as first:
        identity = first.key.identity
    with NodeState(tmp_path / "s") as second:
        assert second.key.identity == identity
        assert (first.starts, second.starts) == (1, 2)
    with NodeState(tmp_path / "other") as other:
        assert other.key.identity != identity
    assert stat.S_IMODE((tmp_path / "s" / "node.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


def test_a_second_process_gets_a_clear_error_and_a_killed_one_leaves_no_lock(tmp_path):
    code = (
        "import sys, time, pathlib; from polyrank.client._state import NodeState;"
        "s = NodeState(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StateLocked, match=f"process {holder.pid}.*another state_dir") as caught:
            NodeState(tmp_path)
        assert caught.value.path == str(tmp_path)
        holder.kill()
    NodeState(tmp_path).close()


def test_the_count_of_trainings_survives_and_never_falls(tmp_path):
    with NodeState(tmp_path) as state:
        state.count_training(3)
        state.count_training(2)
    with NodeState(tmp_path) as state:
        assert state.trainings == 3


def test_a_damaged_key_is_never_replaced(tmp_path):
    NodeState(tmp_path).close()
    (tmp_path / "node.key").write_bytes(b"short")
    with pytest.raises(StateError, match=r"node\.key cannot be used.*restore"):
        NodeState(tmp_path)
    assert (tmp_path / "node.key").read_bytes() == b"short"


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"starts": "x", "trainings": 1})])
def test_damaged_counts_are_named(tmp_path, content):
    NodeState(tmp_path).close()
    (tmp_path / "counts.json").write_text(content)
    with pytest.raises(StateError, match=r"counts\.json is damaged"):
        NodeState(tmp_path)
    (tmp_path / "counts.json").unlink()
    NodeState(tmp_path).close()  # the lock was given back, and removing the file helps


def test_a_path_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="file cannot be used"):
        NodeState(tmp_path / "file")
