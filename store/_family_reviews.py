"""Recording a review of a family: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from . import _rows
from ._aliases import move_if_expected
from ._decisions import add_decision, add_evidence
from ._errors import Conflict
from ._families import Assignments, assign, put_member, remember
from ._family_records import NewAlias, NewDecision
from ._find import adapter_row, family_row
from ._json import dumps, freeze
from ._names import whole
from ._records import Decision, Evidence
from ._tables import DecisionEvidenceRow, DecisionRow, EvidenceRow, FamilyRow, ReviewRow
from ._writes import add_event

Recorded = tuple[Evidence, tuple[Decision, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReview:
    """A review to be recorded: what was seen, what was chosen, what is so from now on."""

    number: int
    evidence: Mapping[str, Any]
    subject: str
    decisions: Sequence[NewDecision]
    payload: Mapping[str, Any]
    members: Mapping[str, tuple[str, Mapping[str, Any]]]
    assignments: Assignments
    aliases: Sequence[NewAlias] = ()


def record_review(
    session: Session, root: str, review: NewReview
) -> tuple[Recorded, Collection[str]]:
    """Record the family's next review, or return the one recorded under this number.

    Returned besides are the bytes of updates that its moves have left out.
    """
    whole("number", review.number, least=1)
    family = family_row(session, root)
    if review.number <= family.reviews:
        return _recorded_before(session, family, review), ()
    if review.number != family.reviews + 1:
        wanted = f"review {family.reviews + 1}"
        raise Conflict(f"family {root}", wanted, f"review {review.number}")
    return _record(session, family, review)


def _record(
    session: Session, family: FamilyRow, review: NewReview
) -> tuple[Recorded, Collection[str]]:
    root = family.root.name
    evidence = add_evidence(session, "review", root, review.subject, review.evidence)
    decisions = [add_decision(session, new, [evidence.number]) for new in review.decisions]
    for name, (state, payload) in review.members.items():
        put_member(session, family, name, state, payload)
    left_out = assign(session, family, review.assignments) if review.assignments else ()
    for alias in review.aliases:
        move_if_expected(session, adapter_row(session, alias.adapter), alias)
    family.reviews = review.number
    remember(family, review.payload, "family payload")
    session.add(
        ReviewRow(
            family_id=family.adapter_id,
            number=review.number,
            evidence=evidence.number,
            decisions=len(decisions),
        )
    )
    session.flush()
    payload = {
        "number": review.number,
        "evidence": evidence.number,
        "kinds": [row.kind for row in decisions],
    }
    add_event(session, "review_recorded", adapter=family.root, subject=root, payload=payload)
    return (_rows.evidence(evidence), tuple(map(_rows.decision, decisions))), left_out


def _recorded_before(session: Session, family: FamilyRow, review: NewReview) -> Recorded:
    """Return what was recorded; raise Conflict if it rests on other evidence.

    Later decisions may rest on the same evidence: a review's own are the first of them.
    """
    row = session.get_one(ReviewRow, (family.adapter_id, review.number))
    evidence = session.get_one(EvidenceRow, row.evidence)
    if dumps(evidence.payload) != dumps(freeze(review.evidence, field="evidence payload")):
        subject = f"review {review.number} of family {family.root.name}"
        raise Conflict(subject, "the evidence that it was recorded with", "another")
    decisions = session.scalars(
        select(DecisionRow)
        .join(DecisionEvidenceRow, DecisionEvidenceRow.decision == DecisionRow.number)
        .where(DecisionEvidenceRow.evidence == row.evidence)
        .order_by(DecisionRow.number)
        .limit(row.decisions)
    )
    return _rows.evidence(evidence), tuple(_rows.decision(found) for found in decisions)
