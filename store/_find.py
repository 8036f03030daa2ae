"""Looking things up in a session, with one error for what is not there."""

from __future__ import annotations

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, selectinload

from ._errors import NotFound
from ._names import LATEST, parse_ref
from ._tables import (
    AdapterRow,
    AliasRow,
    ContributionRow,
    DecisionRow,
    FamilyRow,
    MemberRow,
    RoundRow,
    TaskRow,
    VersionRow,
)

# Made once: they are part of nearly every call, and to make them anew, or to have Session.get()
# make them, costs more than to execute them.
_ADAPTER = select(AdapterRow).where(AdapterRow.name == bindparam("name"))
_ADAPTER_ID = select(AdapterRow.id).where(AdapterRow.name == bindparam("name"))
_VERSION = select(VersionRow).where(
    VersionRow.adapter_id == bindparam("adapter"), VersionRow.number == bindparam("number")
)
_ALIAS = select(AliasRow).where(
    AliasRow.adapter_id == bindparam("adapter"), AliasRow.alias == bindparam("alias")
)
_ROUND = select(RoundRow).where(
    RoundRow.adapter_id == bindparam("adapter"), RoundRow.number == bindparam("number")
)
_ROUND_START = select(RoundRow.state, RoundRow.start_number).where(
    RoundRow.adapter_id == bindparam("adapter"), RoundRow.number == bindparam("number")
)
WITH_PARTS = (
    selectinload(VersionRow.parents),
    selectinload(VersionRow.tags),
    selectinload(VersionRow.published_metrics),
)
"""Options of a query whose versions become records: their parts in one query each, for all."""

_TASK = select(TaskRow).where(TaskRow.key == bindparam("key"))
_CONTRIBUTION = select(ContributionRow).where(ContributionRow.task_key == bindparam("key"))


def adapter_row(session: Session, name: str) -> AdapterRow:
    """Return an adapter; raise NotFound."""
    row = session.scalar(_ADAPTER, {"name": name})
    if row is None:
        raise NotFound("adapter", name)
    return row


def adapter_id(session: Session, name: str | None) -> int | None:
    """Return an adapter's key, None for None; raise NotFound."""
    return None if name is None else known_id(session, name)


def known_id(session: Session, name: str) -> int:
    """Return an adapter's key; raise NotFound."""
    found = session.scalar(_ADAPTER_ID, {"name": name})
    if found is None:
        raise NotFound("adapter", name)
    return found


def version_row(session: Session, adapter: AdapterRow, number: int) -> VersionRow:
    """Return an adapter's version; raise NotFound."""
    row = session.scalar(_VERSION, {"adapter": adapter.id, "number": number})
    if row is None:
        raise NotFound("version", f"{adapter.name}@{number}")
    return row


def alias_row(session: Session, adapter: AdapterRow, alias: str) -> AliasRow | None:
    """Return what an alias names now, None if it names nothing."""
    return session.scalar(_ALIAS, {"adapter": adapter.id, "alias": alias})


def survivor_row(session: Session, adapter: AdapterRow) -> AdapterRow:
    """Return the line that an adapter was merged into, and that one again; else itself.

    The coordinator's record of an archived member says so: `merged_into`, a version's reference.
    """
    passed: set[int] = set()
    while adapter.id not in passed:
        passed.add(adapter.id)
        member = session.get(MemberRow, adapter.id)
        into = None if member is None else member.payload.get("merged_into")
        if member is None or member.state != "archived" or not isinstance(into, str):
            break
        adapter = adapter_row(session, parse_ref(into).adapter)
    return adapter


def resolve(session: Session, ref: str) -> VersionRow:
    """Return the version that a reference means; raise RefError or NotFound.

    An alias of a line that was merged into another is that line's alias of the same name, if it
    has one. Numbers and "latest" are always the line's own.
    """
    parsed = parse_ref(ref)
    adapter = adapter_row(session, parsed.adapter)
    if parsed.number is not None:
        return version_row(session, adapter, parsed.number)
    if parsed.alias == LATEST:
        number = adapter.head
    else:
        survivor = survivor_row(session, adapter)
        alias = alias_row(session, survivor, parsed.alias or "")
        if alias is not None:
            adapter = survivor
        else:
            alias = alias_row(session, adapter, parsed.alias or "")
        number = None if alias is None else alias.number
    if number is None:
        raise NotFound("version", f"{parsed.adapter}@{parsed.alias}")
    return version_row(session, adapter, number)


def round_row(session: Session, adapter: AdapterRow, number: int) -> RoundRow:
    """Return an adapter's round; raise NotFound."""
    row = session.scalar(_ROUND, {"adapter": adapter.id, "number": number})
    if row is None:
        raise NotFound("round", f"{adapter.name} round {number}")
    return row


def round_start(session: Session, adapter: AdapterRow, number: int) -> tuple[str, int]:
    """Return a round's state and the version it starts from, without its plan; raise NotFound."""
    found = session.execute(_ROUND_START, {"adapter": adapter.id, "number": number}).one_or_none()
    if found is None:
        raise NotFound("round", f"{adapter.name} round {number}")
    return found.state, found.start_number


def task_row(session: Session, key: str) -> TaskRow:
    """Return a task; raise NotFound."""
    row = find_task(session, key)
    if row is None:
        raise NotFound("task", key)
    return row


def find_task(session: Session, key: str) -> TaskRow | None:
    """Return a task, None if there is none."""
    return session.scalar(_TASK, {"key": key})


def contribution_row(session: Session, key: str) -> ContributionRow | None:
    """Return a task's contribution, None before it has one."""
    return session.scalar(_CONTRIBUTION, {"key": key})


def decision_row(session: Session, number: int) -> DecisionRow:
    """Return a decision; raise NotFound."""
    row = session.get(DecisionRow, number)
    if row is None:
        raise NotFound("decision", str(number))
    return row


def family_row(session: Session, root: str) -> FamilyRow:
    """Return the family of a root; raise NotFound, also for a line that is no root."""
    row = session.get(FamilyRow, adapter_row(session, root).id)
    if row is None:
        raise NotFound("family", root)
    return row
