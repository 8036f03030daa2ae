"""The adapter registry: every version, what it came from, and why it is what it is.

    from polyrank.store import connect

    registry = connect("sqlite:///registry.db")        # or grpc://host:port, memory://
    registry.version("support/en@stable").rank

Importing this package loads nothing else; a database or gRPC is loaded by what needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._connect import connect, open_ledger
    from ._decide import decide
    from ._decide_choice import Choice, choices_to_json
    from ._decide_gate import Promotion, Recall, is_held, promotions
    from ._errors import (
        AddressInUse,
        AddressRefused,
        AlreadyExists,
        BlobDamaged,
        BlobMissing,
        BlobTooLarge,
        Closed,
        Conflict,
        DeadlineExceeded,
        FilterError,
        InvalidBlob,
        InvalidValue,
        NotFound,
        PageTokenError,
        ProfileMismatch,
        RefError,
        RemoteFailure,
        SchemaTooNew,
        StaleEpoch,
        StorageFailure,
        StoreBusy,
        StoreError,
        Unauthenticated,
        Unavailable,
        Unsupported,
        UrlError,
    )
    from ._family_records import (
        AliasTip,
        AssignmentRecord,
        DecisionStep,
        FamilyRecord,
        MemberRecord,
        NewAlias,
        NewDecision,
        Proposal,
    )
    from ._gate_evidence import DomainEvidence, GateEvidence, RecallEvidence
    from ._grpc_server import Server, serve
    from ._ledger import Ledger
    from ._names import PIN_PREFIX
    from ._policy import AdaptationPolicy
    from ._proposal_evidence import ProposalEvidence
    from ._prune_records import Pruned
    from ._questions import Probe, RankTrial, Trial, questions
    from ._records import (
        AdapterLine,
        Alias,
        AliasChange,
        Ancestor,
        BaseModel,
        ContributionRecord,
        Decision,
        DenseSpec,
        DriverRecord,
        Event,
        Evidence,
        MetricRecord,
        ModuleSpec,
        Neighbour,
        NewTask,
        NodeRecord,
        Page,
        Parent,
        RegistryInfo,
        RoundRecord,
        SummaryRecord,
        TaskRecord,
        Version,
    )
    from ._registry import Registry
    from ._registry_types import ANY, Watch
    from ._replay import replay, replays
    from ._review import (
        MemberEvidence,
        NodeEvidence,
        ProbeEvidence,
        RankEvidence,
        Review,
        SideEvidence,
        TrialEvidence,
    )
    from ._route_records import Fit, RouteEntry, Router, RouteShare, Routing, RoutingTable

_ERRORS = (
    "AddressInUse AddressRefused AlreadyExists BlobDamaged BlobMissing BlobTooLarge Closed "
    "Conflict DeadlineExceeded FilterError InvalidBlob InvalidValue NotFound PageTokenError "
    "ProfileMismatch RefError RemoteFailure SchemaTooNew StaleEpoch StorageFailure StoreBusy "
    "StoreError Unauthenticated Unavailable Unsupported UrlError"
)
_RECORDS = (
    "AdapterLine Alias AliasChange Ancestor BaseModel ContributionRecord Decision DenseSpec "
    "DriverRecord Event Evidence MetricRecord ModuleSpec Neighbour NewTask NodeRecord Page Parent "
    "RegistryInfo RoundRecord SummaryRecord TaskRecord Version"
)
_FAMILIES = (
    "AliasTip AssignmentRecord DecisionStep FamilyRecord MemberRecord NewAlias NewDecision Proposal"
)
_ROUTES = "Fit RouteEntry RouteShare Router Routing RoutingTable"
_REVIEW = "MemberEvidence NodeEvidence ProbeEvidence RankEvidence Review SideEvidence TrialEvidence"
_HOME = {
    **dict.fromkeys(_ERRORS.split(), "_errors"),
    **dict.fromkeys(_RECORDS.split(), "_records"),
    **dict.fromkeys(_FAMILIES.split(), "_family_records"),
    **dict.fromkeys(_REVIEW.split(), "_review"),
    **dict.fromkeys(("DomainEvidence", "GateEvidence", "RecallEvidence"), "_gate_evidence"),
    "ProposalEvidence": "_proposal_evidence",
    **dict.fromkeys(("Probe", "RankTrial", "Trial", "questions"), "_questions"),
    **dict.fromkeys(("Choice", "choices_to_json"), "_decide_choice"),
    **dict.fromkeys(_ROUTES.split(), "_route_records"),
    **dict.fromkeys(("Promotion", "Recall", "is_held", "promotions"), "_decide_gate"),
    "AdaptationPolicy": "_policy",
    "decide": "_decide",
    **dict.fromkeys(("replay", "replays"), "_replay"),
    "PIN_PREFIX": "_names",
    "Pruned": "_prune_records",
    "Registry": "_registry",
    **dict.fromkeys(("ANY", "Watch"), "_registry_types"),
    **dict.fromkeys(("connect", "open_ledger"), "_connect"),
    **dict.fromkeys(("Server", "serve"), "_grpc_server"),
    "Ledger": "_ledger",
}

__all__ = [
    "ANY",
    "AdaptationPolicy",
    "AdapterLine",
    "AddressInUse",
    "AddressRefused",
    "Alias",
    "AliasChange",
    "AliasTip",
    "AlreadyExists",
    "Ancestor",
    "AssignmentRecord",
    "BaseModel",
    "BlobDamaged",
    "BlobMissing",
    "BlobTooLarge",
    "Choice",
    "Closed",
    "Conflict",
    "ContributionRecord",
    "DeadlineExceeded",
    "Decision",
    "DecisionStep",
    "DenseSpec",
    "DomainEvidence",
    "DriverRecord",
    "Event",
    "Evidence",
    "FamilyRecord",
    "FilterError",
    "Fit",
    "GateEvidence",
    "InvalidBlob",
    "InvalidValue",
    "Ledger",
    "MemberEvidence",
    "MemberRecord",
    "MetricRecord",
    "ModuleSpec",
    "Neighbour",
    "NewAlias",
    "NewDecision",
    "NewTask",
    "NodeEvidence",
    "NodeRecord",
    "NotFound",
    "PIN_PREFIX",
    "Page",
    "PageTokenError",
    "Parent",
    "Probe",
    "ProbeEvidence",
    "ProfileMismatch",
    "Promotion",
    "Proposal",
    "ProposalEvidence",
    "Pruned",
    "RankEvidence",
    "RankTrial",
    "Recall",
    "RecallEvidence",
    "RefError",
    "Registry",
    "RegistryInfo",
    "RemoteFailure",
    "Review",
    "RoundRecord",
    "RouteEntry",
    "RouteShare",
    "Router",
    "Routing",
    "RoutingTable",
    "SchemaTooNew",
    "Server",
    "SideEvidence",
    "StaleEpoch",
    "StorageFailure",
    "StoreBusy",
    "StoreError",
    "SummaryRecord",
    "TaskRecord",
    "Trial",
    "TrialEvidence",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "UrlError",
    "Version",
    "Watch",
    "choices_to_json",
    "connect",
    "decide",
    "is_held",
    "open_ledger",
    "promotions",
    "questions",
    "replay",
    "replays",
    "serve",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
