"""The routing table of a family, from its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from ._errors import InvalidValue
from ._family_records import MemberState
from ._find import family_row
from ._json import EMPTY
from ._route_records import RouteEntry, RoutingTable
from ._tables import AdapterRow, AliasRow, AssignmentRow, MemberRow

STABLE = "stable"
MAX_SUMMARY_BYTES = 64 * 1024


def routes(session: Session, root: str) -> RoutingTable:
    """Return the routing table of a family, its members by name."""
    family = family_row(session, root)
    query = (
        select(MemberRow, AliasRow.number)
        .join(MemberRow.adapter)
        .outerjoin(
            AliasRow, (AliasRow.adapter_id == MemberRow.adapter_id) & (AliasRow.alias == STABLE)
        )
        .where(MemberRow.family_id == family.adapter_id)
        .order_by(AdapterRow.name)
    )
    users = Counter(
        session.scalars(
            select(AssignmentRow.adapter_id).where(AssignmentRow.family_id == family.adapter_id)
        )
    )
    return RoutingTable(
        family=root,
        spec=_mapping(family.payload.get("spec")),
        place=str(family.payload.get("place", "")),
        entries=tuple(
            RouteEntry(
                adapter=member.adapter.name,
                state=cast("MemberState", member.state),
                stable=stable,
                users=users[member.adapter_id],
                reference=_mapping(member.payload.get("reference")),
            )
            for member, stable in session.execute(query)
        ),
    )


def checked_summary(summary: object) -> Mapping[str, Any]:
    """Return a summary's values; what is in them is for the router to read. InvalidValue."""
    if not isinstance(summary, Mapping):
        raise InvalidValue("summary", "an object of JSON is wanted, as Summary.to_json gives it")
    return cast("Mapping[str, Any]", summary)


def _mapping(values: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", values) if isinstance(values, Mapping) else EMPTY
