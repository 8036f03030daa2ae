"""What is on its way: tasks sent and not yet answered, within a budget of bytes.

Flower keeps what is sent until the node fetches it, and what is answered until it is pulled, all
in memory. So the driver sends a task only while the bytes out there, with those that the answers
will bring, stay below `max_inflight_bytes`; and it pulls one answer at a time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from ..client._protocol import TaskEnvelope
from ._flower import DriverSession, Failure, Incoming
from ._pauses import is_paused

Purpose = Literal["train", "evaluate", "probe", "serve", "introduce", "ping"]
GRACE_SECONDS: Final = 60.0
MAX_TTL_SECONDS: Final = 11.5 * 3600  # Flower keeps messages for 12 hours at most
_MAX_PAUSE_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Sent:
    """One message that waits for its answer; `cost` is in bytes, both ways together."""

    message_id: str
    purpose: Purpose
    address: int
    envelope: TaskEnvelope
    cost: int
    sent_at: float


class Outbox:
    """Messages of one Flower run; a new run starts with an empty one."""

    def __init__(self, session: DriverSession, *, max_inflight_bytes: int) -> None:
        self._session = session
        self._budget = max_inflight_bytes
        self._sent: dict[str, Sent] = {}
        self._held: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    @property
    def inflight_bytes(self) -> int:
        """The bytes of all messages that wait for an answer."""
        return sum(sent.cost for sent in self._sent.values())

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits for an answer."""
        return not self._sent

    def has_room(self, cost: int) -> bool:
        """Say whether a message of `cost` bytes may be sent; one alone always may."""
        used = self.inflight_bytes
        return used == 0 or used + cost <= self._budget

    def send(
        self,
        envelope: TaskEnvelope,
        *,
        purpose: Purpose,
        address: int,
        blob: bytes = b"",
        cost: int = 0,
        now: float,
        ttl_seconds: float,
    ) -> Sent:
        """Send one message; raises LinkLost, or LinkError when Flower refuses it."""
        message_id = self._session.send(
            address,
            envelope.kind,
            envelope.to_bytes(),
            b"",
            blob,
            ttl_seconds=min(ttl_seconds + GRACE_SECONDS, MAX_TTL_SECONDS),
        )
        sent = Sent(message_id, purpose, address, envelope, cost, now)
        self._sent[message_id] = sent
        return sent

    def ready(self) -> list[Sent]:
        """Return the messages whose answer can be pulled, those sent first, first."""
        if not self._sent:
            return []
        found = self._session.poll(self._sent)
        return [sent for key, sent in self._sent.items() if key in found]

    def pull(self, sent: Sent) -> Incoming | Failure | None:
        """Fetch one answer; None when it is not there yet."""
        return self._session.pull(sent.message_id)

    def finish(self, sent: Sent) -> None:
        """Forget a message whose answer is durable, and let Flower delete it."""
        self._sent.pop(sent.message_id, None)
        self._failures.pop(sent.envelope.task_key, None)
        self._session.confirm(sent.message_id)

    def drop(self, sent: Sent) -> None:
        """Forget a message whose answer is not waited for; if it comes, Flower deletes it."""
        self._sent.pop(sent.message_id, None)
        self._session.discard(sent.message_id)

    def hold(self, sent: Sent, now: float) -> float:
        """Forget a failed message; return when its task may be sent again (1, 2, 4 … 30 s)."""
        self._sent.pop(sent.message_id, None)
        self._session.confirm(sent.message_id)
        key = sent.envelope.task_key
        count = self._failures[key] = self._failures.get(key, 0) + 1
        until = now + min(2.0 ** (count - 1), _MAX_PAUSE_SECONDS)
        self._held[key] = until
        return until

    def at(self, address: int) -> list[Sent]:
        """Return the messages that wait for an answer from one address."""
        return [sent for sent in self._sent.values() if sent.address == address]

    def drop_key(self, key: str) -> None:
        """Forget the messages of one task: its answer is not waited for any more."""
        self._failures.pop(key, None)
        for sent in [s for s in self._sent.values() if s.envelope.task_key == key]:
            self.drop(sent)

    def busy_keys(self, now: float) -> Collection[str]:
        """Return the keys of tasks that are out, or held back after a failure."""
        self._held = {
            key: until
            for key, until in self._held.items()
            if is_paused(now, until, longest_seconds=_MAX_PAUSE_SECONDS)
        }
        return {sent.envelope.task_key for sent in self._sent.values()} | self._held.keys()

    def overdue(self, purpose: Purpose, before: float) -> list[Sent]:
        """Return the messages of one purpose that were sent before a time."""
        return [s for s in self._sent.values() if s.purpose == purpose and s.sent_at < before]
