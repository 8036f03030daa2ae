"""AdaptationClient: one node that joins a federation and serves its tasks until it is stopped.

Three threads share the work: the caller's receives, and answers ``describe`` at once; one sends
replies that are already on disk; one trains and evaluates, so that a long training delays neither.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import structlog

from ._card import make_card
from ._client_config import ClientConfig
from ._errors import ClientError, ProtocolError, TaskRefused, UnsupportedProtocol
from ._flower import NodeInbox, SuperNode
from ._latest import LatestAdapters, VersionInfo
from ._protocol import ReplyEnvelope, TaskEnvelope, blob_digest
from ._state import NodeState
from ._task_cache import TaskCache
from ._trainer import Trainer
from ._wire import Incoming
from ._work import Blob, Outcome, Worker, one_line

_RECEIVE_SECONDS = 0.5
_PROGRESS_LOG_SECONDS = 10.0
_log = structlog.get_logger(__name__)

Job = tuple[TaskEnvelope, Blob]


class _Stopped(Exception):
    """The node is stopping: a training in progress is given up, to be asked for again."""


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
        self._trainer = trainer
        self._latest = LatestAdapters(config.state_dir, kept_versions=config.kept_versions)
        self._worker = Worker(config, trainer, latest=self._latest, on_version=on_version)
        self._stopping = threading.Event()
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")

    def latest(self, adapter: str | None = None) -> Path:
        """Return the folder of the newest stable adapter, in PEFT form.

        Args:
            adapter: an adapter line; None: the newest of all lines.

        Raises:
            AdapterUnavailable: none has arrived yet.
        """
        return self._latest.path(adapter)

    def stop(self) -> None:
        """Ask ``run`` to return, from any thread; a training in progress is given up."""
        self._stopping.set()

    def run(self) -> None:
        """Join the federation and serve its tasks until stopped.

        While the server cannot be reached it waits and tries again.

        Raises:
            StateLocked, StateError: the state directory cannot be used.
            ClientError: Flower's SuperNode cannot be started.
        """
        with NodeState(self.config.state_dir) as state, _signals(self.stop):
            _log.info("node_started", node=self.config.name, identity=state.key.identity)
            with SuperNode(self.config.server, self.config.state_dir) as supernode:
                inbox = NodeInbox(supernode)
                desk = _Desk(self, state, inbox)
                try:
                    desk.serve()
                finally:
                    self._stopping.set()
                    desk.close()
                    inbox.close()
            _log.info("node_stopped", node=self.config.name)


class _Desk:
    """Takes tasks from the inbox, hands them on, and answers them."""

    def __init__(self, client: AdaptationClient, state: NodeState, inbox: NodeInbox) -> None:
        self._client = client
        self._config = client.config
        self._trainer = client._trainer
        self._worker = client._worker
        self._stopping = client._stopping
        self._state = state
        self._inbox = inbox
        self._cache = TaskCache(
            state.path / "tasks",
            max_entries=self._config.kept_tasks,
            max_bytes=self._config.kept_task_bytes,
        )
        state.count_training(self._cache.trainings())
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Incoming]] = {}
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._sends: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name="worker", daemon=True),
            threading.Thread(target=self._send_all, name="sender", daemon=True),
        ]

    def serve(self) -> None:
        """Receive until the client is stopped."""
        for thread in self._threads:
            thread.start()
        while not self._stopping.is_set():
            incoming = self._inbox.receive(_RECEIVE_SECONDS)
            if incoming is not None:
                self._take(incoming)

    def close(self) -> None:
        """End the threads; a training in progress ends at its next progress report."""
        self._jobs.put(None)
        self._sends.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=5.0)

    def _take(self, incoming: Incoming) -> None:
        try:
            task = TaskEnvelope.from_bytes(incoming.envelope)
        except ProtocolError as error:
            known = error.task_key if isinstance(error, UnsupportedProtocol) else ""
            self._refuse(incoming, error, task_key=known)
            return
        own = self._state.key.identity
        if task.identity not in ("", own) or (not task.identity and task.kind != "describe"):
            wrong = TaskRefused("wrong_node", f"the task is for node {task.identity[:12]}")
            self._refuse(incoming, wrong, task=task)
        elif task.kind == "describe":
            self._send(incoming, self._describe(task), b"")
        else:
            self._sends.put(lambda: self._queue(incoming, task))

    def _queue(self, incoming: Incoming, task: TaskEnvelope) -> None:
        """Answer from the cache, join the same task in flight, or give it to the worker."""
        with self._lock:
            joined = self._waiting.get(task.task_key)
            if joined is not None:
                joined.append(incoming)
                _log.info("task_joined", task_key=task.task_key)
                return
            kept = self._cache.get(task.task_key)
            if kept is None:
                self._waiting[task.task_key] = [incoming]
                self._jobs.put((task, incoming.blob))
                return
        reply, blob = kept
        _log.info("task_answered_from_cache", task_key=task.task_key, task_kind=task.kind)
        self._send(incoming, replace(reply, from_cache=True), blob)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None and not self._stopping.is_set():
            task, blob = job
            del job
            began = time.monotonic()
            _log.info("task_started", task_kind=task.kind, adapter=task.adapter, round=task.round)
            reply, answer = self._carry_out(task, blob)
            del blob
            if reply is None:
                continue
            _log.info(
                "task_finished",
                task_kind=task.kind,
                adapter=task.adapter,
                round=task.round,
                status=reply.status,
                error=reply.error,
                seconds=round(time.monotonic() - began, 2),
            )
            with self._lock:
                waiting = self._waiting.pop(task.task_key)
            for incoming in waiting:
                self._sends.put(lambda i=incoming, r=reply, b=answer: self._send(i, r, b))
            del answer

    def _carry_out(self, task: TaskEnvelope, blob: Blob) -> tuple[ReplyEnvelope | None, Blob]:
        try:
            outcome = self._worker.run(task, blob, self._progress(task))
            reply = self._finish(task, outcome)
        except _Stopped:
            return None, b""
        except Exception as error:  # whatever the owner's code raises becomes an error reply
            if not isinstance(error, ClientError):
                _log.exception("task_failed", task_kind=task.kind, task_key=task.task_key)
            return self._error(one_line(error), task=task), b""
        return reply, outcome.blob

    def _finish(self, task: TaskEnvelope, outcome: Outcome) -> ReplyEnvelope:
        """Make the reply durable, then the count of trainings; only then may it be sent."""
        trainings = self._state.trainings + (task.kind == "train")
        reply = replace(
            self._blank(task.kind),
            task_key=task.task_key,
            start_digest=task.start_digest,
            num_examples=outcome.num_examples,
            metrics=dict(outcome.metrics),
            rank=outcome.rank,
            blob_digest=blob_digest(outcome.blob),
            trainings=trainings,
            approximate=task.approximate,
        )
        self._cache.put(reply, outcome.blob)
        self._state.count_training(trainings)
        return reply

    def _progress(self, task: TaskEnvelope) -> Callable[[int, int, float], None]:
        logged_at = time.monotonic()

        def progress(done: int, total: int, loss: float) -> None:
            nonlocal logged_at
            if self._stopping.is_set():
                raise _Stopped
            now = time.monotonic()
            if now - logged_at >= _PROGRESS_LOG_SECONDS:
                logged_at = now
                _log.info("training", adapter=task.adapter, done=done, total=total, loss=loss)

        return progress

    def _describe(self, task: TaskEnvelope) -> ReplyEnvelope:
        card = make_card(
            self._config,
            self._trainer.description,
            model_loads=self._model_loads(),
            trainings=self._state.trainings,
            started_at=self._client._started_at,
        )
        blank = self._blank("describe")
        return replace(blank, task_key=task.task_key, card=card.to_json())

    def _refuse(
        self,
        incoming: Incoming,
        error: ClientError,
        *,
        task: TaskEnvelope | None = None,
        task_key: str = "",
    ) -> None:
        _log.warning("task_refused", task_kind=incoming.kind, error=one_line(error))
        kind = incoming.kind if incoming.kind in ("train", "evaluate") else "describe"
        blank = self._error(one_line(error), task=task, kind=kind)
        self._send(incoming, replace(blank, task_key=task.task_key if task else task_key), b"")

    def _error(
        self, message: str, *, task: TaskEnvelope | None, kind: str = "describe"
    ) -> ReplyEnvelope:
        reply = replace(self._blank(task.kind if task else kind), status="error", error=message)
        if task is None:
            return reply
        return replace(reply, task_key=task.task_key, start_digest=task.start_digest)

    def _blank(self, kind: str) -> ReplyEnvelope:
        return ReplyEnvelope(
            task_key="",
            kind=kind,
            identity=self._state.key.identity,
            public_key=self._state.key.public_key.hex(),
            status="ok",
            error="",
            start_digest="",
            num_examples=0,
            metrics={},
            rank=0,
            blob_digest=blob_digest(b""),
            card=None,
            model_loads=self._model_loads(),
            trainings=self._state.trainings,
            from_cache=False,
            approximate=False,
        )

    def _model_loads(self) -> int:
        return int(getattr(self._trainer, "model_loads", 1))

    def _send_all(self) -> None:
        while (send := self._sends.get()) is not None:
            send()

    def _send(self, incoming: Incoming, reply: ReplyEnvelope, blob: Blob) -> None:
        envelope = reply.to_bytes()
        taken = self._inbox.reply(
            incoming, envelope=envelope, signature=self._state.key.sign(envelope), blob=blob
        )
        if not taken:
            _log.info("reply_not_taken", task_key=reply.task_key, task_kind=reply.kind)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Stop on SIGINT and SIGTERM; a second SIGINT ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ended(number: int, frame: FrameType | None) -> None:
        stop()
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ended)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
