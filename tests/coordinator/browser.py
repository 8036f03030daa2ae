"""A real browser for tests: Debian's Chromium without a window, spoken to over two pipes.

Its DevTools protocol is JSON, one message after the other with a zero byte between them.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROGRAM = shutil.which("chromium")
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
_PATIENCE_SECONDS = 60.0


class Browser:
    """One browser process with one page; a context manager.

    Attributes:
        requests: the addresses that were asked for.
        complaints: errors and warnings of the console, exceptions, and what the page's own policy
            has blocked.
    """

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None, "look for it before"
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        # the child's ends become 3 and 4: they must not be these numbers here
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)]
        quiet = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
        self._pid = os.posix_spawn(
            PROGRAM,
            [PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            {**os.environ, "HOME": str(profile)},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, ends[0], 3), (os.POSIX_SPAWN_DUP2, ends[1], 4), quiet,
            ],
            setpgroup=0,
        )  # fmt: skip
        for end in (theirs_in, theirs_out, *ends):
            os.close(end)
        self._rest = b""
        self._count = 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = next(
            t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"
        )
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._to)
        os.close(self._from)

    def open(self, url: str, *, width: int = 1280, theme: str = "light") -> None:
        """Load a page in a window of this width, in pixels."""
        self.requests.clear()
        self.complaints.clear()
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": theme}],
        )
        self._size(width, 900)
        self.call("Page.navigate", url=url)
        self.wait("document.readyState == 'complete'")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self.ask(condition):
            assert time.monotonic() < deadline, f"never true: {condition}"
            time.sleep(0.02)

    def ask(self, expression: str) -> Any:
        """Return the value of an expression in the page; JSON."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def show_all(self, width: int) -> None:
        """Make the window as high as the page."""
        self._size(width, int(self.ask("document.documentElement.scrollHeight")))

    def screenshot(self) -> bytes:
        """Return the whole page as PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(found["data"])

    def printed(self) -> bytes:
        """Return the page as it is printed on A4: PDF."""
        found = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
        return base64.b64decode(found["data"])

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send one message and return its answer."""
        self._count += 1
        message: dict[str, object] = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (answer := self._receive(deadline)).get("id") != self._count:
            self._note(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _size(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            left = deadline - time.monotonic()
            assert select.select([self._from], [], [], max(left, 0))[0], "no answer"
            data = os.read(self._from, 1 << 20)
            assert data, "the browser ended"
            self._rest += data
        line, self._rest = self._rest.split(b"\0", 1)
        return json.loads(line)

    def _note(self, event: dict[str, Any]) -> None:
        values = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(values["request"]["url"])
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled":
                self.complaints.append(json.dumps(values))
            case "Log.entryAdded":
                self.complaints.append(values["entry"]["text"])
            case _:
                pass
