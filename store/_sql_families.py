"""What a local registry reads of families, and the operators' words on decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import _decisions, _family_lists, _fitting, _routing, _rows
from ._blobs import Blobs
from ._database import Database
from ._decide_choice import Choice
from ._errors import Unsupported
from ._family_records import (
    AssignmentRecord,
    DecisionStep,
    FamilyRecord,
    MemberRecord,
    OperatorState,
)
from ._find import family_row
from ._records import Decision
from ._registry import Registry
from ._route_records import Fit, Router, Routing, RoutingTable


class SqlFamilies(Registry):
    """The part of a registry that is about families; see FamilyReads for the contract."""

    def __init__(self, database: Database, blobs: Blobs, router: Router | None = None) -> None:
        self._database = database
        self._blobs = blobs
        self._router = router

    def families(self) -> list[FamilyRecord]:
        """See FamilyReads."""
        with self._database.read() as session:
            return _family_lists.families(session)

    def family(self, root: str) -> FamilyRecord:
        """See FamilyReads."""
        with self._database.read() as session:
            return _family_lists.family_of(family_row(session, root))

    def members(self, family: str) -> list[MemberRecord]:
        """See FamilyReads."""
        with self._database.read() as session:
            return _family_lists.members(session, family)

    def assignments(self, family: str) -> list[AssignmentRecord]:
        """See FamilyReads."""
        with self._database.read() as session:
            return _family_lists.assignments(session, family)

    def decision_log(
        self, decision: int | None = None, *, since: int = 0, limit: int = 100
    ) -> list[DecisionStep]:
        """See FamilyReads."""
        with self._database.read() as session:
            return _family_lists.decision_log(session, decision, since, limit)

    def settle(
        self, decision: int, *, state: OperatorState, reason: str, actor: str
    ) -> DecisionStep:
        """See FamilyReads."""
        with self._database.write() as session:
            step = _decisions.settle_as_operator(session, decision, state, reason, actor)
            return _family_lists.step_of(step)

    def force(self, choice: Choice, *, actor: str) -> Decision:
        """See FamilyReads."""
        with self._database.write() as session:
            return _rows.decision(_decisions.force(session, choice, actor))

    def routes(self, family: str) -> RoutingTable:
        """See FamilyReads."""
        with self._database.read() as session:
            return _routing.routes(session, family)

    def route(self, family: str, summary: Mapping[str, Any], *, own: str | None = None) -> Routing:
        """See FamilyReads."""
        values = _routing.checked_summary(summary)
        table = self.routes(family)
        if self._router is None:
            problem = (
                "this registry has no router: ask a running daemon (grpc://), or open it with "
                "connect(url, router=polyrank.coordinator.router)"
            )
            raise Unsupported("route", self._database.url, problem)
        return self._router(table, values, own)

    def fitting(
        self, card: Mapping[str, Any], *, family: str | None = None, limit: int = 20
    ) -> list[Fit]:
        """See FamilyReads."""
        with self._database.read() as session:
            return _fitting.fitting(session, card, family, limit)
