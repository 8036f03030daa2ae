"""Letting go of summaries that nothing refers to any more, inside a caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ._find import adapter_row
from ._names import whole
from ._tables import SummaryRow, TaskRow
from ._writes import add_event

BATCH = 500  # rows that one transaction deletes: others wait for it


def prunable(
    session: Session, adapter: str, kind: str, before_round: int, keep: Collection[str]
) -> list[str]:
    """Return the task keys of old summaries, without those to keep, in order of their rounds.

    What was kept before is looked at again each time, and nothing else of the past.
    """
    whole("before_round", before_round)
    query = (
        select(SummaryRow.task_key)
        .join(TaskRow, TaskRow.key == SummaryRow.task_key)
        .where(
            SummaryRow.adapter_id == adapter_row(session, adapter).id,
            SummaryRow.round < before_round,
            TaskRow.kind == kind,
        )
        .order_by(SummaryRow.round, SummaryRow.task_key)
    )
    return [key for key in session.scalars(query) if key not in keep]


def prune(session: Session, adapter: str, keys: Sequence[str]) -> None:
    """Delete the summaries of these tasks, at most a batch of them; the tasks stay."""
    session.execute(delete(SummaryRow).where(SummaryRow.task_key.in_(keys)))
    row = adapter_row(session, adapter)
    payload = {"summaries": len(keys)}
    add_event(session, "summaries_pruned", adapter=row, subject=adapter, payload=payload)
