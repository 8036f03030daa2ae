"""Who is there: Flower's addresses become identities, by asking each to introduce itself.

An address is only where a node can be reached today. A node that restarts comes back at another
address with the same identity; so does a second node that was given a copy of the key. To tell
them apart the old address is pinged: if it answers, the newcomer is refused and that is recorded;
if it does not, the newcomer takes over.

Who was there a moment ago, or before this daemon's start, is often back within seconds: a family
waits so long for it, so that a restart does not change what is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from ..client._protocol import Card, ProtocolError, ReplyEnvelope, TaskEnvelope, verify_reply
from ..store import Ledger
from ._base import unusable
from ._flower import Failure, Incoming, NodeGone
from ._outbox import Outbox, Sent
from ._pauses import is_paused
from ._replies import one_line

PING_SECONDS: Final = 10.0
INTRODUCE_SECONDS: Final = 300.0
RETURN_SECONDS: Final = 30.0
_MAX_PAUSE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Node:
    """A node that can be reached, as it introduced itself."""

    identity: str
    address: int
    card: Card


class Nodes:
    """The nodes of one Flower run."""

    def __init__(
        self,
        ledger: Ledger,
        outbox: Outbox,
        log: FilteringBoundLogger,
        *,
        epoch: int,
        clock: Callable[[], float],
        max_adapter_bytes: int,
    ) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._log = log
        self._epoch = epoch
        self._clock = clock
        self._max_adapter_bytes = max_adapter_bytes
        self._live: dict[str, Node] = {}
        self._addresses: set[int] = set()
        self._asked: set[int] = set()
        self._ignored: set[int] = set()
        self._pauses: dict[int, tuple[int, float]] = {}  # failures in a row, asked again when
        self._claims: dict[str, Node] = {}  # by message id of the ping to the old address
        self._count = 0
        self._started = self._last_left = clock()
        self._left: dict[str, float] = {}  # identity -> when, of those that were live in this run

    @property
    def live(self) -> Mapping[str, Node]:
        """The nodes that can be reached, by identity."""
        return self._live

    @property
    def return_until(self) -> float:
        """Until when some node may still return, in seconds since 1970; maybe in the past."""
        return self._last_left + RETURN_SECONDS

    def may_return(self, identity: str) -> bool:
        """Say whether a node is away, but for less than `RETURN_SECONDS`, or since the start."""
        if identity in self._live:
            return False
        until = self._left.get(identity, self._started) + RETURN_SECONDS
        return is_paused(self._clock(), until, longest_seconds=RETURN_SECONDS)

    def is_awaited(self, identity: str) -> bool:
        """Say whether a node may return that has not been there since the start."""
        return identity not in self._left and self.may_return(identity)

    def start(self) -> None:
        """Begin with nobody: addresses of an earlier run mean nothing in this one."""
        for record in self._ledger.registry.nodes():
            if record.status == "live":
                self._put(record.identity, record.name, record.card, None, "gone")

    def refresh(self, addresses: Collection[int]) -> bool:
        """Take in who is connected; return whether the set of reachable nodes changed."""
        self._addresses = set(addresses)
        self._asked &= self._addresses
        self._ignored &= self._addresses
        changed = False
        for node in [n for n in self._live.values() if n.address not in self._addresses]:
            self._leave(node)
            changed = True
        known = {node.address for node in self._live.values()} | self._asked | self._ignored
        known |= self._paused()
        for address in sorted(self._addresses - known):
            if self._ask("introduce", address, INTRODUCE_SECONDS) is not None:
                self._asked.add(address)
        for sent in self._outbox.overdue("ping", self._clock() - PING_SECONDS):
            changed |= self._unanswered(sent)
        return changed

    def handle(self, sent: Sent, answer: Incoming | Failure) -> bool:
        """Take in the answer to an introduction or a ping; return whether the set changed."""
        if sent.purpose == "ping":
            if isinstance(answer, Failure):
                return self._unanswered(sent)
            self._outbox.finish(sent)
            self._refuse(self._claims.pop(sent.message_id), "its identity is in use by a live node")
            return False
        self._asked.discard(sent.address)
        if isinstance(answer, Failure):
            self._outbox.finish(sent)
            count = self._pauses.get(sent.address, (0, 0.0))[0] + 1
            pause = min(2.0 ** (count - 1), _MAX_PAUSE_SECONDS)
            self._pauses[sent.address] = (count, self._clock() + pause)
            self._log.warning("node_silent", address=sent.address, again_in_seconds=pause,
                              reason=one_line(answer.reason))  # fmt: skip
            return False
        node = self._introduced(sent, answer)
        self._outbox.finish(sent)
        return node is not None and self._admit_or_ask(node)

    def update(self, reply: ReplyEnvelope) -> None:
        """Keep the counts on a node's card up to date with what its reply says."""
        node = self._live.get(reply.identity)
        if node is None:
            return
        counts = {"model_loads": reply.model_loads, "trainings": reply.trainings}
        if all(getattr(node.card, name) == value for name, value in counts.items()):
            return
        card = Card.from_json({**node.card.to_json(), **counts})
        self._live[node.identity] = Node(node.identity, node.address, card)
        self._put(node.identity, card.name, card.to_json(), str(node.address), "live")

    def _paused(self) -> set[int]:
        """Return the addresses that failed to introduce themselves and are left alone for now."""
        now = self._clock()
        self._pauses = {a: pause for a, pause in self._pauses.items() if a in self._addresses}
        return {
            address
            for address, (_, until) in self._pauses.items()
            if is_paused(now, until, longest_seconds=_MAX_PAUSE_SECONDS)
        }

    def _introduced(self, sent: Sent, answer: Incoming) -> Node | None:
        try:
            reply = verify_reply(answer.envelope, answer.signature, answer.blob)
            if reply.task_key != sent.envelope.task_key or reply.kind != "describe":
                raise ProtocolError("the reply answers another question", field="task_key")
            if reply.status != "ok":
                raise ProtocolError(reply.error or "the node refused without a reason")
            card = reply.read_card()
            if reason := unusable(card, max_adapter_bytes=self._max_adapter_bytes):
                raise ProtocolError(f"the card cannot be used: {reason}", field="card")
            return Node(reply.identity, sent.address, card)
        except ProtocolError as error:
            reason = one_line(str(error))
            self._ignored.add(sent.address)
            self._log.warning("node_refused", address=sent.address, reason=reason)
            self._ledger.record_event(
                "node_refused",
                subject=f"address {sent.address}",
                payload={"reason": reason},
                epoch=self._epoch,
            )
            return None

    def _admit_or_ask(self, node: Node) -> bool:
        """Admit a node, unless its identity is held by an address that may be alive."""
        held = self._live.get(node.identity)
        if held is None or held.address not in self._addresses or _same_process(held, node):
            self._admit(node)
            return True
        if held.address == node.address:
            return False
        sent = self._ask("ping", held.address, PING_SECONDS)
        if sent is None:
            self._admit(node)
            return True
        self._ignored.add(node.address)  # until the ping is decided
        self._claims[sent.message_id] = node
        self._log.info("node_claimed", identity=node.identity, address=node.address)
        return False

    def _admit(self, node: Node) -> None:
        held = self._live.get(node.identity)
        if held is not None:
            self._ignored.add(held.address)
            self._forget_messages(held.address)
        self._ignored.discard(node.address)
        self._left.pop(node.identity, None)
        self._live[node.identity] = node
        self._put(node.identity, node.card.name, node.card.to_json(), str(node.address), "live")
        self._log.info(
            "node_joined",
            identity=node.identity,
            name=node.card.name,
            max_rank=node.card.max_rank,
            address=node.address,
        )

    def _refuse(self, node: Node, reason: str) -> None:
        self._log.warning("node_refused", identity=node.identity, name=node.card.name,
                          address=node.address, reason=reason)  # fmt: skip
        self._ledger.record_event(
            "node_refused",
            subject=node.identity,
            payload={"reason": reason, "name": node.card.name, "address": str(node.address)},
            epoch=self._epoch,
        )

    def _unanswered(self, sent: Sent) -> bool:
        """The old address is silent: who claimed its identity takes over."""
        self._outbox.drop(sent)
        node = self._claims.pop(sent.message_id, None)
        if node is None or node.address not in self._addresses:
            return False
        self._admit(node)
        return True

    def _leave(self, node: Node) -> None:
        del self._live[node.identity]
        self._last_left = self._left[node.identity] = self._clock()
        self._forget_messages(node.address)
        self._put(node.identity, node.card.name, node.card.to_json(), None, "gone")
        self._log.info("node_left", identity=node.identity, name=node.card.name)

    def _forget_messages(self, address: int) -> None:
        for sent in self._outbox.at(address):
            if sent.purpose != "ping":
                self._outbox.drop(sent)

    def _ask(self, purpose: Any, address: int, patience_seconds: float) -> Sent | None:
        """Ask a node to introduce itself; None when it has left since the last look."""
        self._count += 1
        # numbered, so that an old answer fits no new question
        question = {"epoch": self._epoch, "count": self._count}
        try:
            return self._outbox.send(
                TaskEnvelope.create("describe", config=question),
                purpose=purpose,
                address=address,
                now=self._clock(),
                ttl_seconds=patience_seconds,
            )
        except NodeGone:
            return None

    def _put(
        self, identity: str, name: str, card: Mapping[str, Any], address: str | None, status: Any
    ) -> None:
        self._ledger.put_node(
            identity, name=name, card=card, address=address, status=status, epoch=self._epoch
        )


def _same_process(one: Node, other: Node) -> bool:
    """Only the connection was renewed: process and start time are the same."""
    mine, theirs = one.card, other.card
    return (mine.process_id, mine.started_at) == (theirs.process_id, theirs.started_at)
