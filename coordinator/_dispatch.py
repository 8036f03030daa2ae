"""Sending: the bytes and the envelope of a task that is on record, within the outbox's budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..aggregation import Limits, decode, encode, leading
from ..client._protocol import TaskEnvelope, blob_digest
from ..store import Ledger, Version
from ._base import Base
from ._config import LimitsConfig
from ._lines import Line
from ._outbox import Outbox, Sent
from ._plans import Question, evaluate_task, serve_task, train_task
from ._round_actions import SendTask, ServeVersion
from ._round_view import Kind


@dataclass(frozen=True)
class Message:
    """A task with its bytes; `answer_bytes` is how large its answer will be, at most."""

    envelope: TaskEnvelope
    blob: bytes
    answer_bytes: int


class QuestionGone(Exception):
    """A task on record cannot be asked any more: what it would compare with has moved on."""


class Dispatch:
    """Builds messages from records and sends them; keeps the bytes that were sent last."""

    def __init__(self, ledger: Ledger, outbox: Outbox, limits: LimitsConfig) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._limits = limits
        self._kept: tuple[tuple[str, int | None], bytes] | None = None

    def send(self, line: Line, base: Base, action: SendTask, *, address: int, now: float) -> Sent:
        """Send a task to a node's address of today; the caller has asked `has_room`.

        Raises:
            QuestionGone: the same question cannot be built from the records any more.
        """
        if action.kind == "train":
            message = self._training(line, base, action)
        else:
            message = self._evaluation(line, base, action)
        if message.envelope.task_key != action.key:
            raise QuestionGone(action.key)
        patience = line.policy.deadline_seconds * (2 if action.kind == "train" else 1)
        return self._outbox.send(
            message.envelope,
            purpose=action.kind,
            address=address,
            blob=message.blob,
            cost=len(message.blob) + message.answer_bytes,
            now=now,
            ttl_seconds=patience,
        )

    def serve(
        self,
        line: Line,
        base: Base,
        action: ServeVersion,
        *,
        question: Mapping[str, int],
        address: int,
        now: float,
    ) -> bool:
        """Have a node serve the stable version; False when there is no room for its bytes now.

        It is not on record: asked again, it does no harm. `question` makes it one of its kind, so
        that no node takes it for one that it has answered before.
        """
        version = self.version(line, action.number)
        cost = version.size_bytes if action.with_bytes else 0
        if not self._outbox.has_room(cost):
            return False
        blob = self._bytes(version, None) if action.with_bytes else b""
        envelope = serve_task(
            self.question(line, base),
            version=version,
            identity=action.identity,
            serve=question,
            blob_digest=blob_digest(blob),
        )
        self._outbox.send(
            envelope,
            purpose="serve",
            address=address,
            blob=blob,
            cost=cost,
            now=now,
            ttl_seconds=line.policy.deadline_seconds,
        )
        return True

    def has_room(self, line: Line, base: Base, action: SendTask) -> bool:
        """Say whether the task fits the budget now, by an estimate that reads no blob."""
        if action.kind == "train":
            record = line.round(action.round)
            start = self.version(line, record.start_number)
            rank = line.plan(action.round).cohort[action.identity].rank
            return self._outbox.has_room(start.size_bytes + base.size_bytes(rank))
        return self._outbox.has_room(line.of_digest(action.start_digest).size_bytes)

    def forget_bytes(self) -> None:
        """Let the kept bytes go: nothing is waiting to be sent."""
        self._kept = None

    def version(self, line: Line, number: int) -> Version:
        """Return a version of a line; the newest one without asking the registry."""
        if line.head is not None and line.head.number == number:
            return line.head
        return self._ledger.registry.version(f"{line.name}@{number}")

    def question(self, line: Line, base: Base) -> Question:
        """Return what all tasks of a line share."""
        return Question(
            adapter=line.name,
            base_fingerprint=base.fingerprint,
            deadline_seconds=line.policy.deadline_seconds,
            max_adapter_bytes=self._limits.max_adapter_bytes,
        )

    def _training(self, line: Line, base: Base, action: SendTask) -> Message:
        plan = line.plan(action.round)
        share = plan.cohort[action.identity]
        start = self.version(line, line.round(action.round).start_number)
        blob = self._bytes(start, share.part_rank)
        envelope = train_task(
            self.question(line, base),
            plan,
            round=action.round,
            identity=action.identity,
            start=start,
            blob_digest=start.digest if share.part_rank is None else blob_digest(blob),
        )
        return Message(envelope, blob, base.size_bytes(share.rank))

    def _evaluation(self, line: Line, base: Base, action: SendTask) -> Message:
        version = line.of_digest(action.start_digest)
        stable = line.stable
        envelope = self.evaluation(
            line,
            base,
            version,
            kind=action.kind,
            round=action.round,
            identity=action.identity,
            stable=action.kind == "evaluate"
            and stable is not None
            and stable.number == version.number,
        )
        if envelope.task_key != action.key:
            asked = None if line.family is None else line.family.asked_before
            if action.kind == "evaluate" and asked is not None:
                envelope = self._asked_before(line, base, version, action, asked)
            envelope = self._recall_of(line, base, version, action) or envelope
        return Message(envelope, self._bytes(version, None), 0)

    def _asked_before(
        self, line: Line, base: Base, version: Version, action: SendTask, asked: Mapping[str, Any]
    ) -> TaskEnvelope:
        """Return an evaluation as it was asked before the last review.

        Since then nodes are asked by another routing table: the older one does no harm, and what
        they say of the version is the same.
        """
        assert line.family is not None, "only families have reviews"
        return evaluate_task(
            self.question(line, base),
            version=version,
            identity=action.identity,
            stable=line.stable is not None and line.stable.number == version.number,
            round=action.round,
            window=line.family.window(_gate(line, version), asked=asked),
        )

    def _recall_of(
        self, line: Line, base: Base, version: Version, action: SendTask
    ) -> TaskEnvelope | None:
        """Return the recall that a task is, if it is one."""
        asked = (line.head, line.stable) if action.kind == "probe" else ()
        for against in (found for found in asked if found is not None):
            envelope = self.recall(
                line, base, version, against, identity=action.identity, round=action.round
            )
            if envelope.task_key == action.key:
                return envelope
        return None

    def recall(
        self,
        line: Line,
        base: Base,
        version: Version,
        against: Version,
        *,
        identity: str,
        round: int,
    ) -> TaskEnvelope:
        """Return the question how an earlier version does against one whose scores a node has."""
        assert line.family is not None, "versions of families are recalled"
        return evaluate_task(
            self.question(line, base),
            version=version,
            identity=identity,
            stable=False,
            round=round,
            window=line.family.recall(against),
        )

    def evaluation(
        self,
        line: Line,
        base: Base,
        version: Version,
        *,
        kind: Kind,
        round: int,
        identity: str,
        stable: bool = False,
    ) -> TaskEnvelope:
        """Return the question of an evaluation or a probe: the same whenever it is asked."""
        family = line.family
        if kind == "probe" and family is not None:
            window = family.comparison(identity)
        else:
            window = None if family is None else family.window(_gate(line, version))
        return evaluate_task(
            self.question(line, base),
            version=version,
            identity=identity,
            stable=stable,
            round=round,
            window=window,
        )

    def _bytes(self, version: Version, part_rank: int | None) -> bytes:
        """Return a version's bytes, or those of its best part of a lower rank.

        The state is in spectral order, so its first columns are the best part (Eckart-Young).
        """
        key = (version.digest, part_rank)
        if self._kept is not None and self._kept[0] == key:
            return self._kept[1]
        data = self._ledger.registry.read(version.ref)
        if part_rank is not None:
            limits = Limits(max_bytes=self._limits.max_adapter_bytes)
            data = encode(leading(decode(bytearray(data), limits), part_rank))
        self._kept = (key, data)
        return data


def _gate(line: Line, version: Version) -> dict[str, str] | None:
    """Return what the evaluation of a version asks besides its window, by its round's plan."""
    plan = None if version.round is None else line.plan(version.round)
    return None if plan is None else plan.gate_of(version.digest)
