"""A driver with toy nodes in one process: the simulator's nodes and session, and what may go wrong.

Tests decide who answers, when and how; and the clock and the ticks are theirs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from polyrank.client._protocol import KeyPair, ReplyEnvelope, TaskEnvelope, sign
from polyrank.client._wire import Failure, Incoming, LinkLost
from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._driver import Driver
from polyrank.coordinator._flower import NodeGone
from polyrank.coordinator._log import open_log
from polyrank.coordinator._simulation_node import SimulatedNode
from polyrank.coordinator._simulation_session import SimulatedSession
from polyrank.store import Ledger, Registry, open_ledger

from .toy_node import ToyTrainer

Tamper = Callable[[ReplyEnvelope, bytes], tuple[ReplyEnvelope, bytes]]


class LoopNode(SimulatedNode):
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
        adapters: tuple[str, ...] = ("*",),
    ) -> None:
        super().__init__(
            name,
            ToyTrainer(name, dim=dim, rows=rows, base=base),
            max_rank=rank,
            key=key or KeyPair.generate(),
            memory_bytes=memory_bytes,
            adapters=adapters,
            folder=folder / name,
        )
        self.trained: list[TaskEnvelope] = []
        self.evaluated: list[TaskEnvelope] = []
        self.tamper: Tamper | None = None
        self.forge_key: KeyPair | None = None
        self.change_envelope: Callable[[bytes], bytes] = lambda envelope: envelope
        self.process_id = 1

    def answer(self, incoming: Incoming) -> Incoming:
        """Answer as the client does, and change what the test wants changed."""
        answer = super().answer(incoming)
        assert isinstance(answer, Incoming), answer
        reply, data = ReplyEnvelope.from_bytes(answer.envelope), bytes(answer.blob)
        assert reply.status == "ok", reply.error
        task = TaskEnvelope.from_bytes(incoming.envelope)
        if task.kind == "describe":
            reply = replace(reply, card={**(reply.card or {}), "process_id": self.process_id})
        elif not reply.from_cache:
            (self.trained if task.kind == "train" else self.evaluated).append(task)
        if self.tamper is not None and task.kind == "train":
            reply, data = self.tamper(reply, data)
        envelope = self.change_envelope(reply.to_bytes())
        signature = sign(self.forge_key or self.key, envelope)
        return replace(answer, envelope=envelope, signature=signature, blob=data)


class LoopSession(SimulatedSession):
    """Loses, delays and refuses messages; `silent` addresses keep their answers back."""

    def __init__(self, nodes: dict[int, LoopNode]) -> None:
        super().__init__(nodes)
        self.silent: set[int] = set()
        self.leaving: set[int] = set()
        self.failing: dict[int, Failure] = {}
        self.log: list[tuple[int, TaskEnvelope, int]] = []
        self.lost = False

    def node_ids(self) -> set[int]:
        if self.lost:
            raise LinkLost("the loop is cut")
        return super().node_ids()

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
        self.log.append((node_id, TaskEnvelope.from_bytes(envelope), len(blob)))
        return super().send(node_id, kind, envelope, signature, blob, ttl_seconds=ttl_seconds)

    def poll(self, message_ids: Iterable[str]) -> set[str]:
        found = super().poll(message_ids)
        return {key for key in found if self._messages[key].node_id not in self.silent}

    def pull(self, message_id: str) -> Incoming | Failure | None:
        address = self._messages[message_id].node_id
        if address in self.failing:
            found = self.failing.pop(address)
            return replace(found, message_id=message_id, node_id=address)
        return super().pull(message_id)


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
            self.session,
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
