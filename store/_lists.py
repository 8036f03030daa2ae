"""Plain lists, in their fixed orders."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from . import _rows
from ._find import WITH_PARTS, adapter_id, adapter_row, known_id, resolve
from ._names import whole
from ._records import (
    AdapterLine,
    Alias,
    AliasChange,
    BaseModel,
    ContributionRecord,
    Decision,
    DriverRecord,
    Event,
    Evidence,
    MetricRecord,
    NodeRecord,
    RoundRecord,
    SummaryRecord,
    TaskRecord,
    Version,
)
from ._tables import (
    AdapterRow,
    AliasLogRow,
    AliasRow,
    BaseModelRow,
    ContributionRow,
    DecisionRow,
    DriverRow,
    EventRow,
    EvidenceRow,
    MetricRow,
    NodeRow,
    RoundRow,
    SummaryRow,
    TaskRow,
    VersionRow,
)

Row = TypeVar("Row")
Record = TypeVar("Record")
MAX_LIMIT = 1000


def _all(session: Session, query: Select[Row], copy: Callable[[Row], Record]) -> list[Record]:
    return [copy(row) for row in session.scalars(query)]


def base_models(session: Session) -> list[BaseModel]:
    """List base models by name."""
    return _all(session, select(BaseModelRow).order_by(BaseModelRow.name), _rows.base_model)


def adapters(session: Session) -> list[AdapterLine]:
    """List adapters by name."""
    return _all(session, select(AdapterRow).order_by(AdapterRow.name), _rows.adapter)


def by_digest(session: Session, digest: str) -> list[Version]:
    """List versions of these bytes, oldest first."""
    query = select(VersionRow).where(VersionRow.digest == digest).order_by(VersionRow.id)
    return _all(session, query.options(*WITH_PARTS), _rows.version)


def aliases(session: Session, adapter: str) -> list[Alias]:
    """List an adapter's aliases by name."""
    line = adapter_row(session, adapter)
    query = select(AliasRow).where(AliasRow.adapter_id == line.id).order_by(AliasRow.alias)
    return _all(session, query, lambda row: _rows.alias(row, adapter))


def alias_history(session: Session, adapter: str, alias: str) -> list[AliasChange]:
    """List an alias's changes, oldest first."""
    line = adapter_row(session, adapter)
    query = (
        select(AliasLogRow)
        .where(AliasLogRow.adapter_id == line.id, AliasLogRow.alias == alias)
        .order_by(AliasLogRow.sequence)
    )
    return _all(session, query, lambda row: _rows.alias_change(row, adapter))


def metrics(session: Session, ref: str) -> list[MetricRecord]:
    """List what was measured on a version, oldest first."""
    version = resolve(session, ref)
    query = select(MetricRow).where(MetricRow.version_id == version.id).order_by(MetricRow.id)
    return _all(session, query, _rows.metric)


def nodes(session: Session) -> list[NodeRecord]:
    """List nodes by identity."""
    return _all(session, select(NodeRow).order_by(NodeRow.identity), _rows.node)


def rounds(
    session: Session, adapter: str | None = None, state: str | None = None
) -> list[RoundRecord]:
    """List rounds by adapter and number."""
    query = (
        select(RoundRow)
        .join(AdapterRow, RoundRow.adapter_id == AdapterRow.id)
        .order_by(AdapterRow.name, RoundRow.number)
    )
    if adapter is not None:
        query = query.where(RoundRow.adapter_id == adapter_id(session, adapter))
    if state is not None:
        query = query.where(RoundRow.state == state)
    return _all(session, query, _rows.round_)


def tasks(
    session: Session, adapter: str | None, round: int | None = None, state: str | None = None
) -> list[TaskRecord]:
    """List tasks by round, kind, identity, key."""
    given = _given(adapter_id=adapter_id(session, adapter), round=round, state=state)
    query = _tasks_with(tuple(given))
    return [TaskRecord(**row) for row in session.execute(query, given).mappings()]


def _given(**wanted: object) -> dict[str, object]:
    return {name: value for name, value in wanted.items() if value is not None}


# A driver reads tasks and contributions at each of its steps, and there may be hundreds: so they
# are columns, labelled as their records' fields, and the statements are made once.
@cache
def _tasks_with(given: tuple[str, ...]) -> Select[*tuple[Any, ...]]:
    """Select tasks whose columns of these names have the values given."""
    return (
        select(
            TaskRow.key,
            TaskRow.kind,
            func.coalesce(AdapterRow.name, "").label("adapter"),
            TaskRow.round,
            TaskRow.identity,
            TaskRow.start_digest,
            TaskRow.config_digest,
            TaskRow.rank,
            TaskRow.state,
            TaskRow.created_at,
        )
        .outerjoin(AdapterRow, AdapterRow.id == TaskRow.adapter_id)
        .where(*(getattr(TaskRow, name) == bindparam(name) for name in given))
        .order_by(TaskRow.round, TaskRow.kind, TaskRow.identity, TaskRow.key)
    )


def contributions(
    session: Session,
    adapter: str,
    round: int | None = None,
    *,
    status: str | None = None,
    counted: bool | None = None,
) -> list[ContributionRecord]:
    """List contributions by identity and task."""
    given = _given(adapter_id=known_id(session, adapter), round=round, status=status)
    query = _contributions_with(tuple(given), counted)
    return [ContributionRecord(**row) for row in session.execute(query, given).mappings()]


@cache
def _contributions_with(given: tuple[str, ...], counted: bool | None) -> Select[*tuple[Any, ...]]:
    """Select contributions whose columns of these names have the values given."""
    query = (
        select(
            ContributionRow.task_key,
            AdapterRow.name.label("adapter"),
            ContributionRow.round,
            ContributionRow.identity,
            ContributionRow.status,
            ContributionRow.reason,
            ContributionRow.digest,
            ContributionRow.size_bytes,
            ContributionRow.num_examples,
            ContributionRow.metrics,
            ContributionRow.start_digest,
            ContributionRow.start_number,
            ContributionRow.rank,
            ContributionRow.approximate,
            ContributionRow.counted_in,
            ContributionRow.created_at,
        )
        .join(AdapterRow, AdapterRow.id == ContributionRow.adapter_id)
        .where(*(getattr(ContributionRow, name) == bindparam(name) for name in given))
        .order_by(ContributionRow.identity, ContributionRow.task_key)
    )
    if counted is None:
        return query
    column = ContributionRow.counted_in
    return query.where(column.is_not(None) if counted else column.is_(None))


def summaries(session: Session, adapter: str, round: int | None) -> list[SummaryRecord]:
    """List summaries by round, identity, task."""
    query = (
        select(SummaryRow)
        .where(SummaryRow.adapter_id == adapter_row(session, adapter).id)
        .order_by(SummaryRow.round, SummaryRow.identity, SummaryRow.task_key)
    )
    if round is not None:
        query = query.where(SummaryRow.round == round)
    return _all(session, query, _rows.summary)


def drivers(session: Session) -> list[DriverRecord]:
    """List drivers by epoch."""
    return _all(session, select(DriverRow).order_by(DriverRow.epoch), _rows.driver)


def _numbered(
    session: Session, table: Any, adapter: str | None, since: int, limit: int
) -> Select[Any]:
    """Select rows with a number above `since`, in order."""
    whole("since", since)
    whole("limit", limit, least=1, most=MAX_LIMIT)
    query = select(table).where(table.number > since).order_by(table.number).limit(limit)
    if adapter is not None:
        query = query.where(table.adapter_id == adapter_id(session, adapter))
    return query


def evidence(session: Session, adapter: str | None, since: int, limit: int) -> list[Evidence]:
    """List evidence by number."""
    return _all(session, _numbered(session, EvidenceRow, adapter, since, limit), _rows.evidence)


def decisions(session: Session, adapter: str | None, since: int, limit: int) -> list[Decision]:
    """List decisions by number."""
    return _all(session, _numbered(session, DecisionRow, adapter, since, limit), _rows.decision)


def events(session: Session, adapter: str | None, since: int, limit: int) -> list[Event]:
    """List events by number."""
    return _all(session, _numbered(session, EventRow, adapter, since, limit), _rows.event)
