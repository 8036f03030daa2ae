"""The registry on a local SQL database: SQLite, memory, PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from . import _lists, _rows, _versions
from ._aliases import Expected, move_alias, undo_alias
from ._decisions import add_decision, add_evidence
from ._errors import Conflict, NotFound
from ._family_records import NewDecision
from ._find import adapter_row, resolve
from ._json import EMPTY
from ._migrate import HEAD
from ._names import digest_text, operators_alias, whole
from ._pages import page_of_adapter, page_of_search
from ._prune import Pruning, check_folder, prune
from ._prune_records import Pruned
from ._records import (
    AdapterLine,
    Alias,
    AliasChange,
    Ancestor,
    BaseModel,
    ContributionRecord,
    Decision,
    DriverRecord,
    Event,
    Evidence,
    MetricRecord,
    Neighbour,
    NodeRecord,
    Page,
    Parent,
    RegistryInfo,
    RoundRecord,
    SummaryRecord,
    TaskRecord,
    Version,
)
from ._registry_types import ANY, Source, Watch
from ._retire import retire_adapter, retire_version
from ._sql_families import SqlFamilies
from ._tables import BlobRow
from ._watch import LocalWatch
from ._writes import add_adapter, add_base_model


class SqlRegistry(SqlFamilies):
    """See Registry for the contract."""

    def register_base_model(
        self, name: str, *, fingerprint: str, metadata: Mapping[str, Any] = EMPTY
    ) -> BaseModel:
        """See Registry."""
        with self._database.write() as session:
            return _rows.base_model(add_base_model(session, name, fingerprint, metadata))

    def create_adapter(
        self, name: str, *, base_model: str, tags: Mapping[str, str] = EMPTY
    ) -> AdapterLine:
        """See Registry."""
        with self._database.write() as session:
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
        idempotency_key: str | None = None,
    ) -> Version:
        """See Registry."""
        publication = _versions.Publication(
            adapter=adapter,
            profile=profile,
            parents=parents,
            origin=origin,
            metrics=metrics,
            tags=tags,
            idempotency_key=idempotency_key,
        )
        return _versions.publish(self._database, self._blobs, publication, data)

    def set_alias(
        self,
        adapter: str,
        alias: str,
        number: int,
        *,
        expect: Expected = ANY,
        reason: str = "",
    ) -> Alias:
        """See Registry."""
        with self._database.write() as session:
            line = adapter_row(session, adapter)
            name = operators_alias(alias)
            row = move_alias(
                session, line, name, whole("number", number), expect=expect, reason=reason
            )
            return _rows.alias(row, adapter)

    def rollback(self, adapter: str, alias: str, *, reason: str = "") -> Alias:
        """See Registry."""
        with self._database.write() as session:
            line = adapter_row(session, adapter)
            return _rows.alias(undo_alias(session, line, alias, reason=reason), adapter)

    def retire(self, ref: str, *, reason: str = "") -> Version:
        """See Registry."""
        with self._database.write() as session:
            return _rows.version(retire_version(session, ref, reason), profile=True)

    def prune(
        self,
        *,
        adapter: str | None = None,
        keep_versions: int | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        """See Registry."""
        what = Pruning(adapters=None if adapter is None else (adapter,), keep=keep_versions)
        check_folder(self._database, self._blobs)
        return prune(self._database, self._blobs, what, dry_run=dry_run)

    def retire_adapter(self, name: str, *, reason: str = "") -> AdapterLine:
        """See Registry."""
        with self._database.write() as session:
            return _rows.adapter(retire_adapter(session, name, reason))

    def record_evidence(
        self,
        kind: str,
        *,
        adapter: str | None = None,
        subject: str = "",
        payload: Mapping[str, Any],
    ) -> Evidence:
        """See Registry."""
        with self._database.write() as session:
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
    ) -> Decision:
        """See Registry."""
        new = NewDecision(
            kind=kind,
            adapter=adapter,
            subject=subject,
            reason=reason,
            payload=payload,
        )
        with self._database.write() as session:
            return _rows.decision(add_decision(session, new, evidence))

    def info(self) -> RegistryInfo:
        """See Registry."""
        with self._database.read():
            return RegistryInfo(backend=self._database.backend, schema_revision=HEAD)

    def base_models(self) -> list[BaseModel]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.base_models(session)

    def adapters(self) -> list[AdapterLine]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.adapters(session)

    def adapter(self, name: str) -> AdapterLine:
        """See Registry."""
        with self._database.read() as session:
            return _rows.adapter(adapter_row(session, name))

    def version(self, ref: str) -> Version:
        """See Registry."""
        with self._database.read() as session:
            return _rows.version(resolve(session, ref), profile=True)

    def by_digest(self, digest: str) -> list[Version]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.by_digest(session, digest_text(digest))

    def versions(
        self, adapter: str, *, limit: int = 50, page_token: str | None = None
    ) -> Page[Version]:
        """See Registry."""
        with self._database.read() as session:
            return page_of_adapter(session, adapter, limit, page_token)

    def search(
        self,
        filter: str = "",
        *,
        order_by: str = "-created",
        limit: int = 50,
        page_token: str | None = None,
    ) -> Page[Version]:
        """See Registry."""
        with self._database.read() as session:
            return page_of_search(session, filter, order_by, limit, page_token)

    def read(self, ref: str) -> bytes:
        """See Registry."""
        return self._blobs.read(self._digest(ref))

    def open(self, ref: str) -> BinaryIO:
        """See Registry."""
        return self._blobs.open(self._digest(ref))

    def _digest(self, ref: str) -> str:
        with self._database.read() as session:
            found = resolve(session, ref)
            blob = session.get_one(BlobRow, found.digest)
            if blob.collected_at is not None:
                subject = f"version {found.adapter.name}@{found.number}"
                when = f"retired, and its bytes were let go of on {blob.collected_at:%Y-%m-%d}"
                raise Conflict(subject, "one whose bytes are kept", when)
            return found.digest

    def lineage(self, ref: str, *, depth: int | None = None) -> list[Ancestor]:
        """See Registry."""
        if depth is not None:
            whole("depth", depth)
        with self._database.read() as session:
            return _versions.lineage(session, ref, depth)

    def similar(self, ref: str, *, limit: int = 10) -> list[Neighbour]:
        """See Registry."""
        whole("limit", limit, least=1, most=1000)
        with self._database.read() as session:
            return _versions.similar(session, ref, limit)

    def aliases(self, adapter: str) -> list[Alias]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.aliases(session, adapter)

    def alias_history(self, adapter: str, alias: str) -> list[AliasChange]:
        """See Registry."""
        with self._database.read() as session:
            changes = _lists.alias_history(session, adapter, alias)
        if not changes:
            raise NotFound("alias", f"{adapter}@{alias}")
        return changes

    def metrics(self, ref: str) -> list[MetricRecord]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.metrics(session, ref)

    def nodes(self) -> list[NodeRecord]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.nodes(session)

    def rounds(self, adapter: str | None = None) -> list[RoundRecord]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.rounds(session, adapter)

    def tasks(self, adapter: str, *, round: int | None = None) -> list[TaskRecord]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.tasks(session, adapter, round)

    def contributions(self, adapter: str, *, round: int | None = None) -> list[ContributionRecord]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.contributions(session, adapter, round)

    def summaries(self, adapter: str, *, round: int | None = None) -> list[SummaryRecord]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.summaries(session, adapter, round)

    def drivers(self) -> list[DriverRecord]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.drivers(session)

    def evidence(
        self, adapter: str | None = None, *, since: int = 0, limit: int = 100
    ) -> list[Evidence]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.evidence(session, adapter, since, limit)

    def decisions(
        self, adapter: str | None = None, *, since: int = 0, limit: int = 100
    ) -> list[Decision]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.decisions(session, adapter, since, limit)

    def events(
        self, *, since: int = 0, limit: int = 100, adapter: str | None = None
    ) -> list[Event]:
        """See Registry."""
        with self._database.read() as session:
            return _lists.events(session, adapter, since, limit)

    def watch(self, *, since: int = 0, timeout_seconds: float | None = None) -> Watch:
        """See Registry."""
        whole("since", since)

        def fetch(after: int, limit: int) -> list[Event]:
            return self.events(since=after, limit=limit)

        return LocalWatch(self._database, fetch, since, timeout_seconds)

    def close(self) -> None:
        """See Registry."""
        self._database.close()
