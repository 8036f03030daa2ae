"""A driver with toy nodes in one process: everything is real but Flower's transport.

`LoopSession` has the methods of `DriverSession` and hands each message to a `LoopNode`, which
answers with the client's own worker and signatures. Tests decide who answers, when and how.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from polyrank.client._client_config import ClientConfig
from polyrank.client._latest import LatestAdapters
from polyrank.client._protocol import (
    Card,
    KeyPair,
    ReplyEnvelope,
    TaskEnvelope,
    blob_digest,
    sign,
)
from polyrank.client._wire import Failure, Incoming, LinkLost
from polyrank.client._work import Worker
from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._driver import Driver
from polyrank.coordinator._flower import NodeGone
from polyrank.coordinator._log import open_log
from polyrank.store import Ledger, Registry, open_ledger

from .toy_node import ToyTrainer

Tamper = Callable[[ReplyEnvelope, bytes], tuple[ReplyEnvelope, bytes]]


class LoopNode:
    """A toy node; `tamper` may change a training's reply before it is signed."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        rank: int = 2,
        dim: int = 8,
        rows: int = 12,
        base: str = "toy",
        key: KeyPair | None = None,
        memory_bytes: int | None = None,
        modules: Iterable[str] | None = None,
        adapters: tuple[str, ...] = ("*",),
    ) -> None:
        self.name = name
        self.key = key or KeyPair.generate()
        self.trainer = ToyTrainer(name, dim=dim, rows=rows, base=base)
        self.adapters = adapters
        self.memory_bytes = memory_bytes
        self.modules = set(modules) if modules is not None else None
        state_dir = folder / name
        self.config = ClientConfig(state_dir=state_dir, name=name, max_rank=rank)
        self.worker = Worker(
            self.config, self.trainer, latest=LatestAdapters(state_dir, kept_versions=2)
        )
        self.cache: dict[str, tuple[ReplyEnvelope, bytes]] = {}
        self.trainings = 0
        self.trained: list[TaskEnvelope] = []
        self.evaluated: list[TaskEnvelope] = []
        self.tamper: Tamper | None = None
        self.forge_key: KeyPair | None = None
        self.change_envelope: Callable[[bytes], bytes] = lambda envelope: envelope
        self.process_id = 1

    @property
    def identity(self) -> str:
        return self.key.identity

    def card(self) -> Card:
        description = self.trainer.description
        return Card(
            name=self.name,
            max_rank=self.config.max_rank,
            memory_bytes=self.memory_bytes,
            device="cpu",
            tags={},
            libraries={},
            adapters=self.adapters,
            fingerprint=description.fingerprint,
            modules={
                k: v
                for k, v in description.modules.items()
                if not self.modules or k in self.modules
            },
            dense=description.dense,
            model_loads=1,
            trainings=self.trainings,
            process_id=self.process_id,
            started_at="2026-01-01T00:00:00+00:00",
        )

    def answer(self, envelope: bytes, blob: bytes) -> tuple[str, bytes, bytes, bytes]:
        """Return kind, envelope, signature and blob of the reply."""
        task = TaskEnvelope.from_bytes(envelope)
        reply, data = self._reply(task, blob)
        if self.tamper is not None and task.kind == "train":
            reply, data = self.tamper(reply, data)
        signed = self.change_envelope(reply.to_bytes())
        return task.kind, signed, sign(self.forge_key or self.key, signed), data

    def _reply(self, task: TaskEnvelope, blob: bytes) -> tuple[ReplyEnvelope, bytes]:
        if task.task_key in self.cache:
            reply, data = self.cache[task.task_key]
            return replace(reply, from_cache=True), data
        data, examples, metrics, rank = b"", 0, {}, 0
        if task.kind != "describe":
            outcome = self.worker.run(task, blob, lambda done, total, loss: None)
            data, examples, metrics = (
                bytes(outcome.blob),
                outcome.num_examples,
                dict(outcome.metrics),
            )
            rank = outcome.rank
            (self.trained if task.kind == "train" else self.evaluated).append(task)
            self.trainings += task.kind == "train"
        reply = ReplyEnvelope(
            task_key=task.task_key,
            kind=task.kind,
            identity=self.identity,
            public_key=self.key.public_key.hex(),
            status="ok",
            error="",
            start_digest=task.start_digest,
            num_examples=examples,
            metrics=metrics,
            rank=rank,
            blob_digest=blob_digest(data),
            card=self.card().to_json() if task.kind == "describe" else None,
            model_loads=1,
            trainings=self.trainings,
            from_cache=False,
            approximate=task.approximate,
        )
        if task.kind != "describe":
            self.cache[task.task_key] = (reply, data)
        return reply, data


class LoopSession:
    """Has the methods of DriverSession; `silent` addresses keep their answers back."""

    _ids = itertools.count(1)

    def __init__(self, nodes: dict[int, LoopNode]) -> None:
        self.nodes = nodes
        self.silent: set[int] = set()
        self.leaving: set[int] = set()
        self.failing: dict[int, Failure] = {}
        self.sent: dict[str, tuple[int, bytes, bytes]] = {}
        self.log: list[tuple[int, TaskEnvelope, int]] = []
        self.lost = False
        self.largest_backlog = 0
        self.confirmed: set[str] = set()

    def node_ids(self) -> set[int]:
        if self.lost:
            raise LinkLost("the loop is cut")
        return set(self.nodes)

    def send(
        self,
        node_id: int,
        kind: str,
        envelope: bytes,
        signature: bytes,
        blob: bytes = b"",
        *,
        ttl_seconds: float,
    ) -> str:
        assert ttl_seconds > 0
        if node_id in self.leaving:
            raise NodeGone(node_id)
        message_id = f"m{next(self._ids)}"
        self.sent[message_id] = (node_id, envelope, bytes(blob))
        self.log.append((node_id, TaskEnvelope.from_bytes(envelope), len(blob)))
        return message_id

    def poll(self, message_ids: Iterable[str]) -> set[str]:
        return {
            key
            for key in message_ids
            if key in self.sent and self.sent[key][0] not in self.silent
            if self.sent[key][0] in self.nodes
        }

    def pull(self, message_id: str) -> Incoming | Failure | None:
        address, envelope, blob = self.sent[message_id]
        if address in self.failing:
            found = self.failing.pop(address)
            return replace(found, message_id=message_id, node_id=address)
        kind, answer, signature, data = self.nodes[address].answer(envelope, blob)
        return Incoming(message_id, 1, address, kind, answer, signature, bytearray(data))

    def confirm(self, message_id: str) -> None:
        self.confirmed.add(message_id)
        self.sent.pop(message_id, None)

    def discard(self, message_id: str) -> None:
        self.sent.pop(message_id, None)


class Loop:
    """A driver over a real ledger; `restart` is what a crash and a new daemon amount to."""

    def __init__(
        self,
        folder: Path,
        nodes: Iterable[LoopNode],
        adapters: Mapping[str, Mapping[str, Any]],
        *,
        limits: Mapping[str, int] | None = None,
    ) -> None:
        self.folder = folder
        values = {
            "daemon": {"data_dir": str(folder)},
            "registry": {"url": "memory://"},
            "limits": dict(limits or {}),
            "adapters": {name: {"base_model": "toy", **x} for name, x in adapters.items()},
        }
        self.config = CoordinatorConfig.parse(values)
        self.now = time.time()
        self.nodes = {100 + i: node for i, node in enumerate(nodes)}
        self._undo = ExitStack()
        self.log = self._undo.enter_context(open_log(folder / "log" / "daemon.jsonl"))
        self.ledger: Ledger = self._undo.enter_context(open_ledger(self.config.registry_url))
        self.restart()

    @property
    def registry(self) -> Registry:
        return self.ledger.registry

    def restart(self) -> None:
        """Forget everything but the records, and start a new driver in a new run."""
        self.epoch = self.ledger.take_epoch("test")
        self.session = LoopSession(self.nodes)
        self.driver = self.make_driver(self.epoch)
        stop = threading.Event()
        stop.set()
        self.driver.run(stop)

    def make_driver(self, epoch: int) -> Driver:
        return Driver(
            self.config,
            self.ledger,
            self.session,  # type: ignore[arg-type]
            self.log,
            epoch=epoch,
            clock=lambda: self.now,
        )

    def run(self, *, until: Callable[[], object] | None = None, ticks: int = 1000) -> None:
        """Tick until a condition holds, or until nothing happens for five ticks.

        Time moves by 0.6 s at each tick in which nothing happens.
        """
        idle = 0
        for _ in range(ticks):
            if until is not None and until():
                return
            idle = 0 if self.driver.tick() else idle + 1
            self.now += 0.6 if idle else 0.0
            if until is None and idle > 4:
                return
        if until is not None:
            raise AssertionError(f"it did not happen within {ticks} ticks")

    def head(self, adapter: str = "line") -> int | None:
        found = {line.name: line.head for line in self.registry.adapters()}
        return found.get(adapter)

    def planned(self) -> bool:
        """Whether a round has been planned on the line."""
        return bool(self.head() is not None and self.registry.rounds("line"))

    def close(self) -> None:
        self._undo.close()
