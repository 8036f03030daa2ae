"""Taking versions and adapters out of use; nothing is deleted."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ._database import now
from ._errors import Conflict
from ._find import adapter_row, resolve
from ._names import text
from ._tables import AdapterRow, AliasRow, VersionRow
from ._writes import add_event


def retire_version(session: Session, ref: str, reason: str) -> VersionRow:
    """Retire a version that no alias names; the head goes to the newest one in use."""
    row = resolve(session, ref)
    if row.retired_at is not None:
        return row
    alias = session.scalar(
        select(AliasRow.alias).where(
            AliasRow.adapter_id == row.adapter_id, AliasRow.number == row.number
        )
    )
    if alias is not None:
        raise Conflict(f"version {row.adapter.name}@{row.number}", "no alias", f"alias {alias!r}")
    row.retired_at = now()
    session.flush()
    row.adapter.head = session.scalar(
        select(func.max(VersionRow.number)).where(
            VersionRow.adapter_id == row.adapter_id, VersionRow.retired_at.is_(None)
        )
    )
    add_event(
        session,
        "version_retired",
        adapter=row.adapter,
        subject=f"{row.adapter.name}@{row.number}",
        payload={"number": row.number, "reason": text("reason", reason)},
    )
    return row


def retire_adapter(session: Session, name: str, reason: str) -> AdapterRow:
    """Retire an adapter; its versions and aliases stay readable."""
    row = adapter_row(session, name)
    if row.retired_at is None:
        row.retired_at = now()
        payload = {"reason": text("reason", reason)}
        add_event(session, "adapter_retired", adapter=row, subject=name, payload=payload)
    return row
