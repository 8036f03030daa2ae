"""Families, their members and assignments, inside a transaction whose epoch was checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from ._database import now
from ._errors import Conflict, InvalidValue, NotFound
from ._family_records import MEMBER_STATES
from ._find import adapter_row, resolve
from ._json import EMPTY, ReadOnlyDict, dumps, freeze
from ._left_out import leave_out_moved
from ._names import name_text, one_of, parse_ref
from ._tables import AdapterRow, AssignmentRow, FamilyRow, MemberRow
from ._writes import add_event

MAX_WATCH_BYTES = 4096

Assignments = Mapping[str, tuple[str, ReadOnlyDict]]


def put_family(session: Session, root: str, payload: Mapping[str, Any]) -> FamilyRow:
    """Create the family of a root, with the root as its only member, or replace its payload."""
    adapter = adapter_row(session, root)
    row = session.get(FamilyRow, adapter.id)
    if row is not None:
        remember(row, payload, "family payload")
        return row
    row = FamilyRow(
        root=adapter, reviews=0, payload=freeze(payload, field="family payload"), updated_at=now()
    )
    session.add(row)
    session.flush()
    add_event(session, "family_created", adapter=adapter, subject=root)
    put_member(session, row, root, "active", EMPTY)
    return row


def remember(row: FamilyRow | MemberRow, payload: Mapping[str, Any], field: str) -> None:
    """Replace what is remembered of a family or a member."""
    row.payload = freeze(payload, field=field)
    flag_modified(row, "payload")  # to Python, and so to the session, 1 and 1.0 and True are equal
    row.updated_at = now()


def put_member(
    session: Session, family: FamilyRow, name: str, state: str, payload: Mapping[str, Any]
) -> MemberRow:
    """Write down what a member is now; raise Conflict for a line that cannot be one."""
    one_of("member state", state, MEMBER_STATES)
    adapter = adapter_row(session, name)
    row = session.get(MemberRow, adapter.id)
    if row is None:
        row = _new_member(session, family, adapter)
    elif row.family_id != family.adapter_id:
        raise Conflict(f"adapter {name}", "one that is in no other family", "a member of another")
    changed = row.state != state
    row.state = state
    remember(row, payload, f"payload of member {name}")
    session.flush()
    into = _merged_into(session, payload)
    if changed:
        told = {"family": family.root.name, **into}
        add_event(session, f"member_{state}", adapter=adapter, subject=name, payload=told)
    return row


def _merged_into(session: Session, payload: Mapping[str, Any]) -> dict[str, str]:
    """Return what a member's payload says of its merge; raise InvalidValue, NotFound if wrong."""
    ref = payload.get("merged_into")
    if ref is None:
        return {}
    if not isinstance(ref, str) or parse_ref(ref).number is None:
        raise InvalidValue("merged_into", f'{ref!r:.80} does not name one version, like "demo@7"')
    resolve(session, ref)
    return {"merged_into": ref}


def _new_member(session: Session, family: FamilyRow, adapter: AdapterRow) -> MemberRow:
    if adapter.base_model_id != family.root.base_model_id:
        wanted = f"one on the family's base model, {family.root.base_model.name}"
        found = f"one on {adapter.base_model.name}"
        raise Conflict(f"adapter {adapter.name}", wanted, found)
    row = MemberRow(adapter=adapter, family_id=family.adapter_id)
    session.add(row)
    return row


def checked_assignments(given: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Assignments:
    """Return read-only assignments; raise InvalidValue for what cannot be kept.

    Thousands take a while, so this is done before the transaction that others wait for.
    """
    return {
        name_text("identity", identity): (name, _watch(identity, payload))
        for identity, (name, payload) in given.items()
    }


def _watch(identity: str, payload: Mapping[str, Any]) -> ReadOnlyDict:
    field = f"payload of the assignment of {identity}"
    values = freeze(payload, field=field)
    size = len(dumps(values).encode())
    if size > MAX_WATCH_BYTES:
        raise InvalidValue(field, f"{size} bytes as JSON; at most {MAX_WATCH_BYTES} are kept")
    return values


def assign(session: Session, family: FamilyRow, assignments: Assignments) -> set[str]:
    """Write down which member each of these nodes trains; the others stay where they are.

    What a node that moves has brought, and no version has counted, is left out: returns the digests
    of these bytes. Rows go to the database in two batches, not one by one.
    """
    members = _member_ids(session, family)
    unknown = {name for name, _ in assignments.values()} - members.keys()
    if unknown:
        raise NotFound("member", min(unknown))
    before = _assigned(session, family)
    at = now()
    rows = [
        {
            "family_id": family.adapter_id,
            "identity": identity,
            "adapter_id": members[name],
            "payload": payload,
            "updated_at": at,
        }
        for identity, (name, payload) in assignments.items()
    ]
    if new := [row for row in rows if row["identity"] not in before]:
        session.execute(insert(AssignmentRow), new)
    if old := [row for row in rows if row["identity"] in before]:
        session.execute(update(AssignmentRow), old)
    moved = Counter(
        name for who, (name, _) in assignments.items() if before.get(who) != members[name]
    )
    if moved:
        root = family.root
        payload = {"moved": moved}
        add_event(session, "nodes_assigned", adapter=root, subject=root.name, payload=payload)
    elsewhere = {
        who: name
        for who, (name, _) in assignments.items()
        if before.get(who, members[name]) != members[name]
    }
    return leave_out_moved(session, members, elsewhere)


def _member_ids(session: Session, family: FamilyRow) -> dict[str, int]:
    query = (
        select(AdapterRow.name, AdapterRow.id)
        .join(MemberRow, MemberRow.adapter_id == AdapterRow.id)
        .where(MemberRow.family_id == family.adapter_id)
    )
    return dict(session.execute(query).all())


def _assigned(session: Session, family: FamilyRow) -> dict[str, int]:
    query = select(AssignmentRow.identity, AssignmentRow.adapter_id).where(
        AssignmentRow.family_id == family.adapter_id
    )
    return dict(session.execute(query).all())
