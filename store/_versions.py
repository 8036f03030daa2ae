"""Publishing versions, and what connects them: lineage and similarity."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from . import _rows
from ._aliases import move_alias
from ._blobs import Blobs
from ._database import Database
from ._errors import Conflict
from ._find import WITH_PARTS, adapter_row, resolve, version_row
from ._intake import taken_in
from ._names import text
from ._profile import cosines
from ._records import Ancestor, Neighbour, Parent, Version
from ._registry_types import Source
from ._tables import AdapterRow, VersionRow
from ._writes import NewVersion, add_blob, add_version, checked_metrics, checked_tags

_SKETCHES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A version as its publisher describes it, unchecked."""

    adapter: str
    profile: Mapping[str, Any] | None
    parents: Sequence[Parent | str]
    origin: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    idempotency_key: str | None
    aliases: Sequence[str] = ()


def publish(
    database: Database, blobs: Blobs, what: Publication, data: Source, epoch: int | None = None
) -> Version:
    """Take the bytes in, then make the version and its aliases in one transaction."""
    metrics, tags = checked_metrics(what.metrics), checked_tags(what.tags)
    if what.idempotency_key is not None:
        text("idempotency_key", what.idempotency_key, limit=200)
    with taken_in(blobs, data, what.profile) as intake, database.write(epoch) as session:
        adapter = adapter_row(session, what.adapter)
        first = _made_before(session, adapter, what.idempotency_key)
        if first is not None:
            if first.digest != intake.staged.digest:
                subject = f"idempotency_key {what.idempotency_key!r} of adapter {adapter.name}"
                raise Conflict(subject, f"digest {first.digest}", intake.staged.digest)
            add_blob(session, intake.staged)  # its bytes may have been let go of
            return _rows.version(first, profile=True)
        new = NewVersion(
            staged=intake.staged,
            header=intake.header,
            profile=intake.profile,
            parents=what.parents,
            origin=what.origin,
            metrics=metrics,
            tags=tags,
            idempotency_key=what.idempotency_key,
        )
        number = add_version(session, adapter, new).number
        for alias in what.aliases:
            move_alias(session, adapter, alias, number, reason="published")
        return reread(session, adapter, number)


def _made_before(session: Session, adapter: AdapterRow, key: str | None) -> VersionRow | None:
    if key is None:
        return None
    return session.scalar(
        select(VersionRow).where(
            VersionRow.adapter_id == adapter.id, VersionRow.idempotency_key == key
        )
    )


def reread(session: Session, adapter: AdapterRow, number: int) -> Version:
    """Return a version that this transaction has made, as everybody else will see it."""
    session.flush()
    session.expire_all()
    return _rows.version(version_row(session, adapter, number), profile=True)


def lineage(session: Session, ref: str, depth: int | None) -> list[Ancestor]:
    """Walk the parents breadth first, each version once."""
    layer = [resolve(session, ref)]
    seen = {layer[0].id}
    found: list[Ancestor] = []
    level = 0
    while layer:
        found.extend(Ancestor(depth=level, version=_rows.version(row)) for row in layer)
        if level == depth:
            break
        parents: list[VersionRow] = []
        for row in layer:
            for link in row.parents:
                parent = version_row(session, link.parent_adapter, link.parent_number)
                if parent.id not in seen:
                    seen.add(parent.id)
                    parents.append(parent)
        layer = parents
        level += 1
    return found


def similar(session: Session, ref: str, limit: int) -> list[Neighbour]:
    """Compare one sketch with all others on the same base model, a part at a time."""
    own = resolve(session, ref)
    sketch = own.sketch
    if sketch is None:
        return []
    query = (
        select(VersionRow.id, VersionRow.sketch)
        .join(AdapterRow, VersionRow.adapter_id == AdapterRow.id)
        .where(
            AdapterRow.base_model_id == own.adapter.base_model_id,
            VersionRow.sketch.is_not(None),
            VersionRow.retired_at.is_(None),
            VersionRow.id != own.id,
        )
        .execution_options(yield_per=_SKETCHES_AT_ONCE)
    )
    best: list[tuple[float, int]] = []
    for part in session.execute(query).partitions():
        same = [(key, other) for key, other in part if other and len(other) == len(sketch)]
        if same:
            values = cosines(sketch, [other for _, other in same]).tolist()
            scored = [(c, -key) for c, (key, _) in zip(values, same, strict=True)]
            best = heapq.nlargest(limit, best + [s for s in scored if not math.isnan(s[0])])
    rows = {
        row.id: row
        for row in session.scalars(
            select(VersionRow)
            .where(VersionRow.id.in_([-key for _, key in best]))
            .options(*WITH_PARTS)
        )
    }
    return [Neighbour(version=_rows.version(rows[-key]), cosine=c) for c, key in best]
