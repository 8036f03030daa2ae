"""The ledger on a local SQL database: epochs, nodes, rounds, tasks, contributions, commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO

from . import _commit, _lists, _rounds, _rows
from ._blobs import Blobs
from ._database import Database, check_epoch, current_epoch, now
from ._errors import NotFound
from ._find import adapter_row, contribution_row, round_row
from ._guarded_families import GuardedFamilies
from ._intake import taken_in
from ._json import EMPTY, freeze
from ._names import digest_text, name_text, one_of, text, whole
from ._prune import Pruning, prune
from ._prune_records import Pruned
from ._records import (
    NODE_STATUSES,
    ContributionRecord,
    ContributionStatus,
    NewTask,
    NodeRecord,
    NodeStatus,
    RoundRecord,
    RoundState,
    TaskRecord,
    TaskState,
    Version,
)
from ._registry import Registry
from ._registry_types import Source
from ._route_records import Router
from ._sql_registry import SqlRegistry
from ._tables import BlobRow, DriverRow, NodeRow
from ._writes import (
    add_event,
    checked_metrics,
)


class SqlLedger(GuardedFamilies):
    """See Ledger for the contract."""

    def __init__(self, database: Database, blobs: Blobs, router: Router | None = None) -> None:
        super().__init__(database, blobs)
        self._registry = SqlRegistry(database, blobs, router)

    @property
    def registry(self) -> Registry:
        """See Ledger."""
        return self._registry

    def take_epoch(self, owner: str) -> int:
        """See Ledger."""
        with self._database.write() as session:
            epoch = current_epoch(session) + 1
            session.add(DriverRow(epoch=epoch, owner=text("owner", owner), started_at=now()))
            add_event(session, "driver_started", subject=owner, payload={"epoch": epoch})
        return epoch

    def epoch(self) -> int:
        """See Ledger."""
        with self._database.read() as session:
            return current_epoch(session)

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
        """See Ledger."""
        new = NodeRow(
            identity=name_text("identity", identity),
            name=text("node name", name, limit=1000),
            card=freeze(card, field="card"),
            address=None if address is None else text("address", address, limit=1000),
            status=one_of("status", status, NODE_STATUSES),
        )
        with self._database.write(epoch) as session:
            return _rows.node(_rounds.add_node(session, new))

    def plan_round(
        self, adapter: str, *, plan: Mapping[str, Any], start_number: int, epoch: int
    ) -> RoundRecord:
        """See Ledger."""
        with self._database.write(epoch) as session:
            line = adapter_row(session, adapter)
            return _rows.round_(_rounds.add_round(session, line, plan, start_number))

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
        """See Ledger."""
        with self._database.write(epoch) as session:
            _rounds.check_move(expect, state)
            row = round_row(session, adapter_row(session, adapter), number)
            _rounds.expect_state(row, expect)
            return _rows.round_(
                _rounds.move_round(session, row, state, reason=reason, deadline_at=deadline_at)
            )

    def rounds(
        self, adapter: str | None = None, *, state: RoundState | None = None
    ) -> list[RoundRecord]:
        """See Ledger."""
        with self._database.read() as session:
            return _lists.rounds(session, adapter, state)

    def last_round(self, adapter: str) -> RoundRecord | None:
        """See Ledger."""
        with self._database.read() as session:
            row = _rounds.last_round(session, adapter_row(session, adapter))
            return None if row is None else _rows.round_(row)

    def put_task(self, task: NewTask, *, epoch: int) -> TaskRecord:
        """See Ledger."""
        with self._database.write(epoch) as session:
            return _rows.task(_rounds.add_task(session, task))

    def close_task(
        self,
        key: str,
        *,
        state: TaskState,
        reason: str = "",
        summary: Mapping[str, Any] | None = None,
        epoch: int,
    ) -> TaskRecord:
        """See Ledger."""
        sums = None if summary is None else freeze(summary, field="summary")
        with self._database.write(epoch) as session:
            return _rows.task(_rounds.close_task(session, key, state, reason, sums))

    def tasks(
        self,
        adapter: str | None = None,
        *,
        round: int | None = None,
        state: TaskState | None = None,
    ) -> list[TaskRecord]:
        """See Ledger."""
        with self._database.read() as session:
            return _lists.tasks(session, adapter, round, state)

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
        """See Ledger."""
        whole("num_examples", num_examples, most=2**53)
        values = checked_metrics(metrics)
        sums = None if summary is None else freeze(summary, field="summary")
        with self._database.read() as session:  # saves writing bytes that are known already
            check_epoch(session, epoch)
            _rounds.train_task(session, task_key)
            first = contribution_row(session, task_key)
            if first is not None:
                return _rows.contribution(first)
        with taken_in(self._blobs, data) as intake, self._database.write(epoch) as session:
            update = _rounds.Update(
                intake=intake,
                num_examples=num_examples,
                metrics=values,
                summary=sums,
                approximate=approximate,
            )
            return _rows.contribution(_rounds.add_contribution(session, task_key, update))

    def reject(self, task_key: str, *, reason: str, epoch: int) -> ContributionRecord:
        """See Ledger."""
        said = text("reason", reason)
        with self._database.write(epoch) as session:
            return _rows.contribution(_rounds.add_contribution(session, task_key, said))

    def contributions(
        self,
        adapter: str,
        *,
        round: int | None = None,
        status: ContributionStatus | None = None,
        counted: bool | None = None,
    ) -> list[ContributionRecord]:
        """See Ledger."""
        with self._database.read() as session:
            return _lists.contributions(session, adapter, round, status=status, counted=counted)

    def read_blob(self, digest: str) -> bytes:
        """See Ledger."""
        return self._blobs.read(self._known(digest))

    def open_blob(self, digest: str) -> BinaryIO:
        """See Ledger."""
        return self._blobs.open(self._known(digest))

    def _known(self, digest: str) -> str:
        with self._database.read() as session:
            if session.get(BlobRow, digest_text(digest)) is None:
                raise NotFound("blob", digest)
        return digest

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
        """See Ledger."""
        values = checked_metrics(metrics)
        with (
            taken_in(self._blobs, data, profile) as intake,
            self._database.write(epoch) as session,
        ):
            return _commit.commit_round(
                session,
                adapter,
                number,
                intake=intake,
                counted=counted,
                metrics=values,
                aliases=aliases,
            )

    def prune_contributions(self, adapter: str, *, keep_rounds: int, epoch: int) -> int:
        """See Ledger."""
        whole("keep_rounds", keep_rounds)
        with self._database.write(epoch) as session:
            line = adapter_row(session, adapter)
            return _commit.prune(session, self._blobs, line, keep_rounds)

    def prune(
        self, adapters: Sequence[str], *, keep_versions: int | None = None, epoch: int
    ) -> Pruned:
        """See Ledger."""
        what = Pruning(adapters=tuple(adapters), keep=keep_versions)
        return prune(self._database, self._blobs, what, dry_run=False, epoch=epoch)

    def close(self) -> None:
        """See Ledger."""
        self._database.close()
