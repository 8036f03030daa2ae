"""A round in parts on Ray's workers: the same bytes, the same errors, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# Ray's own start takes most of half a minute: what runs on it is tested in threads besides
pytestmark = [pytest.mark.processes, pytest.mark.soak]

TESTS = Path(__file__).parents[1]


def test_parts_on_ray_give_the_bytes_of_the_round_at_once_and_typed_errors():
    pytest.importorskip("ray", reason="needs polyrank[ray]")
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")  # a short one: sockets are made in it
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "coordinator.ray_parts_script"],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            cwd=TESTS,
            env={
                **os.environ,
                "TMPDIR": folder,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
            },
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == {
            "executor": True,
            "parts": 10,
            "same": True,
            "elsewhere": True,
            "error": ["head", 1, 2],
            "versions": True,
        }
        assert not [path for path in Path(folder).iterdir() if path.name.startswith("ray-")]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
