"""The node's desk: takes tasks from the inbox, hands them on, and answers them.

Three threads share the work: the caller's receives, and answers ``describe`` at once; one sends
replies that are already on disk; one trains and evaluates, so that a long training delays neither.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import structlog

from ._card import make_card
from ._errors import ClientError, ProtocolError, TaskRefused, UnsupportedProtocol
from ._flower import NodeInbox
from ._protocol import Card, ReplyEnvelope, TaskEnvelope, blob_digest
from ._state import NodeState
from ._task_cache import TaskCache
from ._wire import Incoming
from ._work import Blob, Outcome, Worker, one_line

_RECEIVE_SECONDS = 0.5
_PROGRESS_LOG_SECONDS = 10.0
_JOIN_SECONDS = 5.0
_log = structlog.get_logger(__name__)

Job = tuple[TaskEnvelope, Blob]
Send = tuple[Incoming, Callable[[], None]]


class _Stopped(BaseException):
    """The node is stopping: a training in progress is given up, to be asked for again.

    Not an Exception: a trainer's own ``except Exception`` must not turn it into a failed task.
    """


class Desk:
    """Takes tasks from the inbox, hands them on, and answers them."""

    def __init__(
        self, worker: Worker, state: NodeState, inbox: NodeInbox, *, stopping: threading.Event
    ) -> None:
        self._worker = worker
        self._state = state
        self._inbox = inbox
        self._stopping = stopping
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        config = worker.config
        self._cache = TaskCache(
            state.path / "tasks",
            max_entries=config.kept_tasks,
            max_bytes=config.kept_task_bytes,
        )
        state.count_training(self._cache.trainings())
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Incoming]] = {}
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._sends: queue.SimpleQueue[Send | None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._is_joined = False
        self._worker_thread = self._thread("worker", self._work)
        self._sender_thread = self._thread("sender", self._send_all)
        self._card()  # a description that no card can hold is an error now, not in the first round

    def serve(self) -> None:
        """Receive until the client is stopped.

        Raises:
            ClientError: one of the threads failed; a node that hears and does nothing helps nobody.
        """
        self._worker_thread.start()
        self._sender_thread.start()
        while not self._stopping.is_set():
            incoming = self._inbox.receive(_RECEIVE_SECONDS)
            if incoming is not None:
                self._attempt(incoming, partial(self._take, incoming))
            del incoming  # its blob would stay in memory until the next task comes
        if self._failure is not None:
            raise ClientError(f"the node stopped: {one_line(self._failure)}") from self._failure

    def stop_sending(self) -> None:
        """Let the answers that are ready go out, and take no more."""
        self._jobs.put(None)
        self._sends.put(None)
        _join(self._sender_thread)

    def close(self) -> None:
        """Wait for the worker; a training in progress ends at its next progress report."""
        _join(self._worker_thread)
        if self._worker_thread.is_alive():
            _log.warning("task_given_up", reason="it did not report progress while stopping")

    def _thread(self, name: str, target: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                target()
            except BaseException as error:  # else the node would go on, deaf, for months
                self._failure = error
                self._stopping.set()

        return threading.Thread(target=run, name=name, daemon=True)

    def _attempt(self, incoming: Incoming, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # one bad task must not end the thread of all others
            _log.exception("answer_failed", task_kind=incoming.kind)
            self._inbox.fail(incoming, one_line(error))

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
            if not self._is_joined:
                self._is_joined = True
                _log.info("joined", server=self._worker.config.server, identity=own)
        else:
            self._sends.put((incoming, lambda: self._queue(incoming, task)))

    def _queue(self, incoming: Incoming, task: TaskEnvelope) -> None:
        """Answer from the cache, join the same task in flight, or give it to the worker."""
        asker = replace(incoming, blob=b"")  # each copy would stay in memory during the training
        with self._lock:
            joined = self._waiting.get(task.task_key)
            if joined is not None:
                joined.append(asker)
                _log.info("task_joined", task_key=task.task_key)
                return
            kept = self._cache.get(task.task_key)
            if kept is None:
                self._waiting[task.task_key] = [asker]
                self._jobs.put((task, incoming.blob))
                return
        reply, blob = kept
        _log.info("task_answered_from_cache", task_key=task.task_key, task_kind=task.kind)
        self._send(incoming, replace(reply, from_cache=True), blob)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None and not self._stopping.is_set():
            self._do(*job)
            del job  # its blob would stay in memory until the next task comes

    def _do(self, task: TaskEnvelope, blob: Blob) -> None:
        began = time.monotonic()
        _log.info("task_started", task_kind=task.kind, adapter=task.adapter, round=task.round)
        reply, answer = self._carry_out(task, blob)
        if reply is None:
            return
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
            self._sends.put((incoming, partial(self._send, incoming, reply, answer)))

    def _carry_out(self, task: TaskEnvelope, blob: Blob) -> tuple[ReplyEnvelope | None, Blob]:
        try:
            outcome = self._worker.run(task, blob, self._progress(task))
            reply = self._finish(task, outcome)
        except _Stopped:
            return None, b""
        except (Exception, SystemExit) as error:  # whatever the owner's code raises is a reply
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
        blank = self._blank("describe")
        return replace(blank, task_key=task.task_key, card=self._card().to_json())

    def _card(self) -> Card:
        return make_card(
            self._worker.config,
            self._worker.trainer.description,
            model_loads=self._model_loads(),
            trainings=self._state.trainings,
            started_at=self._started_at,
        )

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
        return int(getattr(self._worker.trainer, "model_loads", 1))

    def _send_all(self) -> None:
        while (entry := self._sends.get()) is not None:
            self._attempt(*entry)
            del entry

    def _send(self, incoming: Incoming, reply: ReplyEnvelope, blob: Blob) -> None:
        envelope = reply.to_bytes()
        taken = self._inbox.reply(
            incoming, envelope=envelope, signature=self._state.key.sign(envelope), blob=blob
        )
        if not taken:
            _log.info("reply_not_taken", task_key=reply.task_key, task_kind=reply.kind)


def _join(thread: threading.Thread) -> None:
    if thread.is_alive():
        thread.join(timeout=_JOIN_SECONDS)
