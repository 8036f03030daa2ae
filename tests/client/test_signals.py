"""Ctrl-C once stops in good order; twice ends the process at once."""

import signal
import subprocess
import sys

CODE = """
import time
from polyrank.client._node import _signals
with _signals(lambda: print("stopping", flush=True)):
    print("ready", flush=True)
    try:
        time.sleep(60)
    finally:
        time.sleep(60)  # good order may take long
"""


def test_the_second_ctrl_c_does_not_wait_for_good_order():
    with subprocess.Popen(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopping\n"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT
