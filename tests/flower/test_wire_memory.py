"""Freed buffers stay for the next message, and leave a program that is idle."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")

PROGRAM = """
import sys, time
import psutil
from polyrank.client import _wire_memory as memory
memory.GIVE_BACK_SECONDS = float(sys.argv[1])
me, chunk = psutil.Process(), 5 * 2**20
memory.keep_buffers()

def faults():
    return int(open("/proc/self/stat").read().rpartition(")")[2].split()[7])

def round_of_messages():
    before = faults()
    kept = [bytearray(b"x") * chunk for _ in range(8)]
    del kept
    return faults() - before

idle = me.memory_info().rss
first = round_of_messages()
again = round_of_messages()
time.sleep(float(sys.argv[2]))
print(first, again, (me.memory_info().rss - idle) // 2**20)
"""


def run(give_back: float, pause: float, **environment: str) -> tuple[int, int, int]:
    """Return the page faults of a first and a second round of messages, and the MiB kept."""
    command = [sys.executable, "-c", PROGRAM, str(give_back), str(pause)]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        command, env=clean | environment, capture_output=True, text=True, check=True, timeout=60
    )
    first, again, kept = map(int, done.stdout.split())
    return first, again, kept


def test_buffers_are_used_again_and_given_back_when_idle() -> None:
    first, again, kept = run(give_back=0.5, pause=1.5)
    assert again < first / 10
    assert kept < 10


def test_until_then_they_are_kept() -> None:
    assert run(give_back=60, pause=0)[2] > 30


def test_what_the_operator_has_set_is_left_alone() -> None:
    first, again, kept = run(60, 0, MALLOC_MMAP_THRESHOLD_="1048576")
    assert again > first / 2
    assert kept < 10
