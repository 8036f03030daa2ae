"""The driver's session without Flower: messages go to nodes in this process, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import replace
from typing import Final

from ..client._wire import Blob, Failure, Incoming
from ._flower import DriverSession, NodeGone
from ._simulation_engine import Engine, InProcess
from ._simulation_node import SimulatedNode

_RUN_ID: Final = 1


class SimulatedSession(DriverSession):
    """Has the methods of a Flower run; a node works when its answer is pulled, or from the poll on.

    So the driver's order is the only order there is: one answer is made at a time, and it is in
    memory no longer than until it is digested.

    Args:
        nodes: those that are connected, by address; the mapping is used as it is, and changed by
            `join` and `leave`.
        on_answer: called after each answer.
        engine: where nodes work; in this process unless it says otherwise.

    Attributes:
        answers: how many there were.
    """

    def __init__(
        self,
        nodes: MutableMapping[int, SimulatedNode] | None = None,
        *,
        on_answer: Callable[[], object] = lambda: None,
        engine: Engine | None = None,
    ) -> None:
        super().__init__("simulation")
        self.nodes: MutableMapping[int, SimulatedNode] = {} if nodes is None else nodes
        self.answers = 0
        self._on_answer = on_answer
        self._engine = engine or InProcess()
        self._messages: dict[str, Incoming] = {}
        self._count = 0
        self._next_address = max(self.nodes, default=0) + 1

    def join(self, node: SimulatedNode) -> int:
        """Connect a node; returns its address, which no other node ever had."""
        self._engine.join(node)
        address, self._next_address = self._next_address, self._next_address + 1
        self.nodes[address] = node
        return address

    def leave(self, address: int) -> None:
        """Disconnect a node; what it was asked stays unanswered."""
        self._engine.leave(self.nodes.pop(address))

    @property
    def run_id(self) -> int:
        """The id of the one run."""
        return _RUN_ID

    @property
    def alive(self) -> bool:
        """True: there is nothing that could be lost."""
        return True

    def open(self) -> None:
        """Do nothing."""

    def close(self, ok: bool = True) -> None:
        """Do nothing."""

    def node_ids(self) -> set[int]:
        """Return the addresses of the nodes that are connected now."""
        return set(self.nodes)

    def send(
        self,
        node_id: int,
        kind: str,
        envelope: bytes,
        signature: bytes,
        blob: Blob = b"",
        *,
        ttl_seconds: float,
    ) -> str:
        """Keep a message for a node until its answer is pulled; raises NodeGone."""
        if node_id not in self.nodes:
            raise NodeGone(node_id)
        self._count += 1
        message_id = f"message {self._count}"
        self._messages[message_id] = Incoming(
            message_id, _RUN_ID, node_id, kind, envelope, signature, blob
        )
        return message_id

    def poll(self, message_ids: Iterable[str]) -> set[str]:
        """Return those of the messages that a connected node can answer, and let it begin."""
        known = [self._messages[key] for key in message_ids if key in self._messages]
        found = [message for message in known if message.node_id in self.nodes]
        for message in found:
            self._engine.begin(self.nodes[message.node_id], message)
        return {message.message_id for message in found}

    def pull(self, message_id: str) -> Incoming | Failure | None:
        """Let the node work and return its answer; None if it has left."""
        message = self._messages[message_id]
        node = self.nodes.get(message.node_id)
        if node is None:
            return None
        answer = self._engine.answer(node, message)
        self.answers += 1
        self._on_answer()
        if isinstance(answer, Failure):
            return answer
        return replace(answer, blob=bytearray(answer.blob))  # the caller may write into it

    def confirm(self, message_id: str) -> None:
        """Forget a message whose answer is digested."""
        self._engine.forget(message_id)
        self._messages.pop(message_id, None)

    def discard(self, message_id: str) -> None:
        """Forget a message that is not waited for any more."""
        self._engine.forget(message_id)
        self._messages.pop(message_id, None)
