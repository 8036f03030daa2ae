"""From rows to records: no row leaves the package."""

from __future__ import annotations

from typing import Any, cast

from ._family_records import DecisionState
from ._header import Header
from ._json import ReadOnlyDict
from ._records import (
    AdapterLine,
    Alias,
    AliasChange,
    BaseModel,
    ContributionRecord,
    ContributionStatus,
    Decision,
    DenseSpec,
    DriverRecord,
    Event,
    Evidence,
    MetricRecord,
    ModuleSpec,
    NodeRecord,
    NodeStatus,
    Parent,
    RoundRecord,
    RoundState,
    SummaryRecord,
    TaskKind,
    TaskRecord,
    TaskState,
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


def base_model(row: BaseModelRow) -> BaseModel:
    """Copy a base model."""
    return BaseModel(
        name=row.name,
        fingerprint=row.fingerprint,
        metadata=row.meta,
        created_at=row.created_at,
    )


def adapter(row: AdapterRow) -> AdapterLine:
    """Copy an adapter."""
    return AdapterLine(
        name=row.name,
        base_model=row.base_model.name,
        tags=row.tags,
        head=row.head,
        created_at=row.created_at,
        retired=row.retired_at is not None,
    )


def version(row: VersionRow, *, profile: bool = False) -> Version:
    """Copy a version, with its profile if that is asked for (it is another query)."""
    return Version(
        adapter=row.adapter.name,
        number=row.number,
        digest=row.digest,
        size_bytes=row.size_bytes,
        base_model=row.adapter.base_model.name,
        parents=tuple(
            Parent(
                adapter=parent.parent_adapter.name,
                number=parent.parent_number,
                weight=parent.weight,
                role=parent.role,
            )
            for parent in row.parents
        ),
        origin=row.origin,
        modules=modules_of(row.modules),
        dense=dense_of(row.dense),
        metrics=ReadOnlyDict({metric.name: metric.value for metric in row.published_metrics}),
        tags=ReadOnlyDict({tag.key: tag.value for tag in row.tags}),
        profile=row.profile if profile else None,
        round=row.round,
        created_at=row.created_at,
        retired=row.retired_at is not None,
    )


def modules_to(header: Header) -> list[Any]:
    """Pack module specifications for their column."""
    return [[spec.name, spec.rank, list(spec.shape), spec.dtype] for spec in header.modules]


def modules_of(packed: list[Any]) -> tuple[ModuleSpec, ...]:
    """Unpack module specifications."""
    return tuple(
        ModuleSpec(name=name, rank=rank, shape=(m, n), dtype=dtype)
        for name, rank, (m, n), dtype in packed
    )


def dense_to(header: Header) -> list[Any]:
    """Pack dense specifications for their column."""
    return [[spec.name, list(spec.shape), spec.dtype] for spec in header.dense]


def dense_of(packed: list[Any]) -> tuple[DenseSpec, ...]:
    """Unpack dense specifications."""
    return tuple(
        DenseSpec(name=name, shape=tuple(shape), dtype=dtype) for name, shape, dtype in packed
    )


def alias(row: AliasRow, adapter_name: str) -> Alias:
    """Copy an alias."""
    return Alias(
        adapter=adapter_name,
        alias=row.alias,
        number=row.number,
        reason=row.reason,
        updated_at=row.updated_at,
    )


def alias_change(row: AliasLogRow, adapter_name: str) -> AliasChange:
    """Copy a line of the alias log."""
    return AliasChange(
        adapter=adapter_name,
        alias=row.alias,
        number=row.number,
        reason=row.reason,
        updated_at=row.updated_at,
        previous=row.previous,
        sequence=row.sequence,
        kind="set" if row.kind == "set" else "rollback",
    )


def event(row: EventRow) -> Event:
    """Copy an event."""
    return Event(
        number=row.number,
        kind=row.kind,
        adapter=row.adapter.name if row.adapter else None,
        subject=row.subject,
        payload=row.payload,
        created_at=row.created_at,
    )


def node(row: NodeRow) -> NodeRecord:
    """Copy a node."""
    return NodeRecord(
        identity=row.identity,
        name=row.name,
        card=row.card,
        address=row.address,
        status=cast("NodeStatus", row.status),
        first_seen=row.first_seen,
        last_seen=row.last_seen,
    )


def round_(row: RoundRow) -> RoundRecord:
    """Copy a round."""
    return RoundRecord(
        adapter=row.adapter.name,
        number=row.number,
        state=cast("RoundState", row.state),
        plan=row.plan,
        start_number=row.start_number,
        version=row.version,
        reason=row.reason,
        deadline_at=row.deadline_at,
        created_at=row.created_at,
        closed_at=row.closed_at,
    )


def task(row: TaskRow) -> TaskRecord:
    """Copy a task."""
    return TaskRecord(
        key=row.key,
        kind=cast("TaskKind", row.kind),
        adapter=row.adapter.name if row.adapter else "",
        round=row.round,
        identity=row.identity,
        start_digest=row.start_digest,
        config_digest=row.config_digest,
        rank=row.rank,
        state=cast("TaskState", row.state),
        created_at=row.created_at,
    )


def contribution(row: ContributionRow) -> ContributionRecord:
    """Copy a contribution."""
    return ContributionRecord(
        task_key=row.task_key,
        adapter=row.adapter.name,
        round=row.round,
        identity=row.identity,
        status=cast("ContributionStatus", row.status),
        reason=row.reason,
        digest=row.digest,
        size_bytes=row.size_bytes,
        num_examples=row.num_examples,
        metrics=row.metrics,
        start_digest=row.start_digest,
        start_number=row.start_number,
        rank=row.rank,
        approximate=row.approximate,
        counted_in=row.counted_in,
        created_at=row.created_at,
    )


def summary(row: SummaryRow) -> SummaryRecord:
    """Copy a summary."""
    return SummaryRecord(
        task_key=row.task_key,
        adapter=row.adapter.name,
        round=row.round,
        identity=row.identity,
        payload=row.payload,
        created_at=row.created_at,
    )


def evidence(row: EvidenceRow) -> Evidence:
    """Copy evidence."""
    return Evidence(
        number=row.number,
        adapter=row.adapter.name if row.adapter else None,
        kind=row.kind,
        subject=row.subject,
        payload=row.payload,
        created_at=row.created_at,
    )


def decision(row: DecisionRow) -> Decision:
    """Copy a decision."""
    return Decision(
        number=row.number,
        adapter=row.adapter.name if row.adapter else None,
        kind=row.kind,
        subject=row.subject,
        reason=row.reason,
        payload=row.payload,
        evidence=tuple(link.evidence for link in row.evidence),
        state=cast("DecisionState", row.steps[-1].state) if row.steps else "recorded",
        created_at=row.created_at,
    )


def metric(row: MetricRow) -> MetricRecord:
    """Copy a measured number."""
    return MetricRecord(
        name=row.name,
        value=row.value,
        identity=row.identity or None,
        created_at=row.created_at,
    )


def driver(row: DriverRow) -> DriverRecord:
    """Copy an epoch."""
    return DriverRecord(epoch=row.epoch, owner=row.owner, started_at=row.started_at)
