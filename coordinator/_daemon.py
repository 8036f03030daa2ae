"""One supervised daemon: SuperLink (a child process), round driver, and the registry's server.

Order of starting: the data directory's lock, the records and a new epoch, the SuperLink, the
registry's server, the driver; `run/daemon.json` says last that all of it is up. When the SuperLink
dies, a new one and a new Flower run are started and the driver goes on from the records.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from structlog.typing import FilteringBoundLogger

from ..store import (
    AddressInUse,
    Ledger,
    Server,
    StaleEpoch,
    StorageFailure,
    StoreBusy,
    StoreError,
    open_ledger,
    serve,
)
from ._config import CoordinatorConfig
from ._driver import Driver
from ._errors import CoordinatorError, LinkDown, PortBusy, StaleDriver
from ._files import DataDirLock, end_superlink, remove_daemon_file, write_daemon_file
from ._flower import DriverSession, LinkError, PortInUse, SuperLink, WireLimits
from ._log import open_log
from ._router import router

STOP_SECONDS: Final = 30.0
_MAX_RESTART_PAUSE_SECONDS: Final = 30.0
_LOCK_POLL_SECONDS: Final = 1.0
_STEADY_SECONDS: Final = 60.0  # a run that lasted this long was a good one
_PATIENCE: Final = 4  # failures in a row after which a SuperLink that is alive counts as hung


class Coordinator:
    """The coordinator daemon in this process; `start`, then `wait` or `stop`.

    Args:
        config: all settings.
        take_over: replace a daemon that still holds the data directory (it may be stuck or
            paused); its next step finds the newer epoch and stops.
        terminal: where events are written as lines for people; None for nowhere.
    """

    def __init__(
        self,
        config: CoordinatorConfig,
        *,
        take_over: bool = False,
        terminal: TextIO | None = None,
    ) -> None:
        self.config = config
        self._take_over = take_over
        self._terminal = terminal
        self._data_dir: Path = config.daemon.data_dir.absolute()
        self._lock = DataDirLock(self._data_dir)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._undo = contextlib.ExitStack()
        self._server: Server | None = None
        self._link: SuperLink | None = None
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """This daemon's epoch; 0 before `start`."""
        return self._epoch

    @property
    def registry_url(self) -> str:
        """Where the registry answers, for `polyrank.store.connect`."""
        port = self._server.port if self._server is not None else self.config.registry.port
        return f"grpc://{_bracketed(self.config.registry.host)}:{port}"

    @property
    def superlink_address(self) -> str:
        """Where nodes connect, host:port."""
        if self._link is None:
            raise CoordinatorError("the daemon is not started: call start() first")
        return self._link.address

    def start(self) -> None:
        """Bring everything up, or nothing: when it raises, all that was started is stopped.

        Raises:
            DataDirError, DataDirLocked: the data directory cannot be used.
            PortBusy: a port is taken; the message names the setting.
            LinkDown: the SuperLink does not start.
            StoreMismatch: the registry contradicts the configuration.
            StoreError: the registry cannot be opened (SchemaTooNew, …).
        """
        with contextlib.ExitStack() as undo:
            self._start(undo)
            self._undo = undo.pop_all()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the driver has ended; False when the time is up and it still runs."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            return not self._thread.is_alive()
        return True

    def stop(self) -> None:
        """Stop everything in good order.

        Raises:
            CoordinatorError, StoreError: what ended the driver, when it did not end by `stop`.
        """
        self._stop.set()
        self.wait(STOP_SECONDS)
        self._undo.close()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _start(self, undo: contextlib.ExitStack) -> None:
        held = self._lock.acquire(take_over=self._take_over)
        undo.callback(self._lock.release)
        log = undo.enter_context(
            open_log(
                self._data_dir / "log" / "daemon.jsonl",
                level=self.config.daemon.log_level,
                terminal=self._terminal,
            )
        )
        ledger = undo.enter_context(
            open_ledger(self.config.registry_url, blobs=self.config.blobs, router=router)
        )
        self._epoch = ledger.take_epoch(f"{socket.gethostname()} process {os.getpid()}")
        if not held:
            log.warning(
                "took_over", epoch=self._epoch, ended_superlink=end_superlink(self._data_dir)
            )
        self._server = self._serve(ledger, log, is_taking_over=not held)
        undo.callback(self._server.stop)
        link = self._link = self._start_link(log)
        undo.callback(self._stop_link, ledger)
        self._thread = threading.Thread(
            target=self._drive, args=(ledger, link, log), name="driver", daemon=True
        )
        self._thread.start()
        if not held:
            threading.Thread(target=self._take_lock, name="lock", daemon=True).start()
        write_daemon_file(self._data_dir, self._facts())
        undo.callback(remove_daemon_file, self._data_dir)
        log.info("daemon_started", epoch=self._epoch, registry=self.registry_url,
                 superlink=link.address, adapters=sorted(self.config.adapters))  # fmt: skip

    def _take_lock(self) -> None:
        """Take the lock once the replaced daemon has ended, so that a third one is refused."""
        while not self._stop.is_set() and not self._lock.acquire(take_over=True):
            self._stop.wait(_LOCK_POLL_SECONDS)

    def _serve(self, ledger: Ledger, log: FilteringBoundLogger, *, is_taking_over: bool) -> Server:
        """Serve the registry; in another daemon's place on any port, as that one has ours still."""
        settings = self.config.registry
        address = f"{_bracketed(settings.host)}:{settings.port}"
        try:
            return serve(ledger.registry, address)
        except AddressInUse as error:
            if not is_taking_over:
                raise PortBusy(settings.host, settings.port, "registry.port") from error
            server = serve(ledger.registry, f"{_bracketed(settings.host)}:0")
            log.warning("registry_moved", busy_port=settings.port, port=server.port)
            return server

    def _start_link(self, log: FilteringBoundLogger) -> SuperLink:
        settings = self.config.superlink
        host = "127.0.0.1" if settings.host == "localhost" else settings.host
        link = SuperLink(self._data_dir, port=settings.port or _free_port(host), host=host)
        try:
            link.start()
        except PortInUse as error:
            raise PortBusy(error.host, error.port, "superlink.port") from error
        except LinkError as error:
            raise LinkDown(str(error), log_path=link.log_path) from error
        log.info("superlink_started", pid=link.pid, address=link.address)
        return link

    def _stop_link(self, ledger: Ledger) -> None:
        """Stop our SuperLink, unless a newer daemon is in charge: then nothing here is ours."""
        if self._link is not None and ledger.epoch() == self._epoch:
            self._link.stop()

    def _drive(self, ledger: Ledger, link: SuperLink, log: FilteringBoundLogger) -> None:
        """Run drivers one after the other until told to stop; the thread's whole life."""
        try:
            self._supervise(ledger, link, log)
        except StaleEpoch as error:
            self._failure = StaleDriver(error.epoch, error.current)
        except (CoordinatorError, StoreError, LinkError) as error:
            self._failure = error
        except BaseException as error:
            self._failure = error
            log.error("driver_failed", error=f"{type(error).__name__}: {error}")
        self._stop.set()
        if self._failure is None:
            log.info("daemon_stopping", epoch=self._epoch)
        else:
            log.error("daemon_failed", epoch=self._epoch, reason=str(self._failure))

    def _supervise(self, ledger: Ledger, link: SuperLink, log: FilteringBoundLogger) -> None:
        """Go on in a new run, or with a new SuperLink, after what passes: months are long.

        That is trouble with Flower, and a database or disk that is busy or full; all of it is told
        in the log, and tried again after at most 30 s.
        """
        pause, failures = 0.5, 0
        limits = WireLimits(max_blob_bytes=self.config.limits.max_adapter_bytes)
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                if failures:
                    self._restart_link(ledger, link, log, is_hung=failures > _PATIENCE)
                with DriverSession(link.address, limits=limits) as session:
                    log.info("run_opened", run_id=str(session.run_id))
                    driver = Driver(
                        self.config, ledger, session, log, epoch=self._epoch, clock=time.time
                    )
                    driver.run(self._stop)
                return
            except LinkError as error:
                failures = 1 if time.monotonic() - began > _STEADY_SECONDS else failures + 1
                log.warning("link_lost", reason=str(error), superlink=link.poll())
            except (StoreBusy, StorageFailure) as error:
                failures = 1
                log.error("store_failed", reason=str(error))
            pause = 0.5 if time.monotonic() - began > _STEADY_SECONDS else pause * 2
            self._stop.wait(min(pause, _MAX_RESTART_PAUSE_SECONDS) - 0.5)

    def _restart_link(
        self, ledger: Ledger, link: SuperLink, log: FilteringBoundLogger, *, is_hung: bool
    ) -> None:
        """Start the SuperLink again if it is down or hung; never in place of a newer daemon's."""
        current = ledger.epoch()
        if current != self._epoch:
            raise StaleDriver(self._epoch, current)
        if link.poll() is None:
            if not is_hung:
                return
            log.warning("superlink_hung", pid=link.pid)
            link.stop()
        link.start()
        log.info("superlink_started", pid=link.pid, address=link.address)

    def _facts(self) -> dict[str, Any]:
        assert self._link is not None, "the SuperLink is up before the daemon says so"
        return {
            "pid": os.getpid(),
            "registry": self.registry_url,
            "superlink_port": int(self._link.address.rpartition(":")[2]),
            "epoch": self._epoch,
            "started_at": datetime.now(UTC).isoformat(),
        }


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
