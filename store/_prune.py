"""Letting go of the past: old versions are retired, and bytes that nobody needs are collected.

A record is never deleted: of a collected version all is left but its bytes. Work is done in small
transactions, each of which looks anew at what is needed: an interrupted pruning has done a part,
and is called again. Files go before the commit that says so: a crash in between leaves bytes of
retired versions missing that the next pruning collects.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from ._blobs import Blobs
from ._database import Database, now
from ._find import adapter_row
from ._left_out import drop_unused
from ._names import whole
from ._needed import Key, Needed, needed, needed_alive
from ._prune_records import Pruned
from ._retire import retire_version
from ._tables import AdapterRow, BlobRow, ContributionRow, VersionRow
from ._writes import add_event

BATCH = 200  # versions that one transaction retires, or collects: others wait for it
LEAST_KEPT = 2
TRIALS = ("trials", "rank-trials")
"""The tag "role" of a family's lines of trials: their versions are the daemon's to retire."""


class _DryRun(Exception):
    """Rolls back what was only tried."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What to let go of.

    `adapters` None means all lines, and bytes that nothing names; `keep` None retires nothing.
    """

    adapters: tuple[str, ...] | None = None
    keep: int | None = None

    def __post_init__(self) -> None:
        if self.keep is not None:
            whole("keep_versions", self.keep, least=LEAST_KEPT)


@dataclass(frozen=True, slots=True)
class _Collectable:
    digest: str
    size_bytes: int
    refs: tuple[str, ...]


def prune(
    database: Database, blobs: Blobs, what: Pruning, *, dry_run: bool, epoch: int | None = None
) -> Pruned:
    """Prune, a batch at a time; a dry run does all of it in one transaction that it rolls back."""
    if not dry_run:
        return _prune(database, blobs, what, epoch)
    tried: list[Pruned] = []
    try:
        with database.write(epoch) as session:
            retired = _retire(session, what, None)
            found = _collectable(session, what, None)
            files = 0 if what.adapters is not None else len(_orphans(session))
            tried.append(_pruned(retired, found, files))
            raise _DryRun
    except _DryRun:
        return tried[0]


def _prune(database: Database, blobs: Blobs, what: Pruning, epoch: int | None) -> Pruned:
    retired: list[str] = []
    collected: list[_Collectable] = []
    while True:
        with database.write(epoch) as session:
            part = _retire(session, what, BATCH)
        retired += part
        if len(part) < BATCH:
            break
    while True:
        with database.read() as session:  # most prunings find nothing: no need for the lock
            if not _collectable(session, what, 1):
                break
        with database.write(epoch) as session:
            found = _collectable(session, what, BATCH)
            _collect(session, blobs, found)
        collected += found
    files = 0
    if what.adapters is None:
        with database.write(epoch) as session:
            files = _sweep(session, blobs)
    return _pruned(retired, collected, files)


def check_folder(database: Database, blobs: Blobs) -> None:
    """Raise BlobMissing where the folder lacks the newest version's bytes: it is another one.

    For operators, who name a folder; a daemon writes to its own, and prunes at every review.
    """
    newest = select(VersionRow.digest).where(VersionRow.retired_at.is_(None))
    with database.read() as session:
        digest = session.scalar(newest.order_by(VersionRow.id.desc()).limit(1))
    if digest is not None:
        blobs.open(digest).close()


def _pruned(retired: Sequence[str], found: Sequence[_Collectable], files: int) -> Pruned:
    return Pruned(
        retired=tuple(retired),
        collected=tuple(ref for one in found for ref in one.refs),
        size_bytes=sum(one.size_bytes for one in found),
        unnamed=files,
    )


def _retire(session: Session, what: Pruning, most: int | None) -> list[str]:
    """Retire versions beyond the newest ones of each line that nothing needs."""
    if what.keep is None:
        return []
    need = needed(session)
    found: list[str] = []
    for line in _lines(session, what.adapters):
        if "family" in line.tags and line.tags.get("role") in TRIALS:
            continue
        query = (
            select(VersionRow.number, VersionRow.digest)
            .where(VersionRow.adapter_id == line.id, VersionRow.retired_at.is_(None))
            .order_by(VersionRow.number.desc())
            .offset(what.keep)
        )
        found += [
            f"{line.name}@{number}"
            for number, digest in session.execute(query)
            if (line.id, number) not in need.versions and digest not in need.digests
        ]
    chosen = found[:most]
    for ref in chosen:
        retire_version(session, ref, f"more than {what.keep} newer versions")
    return chosen


def _lines(session: Session, names: tuple[str, ...] | None) -> list[AdapterRow]:
    if names is None:
        return list(session.scalars(select(AdapterRow).order_by(AdapterRow.name)))
    return [adapter_row(session, name) for name in names]


def _collectable(session: Session, what: Pruning, most: int | None) -> list[_Collectable]:
    """Return bytes that only retired versions have which nothing needs."""
    query = (
        select(VersionRow.digest)
        .join(BlobRow, BlobRow.digest == VersionRow.digest)
        .where(VersionRow.retired_at.is_not(None), BlobRow.collected_at.is_(None), ~needed_alive())
        .distinct()
        .order_by(VersionRow.digest)
    )
    if what.adapters is not None:
        lines = [line.id for line in _lines(session, what.adapters)]
        query = query.where(VersionRow.adapter_id.in_(lines))
    digests = list(session.scalars(query))
    need = needed(session) if digests else Needed(frozenset(), frozenset())
    found: list[_Collectable] = []
    for start in range(0, len(digests), BATCH):
        found += _free(session, digests[start : start + BATCH], need)
        if most is not None and len(found) >= most:
            break
    return found[:most]


def _free(session: Session, digests: Sequence[str], need: Needed) -> list[_Collectable]:
    """Return those of these bytes that no other version and no update needs."""
    query = (
        select(
            VersionRow.digest,
            VersionRow.size_bytes,
            VersionRow.adapter_id,
            AdapterRow.name,
            VersionRow.number,
            needed_alive(),
        )
        .join(AdapterRow, AdapterRow.id == VersionRow.adapter_id)
        .where(VersionRow.digest.in_(digests))
        .order_by(VersionRow.id)
    )
    updates = select(ContributionRow.blob).where(ContributionRow.blob.in_(digests))
    taken = {*need.digests, *(blob for blob in session.scalars(updates) if blob is not None)}
    refs: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for digest, size, adapter, name, number, is_alive in session.execute(query):
        key: Key = (adapter, number)
        if is_alive or key in need.versions:
            taken.add(digest)
        refs.setdefault(digest, []).append(f"{name}@{number}")
        sizes[digest] = size
    return [_Collectable(d, sizes[d], tuple(refs[d])) for d in refs if d not in taken]


def _collect(session: Session, blobs: Blobs, found: Collection[_Collectable]) -> None:
    at = now()
    for one in found:
        session.get_one(BlobRow, one.digest).collected_at = at
    session.flush()
    if found:
        payload = {
            "versions": sum(len(one.refs) for one in found),
            "size_bytes": sum(one.size_bytes for one in found),
        }
        add_event(session, "blobs_collected", payload=payload)
    for one in found:  # in the transaction that holds the write lock: nobody names them meanwhile
        blobs.delete(one.digest)


def _sweep(session: Session, blobs: Blobs) -> int:
    """Delete bytes on record that nothing names.

    What is in the folder and not on record stays: another database may have the same folder.
    """
    orphans = _orphans(session)
    for start in range(0, len(orphans), BATCH):
        drop_unused(session, blobs, orphans[start : start + BATCH])
    return len(orphans)


def _orphans(session: Session) -> list[str]:
    """Return blobs on record that no version and no update has."""
    versions = select(VersionRow.id).where(VersionRow.digest == BlobRow.digest).exists()
    updates = select(ContributionRow.task_key).where(ContributionRow.blob == BlobRow.digest)
    query = select(BlobRow.digest).where(~versions, ~updates.exists()).order_by(BlobRow.digest)
    return list(session.scalars(query))
