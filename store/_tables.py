"""All tables. Every rule that a database can keep is kept by the database.

The schema itself is made by the migrations; a test compares the two. Numbers that must be ordered
and gap-free come from `counters`, whose "events" row every writer locks first. Import tables from
here: then the metadata holds all of them.
"""

from __future__ import annotations

from ._columns import Base
from ._decision_tables import DecisionEvidenceRow, DecisionLogRow, DecisionRow, EvidenceRow
from ._family_tables import AssignmentRow, FamilyRow, MemberRow, ReviewRow
from ._line_tables import (
    AdapterRow,
    AliasLogRow,
    AliasRow,
    BaseModelRow,
    BlobRow,
    CounterRow,
    DriverRow,
    EventRow,
    MetricRow,
    ParentRow,
    TagRow,
    VersionRow,
)
from ._round_tables import ContributionRow, NodeRow, RoundRow, SummaryRow, TaskRow

__all__ = [
    "AdapterRow",
    "AliasLogRow",
    "AliasRow",
    "AssignmentRow",
    "Base",
    "BaseModelRow",
    "BlobRow",
    "ContributionRow",
    "CounterRow",
    "DecisionEvidenceRow",
    "DecisionLogRow",
    "DecisionRow",
    "DriverRow",
    "EventRow",
    "EvidenceRow",
    "FamilyRow",
    "MemberRow",
    "MetricRow",
    "NodeRow",
    "ParentRow",
    "ReviewRow",
    "RoundRow",
    "SummaryRow",
    "TagRow",
    "TaskRow",
    "VersionRow",
]
