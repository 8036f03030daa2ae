"""The coordinator's own writes: what a round needs, each guarded by the driver's epoch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, BinaryIO, Self

from ._family_contract import FamilyWrites
from ._json import EMPTY
from ._prune_records import Pruned
from ._records import (
    AdapterLine,
    BaseModel,
    ContributionRecord,
    ContributionStatus,
    Decision,
    Event,
    Evidence,
    MetricRecord,
    NewTask,
    NodeRecord,
    NodeStatus,
    Parent,
    RoundRecord,
    RoundState,
    TaskRecord,
    TaskState,
    Version,
)
from ._registry import Registry
from ._registry_types import Source


class Ledger(FamilyWrites):
    """The records of rounds, on a local database; there is no remote ledger.

    - Every write is one transaction that first compares `epoch` with the newest one and raises
      StaleEpoch, having changed nothing, if they differ: an old driver that wakes up is harmless.
    - A blob is on the disk before the transaction that names it commits; a crash in between
      leaves a blob that nothing names, which is harmless.
    - Safe for use by several threads. NotFound, InvalidValue and Closed as in Registry.
    """

    @property
    @abstractmethod
    def registry(self) -> Registry:
        """The registry on the same database; closed with the ledger."""

    @abstractmethod
    def take_epoch(self, owner: str) -> int:
        """Become the driver in charge: one more than the newest epoch. `owner` is free text."""

    @abstractmethod
    def epoch(self) -> int:
        """Return the newest epoch, 0 before the first."""

    # -------------------------------------------------- registry writes, guarded
    @abstractmethod
    def register_base_model(
        self, name: str, *, fingerprint: str, metadata: Mapping[str, Any] = EMPTY, epoch: int
    ) -> BaseModel:
        """Do what Registry.register_base_model does, under the epoch."""

    @abstractmethod
    def create_adapter(
        self, name: str, *, base_model: str, tags: Mapping[str, str] = EMPTY, epoch: int
    ) -> AdapterLine:
        """Do what Registry.create_adapter does, under the epoch."""

    @abstractmethod
    def publish(
        self,
        adapter: str,
        data: Source,
        *,
        profile: Mapping[str, Any] | None = None,
        parents: Sequence[Parent | str] = (),
        origin: str = "import",
        metrics: Mapping[str, float] = EMPTY,
        tags: Mapping[str, str] = EMPTY,
        aliases: Sequence[str] = (),
        idempotency_key: str | None = None,
        epoch: int,
    ) -> Version:
        """Do what Registry.publish does, under the epoch, and set aliases with it (version 0)."""

    @abstractmethod
    def record_evidence(
        self,
        kind: str,
        *,
        adapter: str | None = None,
        subject: str = "",
        payload: Mapping[str, Any],
        epoch: int,
    ) -> Evidence:
        """Do what Registry.record_evidence does, under the epoch."""

    @abstractmethod
    def record_decision(
        self,
        kind: str,
        *,
        adapter: str | None = None,
        subject: str = "",
        reason: str,
        payload: Mapping[str, Any] = EMPTY,
        evidence: Sequence[int] = (),
        epoch: int,
    ) -> Decision:
        """Do what Registry.record_decision does, under the epoch."""

    @abstractmethod
    def record_event(
        self,
        kind: str,
        *,
        adapter: str | None = None,
        subject: str = "",
        payload: Mapping[str, Any] = EMPTY,
        epoch: int,
    ) -> Event:
        """Append an event."""

    @abstractmethod
    def record_metrics(
        self, ref: str, metrics: Mapping[str, float], *, identity: str | None = None, epoch: int
    ) -> list[MetricRecord]:
        """Add measured numbers to a version; finite only.

        The same (version, name, identity) again keeps the first value: a repeated evaluation
        after a crash adds nothing. Returns the records of these names.
        """

    # ------------------------------------------------------------------- nodes
    @abstractmethod
    def put_node(
        self,
        identity: str,
        *,
        name: str,
        card: Mapping[str, Any],
        address: str | None,
        status: NodeStatus = "live",
        epoch: int,
    ) -> NodeRecord:
        """Write down what a node is now and that it was seen now.

        Appends an event ("node_changed") only if name, card, address or status changed.
        """

    # ------------------------------------------------------------------ rounds
    @abstractmethod
    def plan_round(
        self, adapter: str, *, plan: Mapping[str, Any], start_number: int, epoch: int
    ) -> RoundRecord:
        """Plan the adapter's next round, numbered 1, 2, ...; it starts from version start_number.

        Raises Conflict while another round of this adapter is neither committed nor abandoned, and
        where the version (or the adapter) is retired.
        """

    @abstractmethod
    def move_round(
        self,
        adapter: str,
        number: int,
        *,
        state: RoundState,
        expect: RoundState,
        reason: str = "",
        deadline_at: datetime | None = None,
        epoch: int,
    ) -> RoundRecord:
        """Move a round from state `expect`: planned -> open -> aggregating, or to abandoned.

        A deadline_at (timezone-aware) replaces the round's; None leaves it. Raises Conflict if
        the round is in another state, InvalidValue for a move that does not exist; a round
        becomes committed through commit_round alone. Abandoning keeps the contributions: they
        may be counted by a later round.
        """

    @abstractmethod
    def rounds(
        self, adapter: str | None = None, *, state: RoundState | None = None
    ) -> list[RoundRecord]:
        """List rounds by adapter and number."""

    @abstractmethod
    def last_round(self, adapter: str) -> RoundRecord | None:
        """Return the adapter's newest round, None before the first."""

    # ------------------------------------------------------------------- tasks
    @abstractmethod
    def put_task(self, task: NewTask, *, epoch: int) -> TaskRecord:
        """Write a task down before it is sent; the same key again returns the first one.

        All but a describe task need their adapter; a train task needs its round, planned or
        open. Raises Conflict if the key exists with other contents.
        """

    @abstractmethod
    def close_task(
        self,
        key: str,
        *,
        state: TaskState,
        reason: str = "",
        summary: Mapping[str, Any] | None = None,
        epoch: int,
    ) -> TaskRecord:
        """Close an open task that brings no contribution: "done", "rejected" or "expired".

        For evaluate, probe and describe tasks, and for train tasks that are given up ("expired"; a
        late update may still be accepted). An evaluate or probe task that is done may bring a
        summary; any other raises InvalidValue for one. Appends the event task_STATE with the
        reason. A task that is closed already stays as it is, without this summary.
        """

    @abstractmethod
    def tasks(
        self,
        adapter: str | None = None,
        *,
        round: int | None = None,
        state: TaskState | None = None,
    ) -> list[TaskRecord]:
        """List tasks by round, kind and identity; of all adapters if none is named."""

    # ----------------------------------------------------------- contributions
    @abstractmethod
    def accept(
        self,
        task_key: str,
        *,
        data: bytes | bytearray | memoryview,
        num_examples: int,
        metrics: Mapping[str, float] = EMPTY,
        summary: Mapping[str, Any] | None = None,
        approximate: bool = False,
        epoch: int,
    ) -> ContributionRecord:
        """Make a checked update durable; its task is done then.

        A task has one contribution: asked again, with whatever bytes, the first one is returned
        unchanged, accepted or rejected. Only a train task can have one. The caller has decoded
        and checked the bytes; the store reads their header alone (InvalidBlob) for their rank.
        """

    @abstractmethod
    def reject(self, task_key: str, *, reason: str, epoch: int) -> ContributionRecord:
        """Record that a train task's update was bad, and why; asked again, return the first.

        The bytes are not kept.
        """

    @abstractmethod
    def contributions(
        self,
        adapter: str,
        *,
        round: int | None = None,
        status: ContributionStatus | None = None,
        counted: bool | None = None,
    ) -> list[ContributionRecord]:
        """List contributions in the order in which they are aggregated: (identity, task_key)."""

    @abstractmethod
    def read_blob(self, digest: str) -> bytes:
        """Return a blob's bytes, checked. NotFound once it was pruned. BlobDamaged, BlobMissing."""

    @abstractmethod
    def open_blob(self, digest: str) -> BinaryIO:
        """Open a blob, checked before it is handed out; the caller closes it."""

    # ------------------------------------------------------------------ commit
    @abstractmethod
    def commit_round(
        self,
        adapter: str,
        number: int,
        *,
        data: Source,
        counted: Sequence[str],
        profile: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] = EMPTY,
        aliases: Sequence[str] = (),
        epoch: int,
    ) -> Version:
        """Turn an aggregating round into a version, in one transaction.

        The version (its parent is the round's start, role "start"; origin "round"), `counted_in`
        of each task key in `counted`, the adapter's head, the round's state, the aliases with
        their log, and the events: all or nothing. A round that was committed with the same bytes
        and the same `counted` returns its version again. Raises Conflict if the round is in
        another state, or if a key of `counted` has no accepted contribution to this adapter or
        was counted already; nothing is changed then.
        """

    @abstractmethod
    def prune_contributions(self, adapter: str, *, keep_rounds: int, epoch: int) -> int:
        """Delete the bytes of contributions counted more than `keep_rounds` commits ago.

        Their records and digests stay. Bytes that a version or another contribution still uses
        stay too. Returns the number of contributions whose bytes were let go.
        """

    @abstractmethod
    def prune(
        self, adapters: Sequence[str], *, keep_versions: int | None = None, epoch: int
    ) -> Pruned:
        """Do what Registry.prune does, for these lines, under the epoch."""

    @abstractmethod
    def close(self) -> None:
        """Close the ledger and its registry; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
