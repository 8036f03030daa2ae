"""Keep freed buffers for the next message, and give them back when they are not used.

Left alone, glibc asks the system for fresh, zeroed pages for nearly each buffer of a few MB and
returns them when it is freed: some 15 % of the time of a round with 64 MB for each node. With high
thresholds it keeps them in pools, and the memory of a program that is idle would stay at its peak,
so a thread returns what is free every few seconds.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from typing import Any, Final

GIVE_BACK_SECONDS: Final = 5.0
_SETTINGS: Final = {  # names of the environment: parameter of mallopt, value; see <malloc.h>
    "MALLOC_TRIM_THRESHOLD_": (-1, 256 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": (-3, 32 * 2**20),
    "MALLOC_ARENA_MAX": (-8, 2),
}


def keep_buffers() -> None:
    """Set this up for the whole process; glibc only.

    What the operator has set in the environment is left alone.
    """
    libc = _glibc()
    if libc is None or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    for name, (parameter, value) in _SETTINGS.items():
        if name not in os.environ:
            libc.mallopt(parameter, value)
    threading.Thread(target=_give_back, args=(libc,), name="polyrank-memory", daemon=True).start()


def _give_back(libc: Any) -> None:
    while True:
        time.sleep(GIVE_BACK_SECONDS)
        libc.malloc_trim(0)


def _glibc() -> Any:
    """Return the C library if it is one with these calls, else None."""
    if sys.platform != "linux":
        return None
    try:
        libc = ctypes.CDLL(None)
    except OSError:
        return None  # a static build
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
