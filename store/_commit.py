"""Committing a round, and letting go of what it was made from."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from ._aliases import move_alias
from ._blobs import Blobs
from ._database import now
from ._errors import Conflict, InvalidValue
from ._find import adapter_row, round_row, version_row
from ._intake import Intake
from ._json import ReadOnlyDict
from ._left_out import drop_unused
from ._records import Parent, Version
from ._rounds import count, expect_state, round_event
from ._tables import AdapterRow, ContributionRow, RoundRow, VersionRow
from ._versions import reread
from ._writes import NewVersion, add_event, add_version


def commit_round(
    session: Session,
    name: str,
    number: int,
    *,
    intake: Intake,
    counted: Sequence[str],
    metrics: ReadOnlyDict,
    aliases: Sequence[str],
) -> Version:
    """Turn an aggregating round into a version: all of it, or, on any error, nothing."""
    if len(set(counted)) != len(counted):
        raise InvalidValue("counted", "names a task twice; each update is counted once")
    adapter = adapter_row(session, name)
    row = round_row(session, adapter, number)
    if row.state == "committed" and row.version is not None:
        return _committed_before(session, row, row.version, intake.staged.digest, counted)
    expect_state(row, "aggregating")
    new = NewVersion(
        staged=intake.staged,
        header=intake.header,
        profile=intake.profile,
        parents=[Parent(adapter=name, number=row.start_number, role="start")],
        origin="round",
        metrics=metrics,
        round=number,
    )
    version = add_version(session, adapter, new)
    count(session, adapter, counted, version)
    row.state, row.version, row.closed_at = "committed", version.number, now()
    for alias in aliases:
        move_alias(session, adapter, alias, version.number, reason=f"round {number}")
    round_event(session, row)
    return reread(session, adapter, version.number)


def _committed_before(
    session: Session, row: RoundRow, number: int, digest: str, counted: Sequence[str]
) -> Version:
    """Return the version of a commit that is repeated; raise Conflict if it is another one."""
    version = version_row(session, row.adapter, number)
    before = session.scalars(
        select(ContributionRow.task_key).where(
            ContributionRow.adapter_id == row.adapter_id, ContributionRow.counted_in == number
        )
    )
    if version.digest != digest or set(before) != set(counted):
        subject = f"round {row.number} of adapter {row.adapter.name}"
        raise Conflict(subject, "state aggregating", f"committed as version {number}, differently")
    return reread(session, row.adapter, number)


def prune(session: Session, blobs: Blobs, adapter: AdapterRow, keep_rounds: int) -> int:
    """Let go of the bytes of contributions counted more than `keep_rounds` commits ago."""
    kept = session.scalars(
        select(VersionRow.number)
        .where(VersionRow.adapter_id == adapter.id, VersionRow.round.is_not(None))
        .order_by(VersionRow.number.desc())
        .limit(keep_rounds)
    ).all()
    query = select(ContributionRow).where(
        ContributionRow.adapter_id == adapter.id,
        ContributionRow.blob.is_not(None),
        ContributionRow.counted_in.is_not(None),
    )
    if kept:
        query = query.where(ContributionRow.counted_in < kept[-1])
    rows = list(session.scalars(query))
    digests = {row.digest for row in rows}
    for row in rows:
        row.blob = None
    session.flush()
    if rows:
        payload = {"contributions": len(rows)}
        add_event(session, "contributions_pruned", adapter=adapter, payload=payload)
    # A crash before the commit leaves counted records without bytes: nothing reads them again.
    drop_unused(session, blobs, digests)
    return len(rows)
