"""Structured logs: static event names with fields, to a JSON lines file and to the terminal.

`<data_dir>/log/daemon.jsonl` gets one object per event (`event`, `level`, `timestamp` and the
fields), `stderr` the same for people.

Every event doubles as a named point at which the daemon can be stopped: with
`POLYRANK_PAUSE_AT=commit_started` (or `commit_started:3`, the third one) the process stops itself
with SIGSTOP right after it has written that event. An operator can look at a daemon in exactly
that state, and the crash tests kill it there; it needs no code anywhere else.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from ._printable import printable

PAUSE_VARIABLE = "POLYRANK_PAUSE_AT"
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Sink:
    """Writes one event to both places; structlog calls the method named like the level."""

    def __init__(self, path: Path, terminal: TextIO | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._terminal = terminal
        self._lock = threading.Lock()
        name, _, nth = os.environ.get(PAUSE_VARIABLE, "").partition(":")
        self._pause_event, self._pause_after = name, int(nth) if nth.isdigit() else 1

    def write(self, **fields: Any) -> None:
        """Write one event, then stop the process if this is the point that was asked for."""
        with self._lock:
            # a full disk, or a terminal that is gone, must not stop the rounds
            with suppress(OSError, ValueError):
                if not self._file.closed:
                    self._file.write(json.dumps(fields, default=str, ensure_ascii=False) + "\n")
            with suppress(OSError, ValueError):
                if self._terminal is not None:
                    print(_line(fields), file=self._terminal, flush=True)
        self._pause(str(fields.get("event", "")))

    debug = info = warning = error = write

    def close(self) -> None:
        """Close the file; what a thread still says then goes to the terminal only."""
        with self._lock, suppress(OSError):
            self._file.close()

    def _pause(self, event: str) -> None:
        if not self._pause_event or event != self._pause_event:
            return
        self._pause_after -= 1
        if self._pause_after == 0:
            # sent to this very thread: one sent to the process is taken by the main thread, and
            # until that runs this one goes on past the named point
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


@contextmanager
def open_log(
    path: Path, *, level: str = "info", terminal: TextIO | None = None
) -> Generator[structlog.typing.FilteringBoundLogger]:
    """Give a logger that appends to `path` and, if given, writes short lines to `terminal`."""
    sink = _Sink(path, terminal)
    logger = structlog.wrap_logger(
        sink,
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _as_fields,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        context_class=dict,
        cache_logger_on_first_use=False,
    )
    try:
        yield cast("structlog.typing.FilteringBoundLogger", logger.bind())
    finally:
        sink.close()


def _as_fields(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Hand the event on as keyword arguments (structlog unpacks a mapping)."""
    ordered = {"timestamp": event.pop("timestamp"), "level": event.pop("level")}
    return {**ordered, "event": event.pop("event"), **event}


def _line(fields: Mapping[str, Any]) -> str:
    shown = [f"{k}={_short(v)}" for k, v in fields.items() if k not in _LEADING]
    clock = str(fields.get("timestamp", ""))[11:19]
    level = str(fields.get("level", "")).upper()
    mark = "" if level in ("INFO", "DEBUG") else f"{level} "
    return f"{clock} {mark}{str(fields.get('event', '')).replace('_', ' ')}  {' '.join(shown)}"


_LEADING = frozenset({"timestamp", "level", "event"})


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return ",".join(f"{key}={_short(item)}" for key, item in items)
    text = printable(str(value))
    is_digest = len(text) == 64 and all(c in "0123456789abcdef" for c in text)
    return text[:12] if is_digest else (f'"{text}"' if " " in text else text)
