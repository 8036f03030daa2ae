"""Stop this process, with SIGSTOP, in front of a call that no log event marks.

`POLYRANK_CRASH_PAUSE=polyrank.store._commit:move_alias:2` stops it before the second call of
`move_alias` made from that module: inside the open transaction of a commit. The code that runs is
the product's; the test then kills, or wakes, a process that stands still at a known place.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import threading
from typing import Any

PAUSE_VARIABLE = "POLYRANK_CRASH_PAUSE"


def arm() -> None:
    """Put the stop in place that the environment asks for, if it asks for one."""
    point = os.environ.get(PAUSE_VARIABLE, "")
    if point:
        module, name, nth = point.split(":")
        _stop_before(importlib.import_module(module), name, int(nth))


def _stop_before(holder: Any, name: str, nth: int) -> None:
    *path, last = name.split(".")
    for part in path:
        holder = getattr(holder, part)
    called = getattr(holder, last)
    left = nth

    @functools.wraps(called)
    def stopping(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        return called(*args, **kwargs)

    setattr(holder, last, stopping)
