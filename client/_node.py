"""AdaptationClient: one node that joins a federation and serves its tasks until it is stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import structlog

from ._client_config import ClientConfig
from ._desk import Desk
from ._flower import NodeInbox, SuperNode
from ._latest import LatestAdapters, VersionInfo
from ._reachability import Reachability
from ._route import answer
from ._routes import Routes
from ._state import NodeState
from ._trainer import Trainer
from ._versions import Versions
from ._windows import Windows
from ._work import Worker

if TYPE_CHECKING:
    from torch import Tensor

    from ..aggregation import Routing

_log = structlog.get_logger(__name__)


class AdaptationClient:
    """One node of a federation.

    Args:
        config: who this node is and where it joins.
        trainer: trains and evaluates on this node's rows.
        on_version: called as ``on_version(path, info)`` with each new stable adapter, in PEFT form.

    Example:
        ``AdaptationClient(config, trainer).run()`` returns after Ctrl-C, SIGTERM or ``stop()``.
    """

    def __init__(
        self,
        config: ClientConfig,
        trainer: Trainer,
        *,
        on_version: Callable[[Path, VersionInfo], None] | None = None,
    ) -> None:
        self.config = config
        self._latest = LatestAdapters(config.state_dir, kept_versions=config.kept_versions)
        self._routes = Routes(config.state_dir / "routes")
        self._worker = Worker(
            config,
            trainer,
            latest=self._latest,
            windows=Windows(config.state_dir / "windows", self._routes),
            versions=Versions(config.state_dir / "versions"),
            on_version=on_version,
        )
        self._stopping = threading.Event()

    def latest(self, adapter: str | None = None) -> Path:
        """Return the folder of the newest stable adapter, in PEFT form.

        Args:
            adapter: an adapter line; None: the newest of all lines.

        Raises:
            AdapterUnavailable: none has arrived yet.
        """
        return self._latest.path(adapter)

    def route(self, features: Tensor, *, adapter: str | None = None) -> Routing:
        """Say which adapters fit a batch, from what has reached this node; see `client.route`.

        Raises:
            RouteUnavailable: no routing table that could answer has arrived yet.
            DataError: features that cannot be routed.
        """
        return answer(self._routes.find(adapter), features)

    def stop(self) -> None:
        """Ask ``run`` to return, from any thread; a training in progress is given up."""
        self._stopping.set()

    def run(self) -> None:
        """Join the federation and serve its tasks until stopped.

        While the server cannot be reached it waits and tries again.

        Raises:
            StateLocked, StateError: the state directory cannot be used.
            ProtocolError: the trainer's description does not fit on a card.
            ClientError: Flower's SuperNode cannot be started, or a thread of the node failed.
        """
        with NodeState(self.config.state_dir) as state, _signals(self.stop):
            _log.info("node_started", node=self.config.name, identity=state.key.identity)
            supernode = SuperNode(self.config.server, self.config.state_dir)
            inbox = NodeInbox(supernode)
            desk = Desk(self._worker, state, inbox, stopping=self._stopping)
            try:
                supernode.start()
                Reachability(self.config.server, supernode.log_path, self._stopping).start()
                desk.serve()
            finally:
                self._stopping.set()
                desk.stop_sending()
                inbox.close()
                supernode.begin_stop()  # its end and the worker's are waited for together
                desk.close()
                supernode.stop()
            _log.info("node_stopped", node=self.config.name)


@contextmanager
def _signals(stop: Callable[[], None]) -> Generator[None]:
    """Stop on SIGINT and SIGTERM; a second SIGINT ends the process at once.

    What is on disk stays usable whenever the process ends, and the SuperNode ends with it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ended(number: int, frame: FrameType | None) -> None:
        stop()
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ended)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
