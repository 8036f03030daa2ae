"""Accepted updates that no version will count: settled on record, their bytes let go.

Two transactions: what is on record says first that nobody needs the bytes, and only then do they
go. A crash in between leaves bytes that nothing names, which `prune` finds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ._blobs import Blobs
from ._names import text
from ._rounds import contribution_event
from ._tables import AdapterRow, BlobRow, ContributionRow, TaskRow, VersionRow


def leave_out(session: Session, rows: Iterable[ContributionRow], reason: str) -> set[str]:
    """Reject accepted updates after all, with the reason; return the digests of their bytes."""
    digests: set[str] = set()
    for row in rows:
        digests |= set() if row.blob is None else {row.blob}
        row.status, row.reason, row.blob = "rejected", text("reason", reason), None
        session.get_one(TaskRow, row.task_key).state = "rejected"
        contribution_event(session, row)
    session.flush()
    return digests


def waiting(session: Session, adapters: Collection[int]) -> list[ContributionRow]:
    """Return the accepted updates of these lines that no version has counted."""
    query = (
        select(ContributionRow)
        .where(
            ContributionRow.adapter_id.in_(adapters),
            ContributionRow.status == "accepted",
            ContributionRow.counted_in.is_(None),
        )
        .order_by(ContributionRow.task_key)
    )
    return list(session.scalars(query))


def leave_out_tasks(
    session: Session, adapter: AdapterRow, keys: Collection[str], reason: str
) -> set[str]:
    """Leave out what these tasks brought, where it still waits; return the digests."""
    found = [row for row in waiting(session, [adapter.id]) if row.task_key in keys]
    return leave_out(session, found, reason)


def leave_out_moved(
    session: Session, lines: Mapping[str, int], moved: Mapping[str, str]
) -> set[str]:
    """Leave out what nodes have brought to the lines that they are moved from.

    Args:
        session: of the transaction that moves them.
        lines: keys of the family's lines by name.
        moved: identity -> the member that it has from now on.
    """
    digests: set[str] = set()
    for row in waiting(session, lines.values()) if moved else ():
        home = moved.get(row.identity)
        if home is not None and row.adapter_id != lines[home]:
            digests |= leave_out(session, [row], f"its node was moved to {home}")
    return digests


def drop_unused(session: Session, blobs: Blobs, digests: Collection[str]) -> None:
    """Delete the bytes of these digests that no version and no contribution has.

    Files go inside the transaction that holds the write lock, so that nobody can name these bytes
    anew in between.
    """
    for digest in sorted(set(digests) - _in_use(session, digests)):
        session.execute(delete(BlobRow).where(BlobRow.digest == digest))
        blobs.delete(digest)


def _in_use(session: Session, digests: Collection[str]) -> set[str]:
    versions = session.scalars(select(VersionRow.digest).where(VersionRow.digest.in_(digests)))
    others = session.scalars(select(ContributionRow.blob).where(ContributionRow.blob.in_(digests)))
    return {*versions, *(digest for digest in others if digest is not None)}
