"""Moving names: each change is a line of an append-only log that knows what undoing it means.

A log line's `back_to` is the line that a rollback returns to, so a rollback costs the same after
ten changes and after ten thousand, and two rollbacks go back two changes, not there and back.
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from ._database import next_number, now
from ._errors import Conflict, NotFound
from ._family_records import AliasTip, NewAlias
from ._find import alias_row, version_row
from ._names import alias_name, text
from ._registry_types import Expect
from ._tables import AdapterRow, AliasLogRow, AliasRow, CounterRow
from ._writes import add_event

Expected = int | Literal[Expect.ANY] | None


def move_alias(
    session: Session,
    adapter: AdapterRow,
    alias: str,
    number: int,
    *,
    expect: Expected = Expect.ANY,
    reason: str = "",
    decision: int | None = None,
) -> AliasRow:
    """Let an alias name a version if it names `expect` now; raise Conflict otherwise.

    `decision` goes on record: the one that is carried out, or undone, by this change.
    """
    current = alias_row(session, adapter, alias_name(alias))
    found = None if current is None else current.number
    if expect is not Expect.ANY and expect != found:
        raise Conflict(f"alias {adapter.name}@{alias}", _said(expect), _said(found))
    if version_row(session, adapter, number).retired_at is not None:
        raise Conflict(f"version {adapter.name}@{number}", "one in use", "a retired one")
    if current is not None and found == number:
        return current
    back_to = None if current is None else current.sequence
    return _write(
        session,
        adapter,
        current,
        alias=alias,
        number=number,
        kind="set",
        back_to=back_to,
        reason=reason,
        decision=decision,
    )


def undo_alias(
    session: Session,
    adapter: AdapterRow,
    alias: str,
    *,
    reason: str,
    decision: int | None = None,
) -> AliasRow:
    """Return an alias to the version before, past retired ones."""
    current = alias_row(session, adapter, alias)
    if current is None:
        raise NotFound("alias", f"{adapter.name}@{alias}")
    line = before(session, adapter, current)
    if line is None:
        wanted = "an earlier version"
        raise Conflict(f"alias {adapter.name}@{alias}", wanted, "nothing to go back to")
    return _write(
        session,
        adapter,
        current,
        alias=alias,
        number=line.number,
        kind="rollback",
        back_to=line.back_to,
        reason=reason,
        decision=decision,
    )


def undo_alias_to(
    session: Session,
    adapter: AdapterRow,
    alias: str,
    number: int,
    *,
    reason: str,
    decision: int | None = None,
) -> AliasRow:
    """Return an alias to the version before if that is `number`; it may be there already."""
    current = alias_row(session, adapter, alias)
    if current is not None and current.number == number:
        return current
    line = None if current is None else before(session, adapter, current)
    if line is None or line.number != number:
        found = "nothing" if line is None else _said(line.number)
        raise Conflict(f"alias {adapter.name}@{alias}", f"{_said(number)} before it", found)
    return undo_alias(session, adapter, alias, reason=reason, decision=decision)


def alias_tip(session: Session, adapter: AdapterRow, alias: str) -> AliasTip | None:
    """Return what an alias names and where it would go back to; None if there is none."""
    current = alias_row(session, adapter, alias)
    if current is None:
        return None
    line = before(session, adapter, current)
    previous = None if line is None else line.number
    return AliasTip(number=current.number, sequence=current.sequence, previous=previous)


def changes_by(
    session: Session, adapter: AdapterRow, alias: str, decision: int
) -> list[AliasLogRow]:
    """Return an alias's changes that carried a decision out, or undid it, oldest first.

    Before schema 0003 the reason alone said so.
    """
    why = f"decision {decision}"
    query = (
        select(AliasLogRow)
        .where(
            AliasLogRow.adapter_id == adapter.id,
            AliasLogRow.alias == alias,
            or_(
                AliasLogRow.decision == decision,
                and_(
                    AliasLogRow.decision.is_(None),
                    AliasLogRow.reason.in_((why, f"undo of {why}")),
                ),
            ),
        )
        .order_by(AliasLogRow.sequence)
    )
    found = list(session.scalars(query))
    return [row for row in found if row.decision is not None] or found


def alias_changes(session: Session) -> int:
    """Return how many changes of aliases there were, of all adapters."""
    return session.get_one(CounterRow, "alias_log").value


def move_if_expected(session: Session, adapter: AdapterRow, new: NewAlias) -> None:
    """Move an alias, unless somebody has moved it since, or has retired the version."""
    current = alias_row(session, adapter, alias_name(new.alias))
    found = None if current is None else current.number
    is_retired = version_row(session, adapter, new.number).retired_at is not None
    if found == new.expect and not is_retired:
        move_alias(session, adapter, new.alias, new.number, reason=new.reason)


def before(session: Session, adapter: AdapterRow, current: AliasRow) -> AliasLogRow | None:
    """Return the change of the log that a rollback goes back to, past retired versions."""
    line = session.get_one(AliasLogRow, current.sequence)
    while line.back_to is not None:
        line = session.get_one(AliasLogRow, line.back_to)
        target = version_row(session, adapter, line.number)
        if target.retired_at is None and line.number != current.number:
            return line
    return None


def _write(
    session: Session,
    adapter: AdapterRow,
    current: AliasRow | None,
    *,
    alias: str,
    number: int,
    kind: str,
    back_to: int | None,
    reason: str,
    decision: int | None,
) -> AliasRow:
    line = AliasLogRow(
        sequence=next_number(session, "alias_log"),
        adapter_id=adapter.id,
        alias=alias,
        kind=kind,
        number=number,
        previous=None if current is None else current.number,
        back_to=back_to,
        reason=text("reason", reason),
        updated_at=now(),
        decision=decision,
    )
    session.add(line)
    session.flush()
    row = current or AliasRow(adapter_id=adapter.id, alias=alias)
    row.number, row.reason = number, reason
    row.sequence, row.updated_at = line.sequence, line.updated_at
    session.add(row)
    add_event(
        session,
        "alias_set" if kind == "set" else "alias_rolled_back",
        adapter=adapter,
        subject=f"{adapter.name}@{alias}",
        payload={"alias": alias, "number": number, "previous": line.previous, "reason": reason},
    )
    return row


def _said(number: object) -> str:
    return "no such alias" if number is None else f"version {number}"
