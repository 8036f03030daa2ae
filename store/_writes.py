"""What registry and ledger write alike, inside a transaction that the caller opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Table, bindparam, insert, select, update
from sqlalchemy.orm import Session

from . import _rows
from ._blobs import Staged
from ._database import next_number, now
from ._errors import AlreadyExists, Conflict, InvalidValue, NotFound
from ._find import adapter_row, resolve, version_row
from ._header import Header
from ._json import EMPTY, ReadOnlyDict, freeze
from ._names import adapter_name, name_text, text, word
from ._profile import sketch_of
from ._records import Event, MetricRecord, Parent
from ._tables import (
    AdapterRow,
    BaseModelRow,
    BlobRow,
    EventRow,
    MetricRow,
    ParentRow,
    TagRow,
    VersionRow,
)

_EVENT = insert(cast("Table", EventRow.__table__))
_NEW_BLOB = insert(cast("Table", BlobRow.__table__))
_BLOB = select(BlobRow.digest).where(BlobRow.digest == bindparam("digest"))
_BACK = (
    update(cast("Table", BlobRow.__table__))
    .where(BlobRow.digest == bindparam("known"))
    .values(collected_at=None)
)
_METRICS = select(MetricRow.name, MetricRow.value, MetricRow.created_at).where(
    MetricRow.version_id == bindparam("version_id"),
    MetricRow.identity == bindparam("identity"),
    MetricRow.published == bindparam("published"),
    MetricRow.name.in_(bindparam("names", expanding=True)),
)


def add_event(
    session: Session,
    kind: str,
    *,
    adapter: AdapterRow | None = None,
    subject: str = "",
    payload: Mapping[str, Any] = EMPTY,
) -> Event:
    """Append an event; its number is the next one when the transaction commits.

    What the transaction has to write is written first: the event may name a new adapter.
    """
    session.flush()
    event = Event(
        number=next_number(session, "events"),
        kind=word("event kind", kind),
        adapter=None if adapter is None else adapter.name,
        subject=text("event subject", subject),
        payload=freeze(payload, field="event payload"),
        created_at=now(),
    )
    row = {
        "number": event.number,
        "kind": event.kind,
        "adapter_id": None if adapter is None else adapter.id,
        "subject": event.subject,
        "payload": event.payload,
        "created_at": event.created_at,
    }
    session.connection().execute(_EVENT, row)
    return event


def add_base_model(
    session: Session, name: str, fingerprint: str, metadata: Mapping[str, Any]
) -> BaseModelRow:
    """Record a base model, once."""
    row = session.scalar(select(BaseModelRow).where(BaseModelRow.name == name))
    if row is not None:
        if row.fingerprint != fingerprint:
            raise AlreadyExists("base model", name, f"its fingerprint is {row.fingerprint}")
        return row
    row = BaseModelRow(
        name=name_text("base model name", name),
        fingerprint=name_text("fingerprint", fingerprint),
        meta=freeze(metadata, field="metadata"),
        created_at=now(),
    )
    session.add(row)
    add_event(session, "base_model_registered", subject=name, payload={"fingerprint": fingerprint})
    return row


def add_adapter(
    session: Session, name: str, base_model: str, tags: Mapping[str, str]
) -> AdapterRow:
    """Start a line of versions, once."""
    base = session.scalar(select(BaseModelRow).where(BaseModelRow.name == base_model))
    if base is None:
        raise NotFound("base model", base_model)
    row = session.scalar(select(AdapterRow).where(AdapterRow.name == name))
    if row is not None:
        if row.base_model.name != base_model:
            raise AlreadyExists("adapter", name, f"its base model is {row.base_model.name}")
        return row
    row = AdapterRow(
        name=adapter_name(name),
        base_model=base,
        tags=checked_tags(tags),
        head=None,
        next_number=0,
        created_at=now(),
        retired_at=None,
    )
    session.add(row)
    add_event(
        session, "adapter_created", adapter=row, subject=name, payload={"base_model": base_model}
    )
    return row


def checked_tags(tags: Mapping[str, str]) -> ReadOnlyDict:
    """Return read-only tags; raise InvalidValue for a key or value that cannot be one."""
    for key, value in tags.items():
        name_text("tag key", key)
        if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidValue(f"tag {key}", f"{value!r} is not a string")
        text(f"tag {key}", value, limit=1000)
    return freeze(tags, field="tags")


def checked_metrics(metrics: Mapping[str, float]) -> ReadOnlyDict:
    """Return read-only metrics; raise InvalidValue for a value that is no finite number."""
    for name, value in metrics.items():
        name_text("metric name", name)
        if isinstance(value, bool) or not isinstance(value, int | float):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidValue(f"metric {name}", f"{value!r} is not a number")
    return ReadOnlyDict({k: float(v) for k, v in freeze(metrics, field="metrics").items()})


def add_blob(session: Session, staged: Staged) -> None:
    """Make staged bytes durable, then name them: in this order a row never lacks its bytes.

    The transaction of the caller holds the write lock, so no deletion can come in between.
    """
    staged.place()
    database = session.connection()
    if database.scalar(_BLOB, {"digest": staged.digest}) is None:
        row = {"digest": staged.digest, "size_bytes": staged.size_bytes, "created_at": now()}
        database.execute(_NEW_BLOB, row)
    else:  # what was let go of is back
        database.execute(_BACK, {"known": staged.digest})


NO_TAGS = ReadOnlyDict()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A version to be made; everything in it was checked."""

    staged: Staged
    header: Header
    profile: ReadOnlyDict | None
    parents: Sequence[Parent | str]
    origin: str
    metrics: ReadOnlyDict
    tags: ReadOnlyDict = NO_TAGS
    round: int | None = None
    idempotency_key: str | None = None


def add_version(session: Session, adapter: AdapterRow, new: NewVersion) -> VersionRow:
    """Make the adapter's next version and move its head; raise Conflict if it is retired."""
    if adapter.retired_at is not None:
        raise Conflict(f"adapter {adapter.name}", "one in use", "a retired one")
    add_blob(session, new.staged)
    row = VersionRow(
        adapter=adapter,
        number=adapter.next_number,
        digest=new.staged.digest,
        size_bytes=new.staged.size_bytes,
        origin=word("origin", new.origin),
        round=new.round,
        rank=new.header.rank,
        modules=_rows.modules_to(new.header),
        dense=_rows.dense_to(new.header),
        profile=new.profile,
        sketch=sketch_of(new.profile),
        idempotency_key=new.idempotency_key,
        created_at=now(),
        retired_at=None,
        parents=_parents(session, new.parents),
        tags=[TagRow(key=key, value=value) for key, value in sorted(new.tags.items())],
    )
    session.add(row)
    session.flush()
    add_metrics(session, row, new.metrics, published=True)
    adapter.head = row.number
    adapter.next_number = row.number + 1
    add_event(
        session,
        "version_published",
        adapter=adapter,
        subject=f"{adapter.name}@{row.number}",
        payload={"number": row.number, "digest": row.digest, "origin": row.origin},
    )
    return row


def _parents(session: Session, parents: Sequence[Parent | str]) -> list[ParentRow]:
    rows: list[ParentRow] = []
    for position, given in enumerate(parents):
        parent = _parent(session, given)
        found = adapter_row(session, parent.adapter)
        version_row(session, found, parent.number)
        if parent.weight is not None:
            checked_metrics({"parent weight": parent.weight})
        rows.append(
            ParentRow(
                position=position,
                parent_adapter=found,
                parent_number=parent.number,
                weight=parent.weight,
                role=word("parent role", parent.role),
            )
        )
    return rows


def _parent(session: Session, given: Parent | str) -> Parent:
    if isinstance(given, Parent):
        return given
    row = resolve(session, given)
    return Parent(adapter=row.adapter.name, number=row.number)


def add_metrics(
    session: Session,
    version: VersionRow,
    metrics: Mapping[str, float],
    *,
    identity: str = "",
    published: bool = False,
) -> list[MetricRecord]:
    """Add measured numbers; those measured before by the same identity stay as they are."""
    before = {"version_id": version.id, "identity": identity, "published": published}
    found = session.execute(_METRICS, {**before, "names": list(metrics)})
    known = {name: (value, at) for name, value, at in found}
    new = {name: (metrics[name], now()) for name in sorted(set(metrics) - set(known))}
    rows = [
        {**before, "name": name, "value": value, "created_at": at}
        for name, (value, at) in new.items()
    ]
    if rows:
        session.execute(insert(MetricRow), rows)
    return [
        MetricRecord(name=name, value=value, identity=identity or None, created_at=at)
        for name, (value, at) in sorted({**known, **new}.items())
    ]
