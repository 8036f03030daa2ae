"""Evidence, decisions and what becomes of them, inside a transaction that the caller opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from ._database import next_number, now
from ._decide_choice import Choice
from ._errors import Conflict, InvalidValue, NotFound
from ._family_records import FIRST_STATES, OPERATOR_STATES, STEP_STATES, NewDecision
from ._find import adapter_id, adapter_row, decision_row
from ._json import freeze
from ._names import name_text, one_of, text, whole, word
from ._tables import (
    DecisionEvidenceRow,
    DecisionLogRow,
    DecisionRow,
    EvidenceRow,
    MemberRow,
    NodeRow,
)
from ._writes import add_event

UNDO_ASKED = "undone at an operator's request"
_DRIVER_MOVES: Mapping[str, Sequence[str]] = {
    "recorded": ("proposed", "approved"),
    "proposed": ("approved", "vetoed"),
    "approved": ("carried_out", "failed"),
    "carried_out": ("undone",),
    UNDO_ASKED: ("undone", "carried_out"),
}
_OPERATOR_MOVES: Mapping[str, Sequence[str]] = {
    "proposed": ("approved", "vetoed"),
    "carried_out": ("undone",),
}


def add_evidence(
    session: Session, kind: str, adapter: str | None, subject: str, payload: Mapping[str, Any]
) -> EvidenceRow:
    """Record numbers that a decision may rest on."""
    found = None if adapter is None else adapter_row(session, adapter)
    row = EvidenceRow(
        number=next_number(session, "evidence"),
        adapter=found,
        kind=word("evidence kind", kind),
        subject=text("evidence subject", subject),
        payload=freeze(payload, field="evidence payload"),
        created_at=now(),
    )
    session.add(row)
    add_event(
        session,
        "evidence_recorded",
        adapter=found,
        subject=subject,
        payload={"number": row.number, "kind": kind},
    )
    return row


def add_decision(session: Session, new: NewDecision, evidence: Sequence[int]) -> DecisionRow:
    """Record a choice, and its first step if it has one; raise NotFound for unknown evidence."""
    for number in evidence:
        if session.get(EvidenceRow, number) is None:
            raise NotFound("evidence", str(number))
    row = DecisionRow(
        number=next_number(session, "decisions"),
        adapter_id=adapter_id(session, new.adapter),
        kind=word("decision kind", new.kind),
        subject=text("decision subject", new.subject),
        reason=text("reason", new.reason),
        payload=freeze(new.payload, field="decision payload"),
        created_at=now(),
        evidence=[
            DecisionEvidenceRow(position=position, evidence=number)
            for position, number in enumerate(evidence)
        ],
        steps=[],
    )
    session.add(row)
    session.flush()
    payload = {"number": row.number, "kind": new.kind}
    add_event(
        session, "decision_recorded", adapter=row.adapter, subject=new.subject, payload=payload
    )
    if new.state is not None:
        _add_step(session, row, one_of("state", new.state, FIRST_STATES), "", "")
    return row


def force(session: Session, choice: Choice, actor: str) -> DecisionRow:
    """Record an operator's own choice, approved by its first step."""
    name_text("actor", actor)
    if choice.kind in ("keep", "hold"):
        raise InvalidValue("kind", f"there is nothing to do about a {choice.kind}")
    row = adapter_row(session, choice.adapter)
    if session.get(MemberRow, row.id) is None:
        raise NotFound("member", choice.adapter)
    for identity in choice.nodes:  # a slip of the pen would otherwise be carried out for the others
        if session.get(NodeRow, identity) is None:
            raise NotFound("node", identity)
    new = NewDecision(
        kind=choice.kind,
        adapter=choice.adapter,
        subject=choice.target,
        reason=choice.reason,
        payload=choice.to_json(),
    )
    decision = add_decision(session, new, ())
    _add_step(session, decision, "approved", choice.reason, actor)
    return decision


def settle_as_operator(
    session: Session, number: int, state: str, reason: str, actor: str
) -> DecisionLogRow:
    """Write down an operator's word."""
    one_of("state", state, OPERATOR_STATES)
    name_text("actor", actor)
    return _settle(session, number, state, reason, actor, _OPERATOR_MOVES)


def settle_as_driver(
    session: Session, number: int, state: str, reason: str, actor: str
) -> DecisionLogRow:
    """Write down what the driver did, or passes on."""
    one_of("state", state, STEP_STATES)
    if state == "undone" and actor:
        raise InvalidValue("actor", "an undoing with an actor is a request; leave it out")
    text("actor", actor, limit=200)
    return _settle(session, number, state, reason, actor, _DRIVER_MOVES)


def _settle(
    session: Session,
    number: int,
    state: str,
    reason: str,
    actor: str,
    moves: Mapping[str, Sequence[str]],
) -> DecisionLogRow:
    row = decision_row(session, whole("decision", number))
    standing = _standing(row)
    if state not in moves.get(standing, ()):
        before = [name for name, after in moves.items() if state in after]
        raise Conflict(f"decision {number}", f"one that is {' or '.join(before)}", standing)
    return _add_step(session, row, state, reason, actor)


def _standing(row: DecisionRow) -> str:
    if not row.steps:
        return "recorded"
    newest = row.steps[-1]
    return UNDO_ASKED if newest.state == "undone" and newest.actor else newest.state


def _add_step(
    session: Session, row: DecisionRow, state: str, reason: str, actor: str
) -> DecisionLogRow:
    step = DecisionLogRow(
        sequence=next_number(session, "decision_log"),
        state=state,
        reason=text("reason", reason),
        actor=actor,
        at=now(),
    )
    row.steps.append(step)
    session.flush()
    payload = {
        "number": row.number,
        "kind": row.kind,
        "sequence": step.sequence,
        "reason": reason,
        "actor": actor,
    }
    add_event(
        session, f"decision_{state}", adapter=row.adapter, subject=row.subject, payload=payload
    )
    return step
