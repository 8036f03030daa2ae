"""The registry's writes as the ledger offers them: under the driver's epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import _rows, _versions
from ._blobs import Blobs
from ._database import Database
from ._decisions import add_decision, add_evidence
from ._family_records import NewDecision
from ._find import adapter_row, resolve
from ._json import EMPTY
from ._ledger import Ledger
from ._names import name_text
from ._records import (
    AdapterLine,
    BaseModel,
    Decision,
    Event,
    Evidence,
    MetricRecord,
    Parent,
    Version,
)
from ._registry_types import Source
from ._writes import (
    add_adapter,
    add_base_model,
    add_event,
    add_metrics,
    checked_metrics,
)


class GuardedWrites(Ledger):
    """The part of a ledger that writes what a registry writes; see Ledger for the contract."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def register_base_model(
        self, name: str, *, fingerprint: str, metadata: Mapping[str, Any] = EMPTY, epoch: int
    ) -> BaseModel:
        """See Ledger."""
        with self._database.write(epoch) as session:
            return _rows.base_model(add_base_model(session, name, fingerprint, metadata))

    def create_adapter(
        self, name: str, *, base_model: str, tags: Mapping[str, str] = EMPTY, epoch: int
    ) -> AdapterLine:
        """See Ledger."""
        with self._database.write(epoch) as session:
            return _rows.adapter(add_adapter(session, name, base_model, tags))

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
        """See Ledger."""
        publication = _versions.Publication(
            adapter=adapter,
            profile=profile,
            parents=parents,
            origin=origin,
            metrics=metrics,
            tags=tags,
            idempotency_key=idempotency_key,
            aliases=aliases,
        )
        return _versions.publish(self._database, self._blobs, publication, data, epoch)

    def record_evidence(
        self,
        kind: str,
        *,
        adapter: str | None = None,
        subject: str = "",
        payload: Mapping[str, Any],
        epoch: int,
    ) -> Evidence:
        """See Ledger."""
        with self._database.write(epoch) as session:
            return _rows.evidence(add_evidence(session, kind, adapter, subject, payload))

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
        """See Ledger."""
        new = NewDecision(
            kind=kind,
            adapter=adapter,
            subject=subject,
            reason=reason,
            payload=payload,
        )
        with self._database.write(epoch) as session:
            return _rows.decision(add_decision(session, new, evidence))

    def record_event(
        self,
        kind: str,
        *,
        adapter: str | None = None,
        subject: str = "",
        payload: Mapping[str, Any] = EMPTY,
        epoch: int,
    ) -> Event:
        """See Ledger."""
        with self._database.write(epoch) as session:
            line = None if adapter is None else adapter_row(session, adapter)
            return add_event(session, kind, adapter=line, subject=subject, payload=payload)

    def record_metrics(
        self, ref: str, metrics: Mapping[str, float], *, identity: str | None = None, epoch: int
    ) -> list[MetricRecord]:
        """See Ledger."""
        values = checked_metrics(metrics)
        who = "" if identity is None else name_text("identity", identity)
        with self._database.write(epoch) as session:
            version = resolve(session, ref)
            records = add_metrics(session, version, values, identity=who)
            add_event(
                session,
                "metrics_recorded",
                adapter=version.adapter,
                subject=f"{version.adapter.name}@{version.number}",
                payload={"identity": identity, "metrics": values},
            )
            return records
