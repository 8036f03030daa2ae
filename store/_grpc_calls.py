"""The calls of `polyrank.registry.v1` by the names of the registry's methods.

Server and client are both driven by this table; the messages of each call are looked up in the
service that protoc compiled, so a call is named in two places only: here and in registry.proto.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from . import _registry_pb2 as pb
from ._family_records import AssignmentRecord, DecisionStep, FamilyRecord, MemberRecord
from ._records import (
    AdapterLine,
    Alias,
    AliasChange,
    Ancestor,
    BaseModel,
    ContributionRecord,
    Decision,
    DriverRecord,
    Event,
    Evidence,
    MetricRecord,
    Neighbour,
    NodeRecord,
    RegistryInfo,
    RoundRecord,
    SummaryRecord,
    TaskRecord,
    Version,
)
from ._route_records import Fit, Routing, RoutingTable

SERVICE = "polyrank.registry.v1.Registry"
CHUNK_BYTES = 1 << 20
BATCH_BYTES = 256 << 10
# One record with a profile of 16,384 modules is about 20 MB; nothing else comes near it.
MAX_REPLY_BYTES = 64 << 20


class Shape(Enum):
    """How a call answers: one record, batches of records, or a page in batches."""

    ONE = "one"
    LIST = "list"
    PAGE = "page"


@dataclass(frozen=True)
class Call:
    """One call: its name in the service, and the record that it answers with."""

    rpc: str
    item: type[Any]
    shape: Shape = Shape.LIST

    @property
    def path(self) -> str:
        """Its path on the wire."""
        return f"/{SERVICE}/{self.rpc}"

    @property
    def request(self) -> type[Message]:
        """The class of its request."""
        return GetMessageClass(_METHODS[self.rpc].input_type)

    @property
    def reply(self) -> type[Message]:
        """The class of its reply, or of one message of its stream."""
        return GetMessageClass(_METHODS[self.rpc].output_type)


_METHODS = pb.DESCRIPTOR.services_by_name["Registry"].methods_by_name

CALLS: dict[str, Call] = {
    "info": Call("GetInfo", RegistryInfo, Shape.ONE),
    "base_models": Call("ListBaseModels", BaseModel),
    "adapters": Call("ListAdapters", AdapterLine),
    "adapter": Call("GetAdapter", AdapterLine, Shape.ONE),
    "version": Call("GetVersion", Version, Shape.ONE),
    "by_digest": Call("ListByDigest", Version),
    "versions": Call("ListVersions", Version, Shape.PAGE),
    "search": Call("Search", Version, Shape.PAGE),
    "lineage": Call("ListLineage", Ancestor),
    "similar": Call("ListSimilar", Neighbour),
    "aliases": Call("ListAliases", Alias),
    "alias_history": Call("ListAliasHistory", AliasChange),
    "set_alias": Call("SetAlias", Alias, Shape.ONE),
    "rollback": Call("Rollback", Alias, Shape.ONE),
    "metrics": Call("ListMetrics", MetricRecord),
    "nodes": Call("ListNodes", NodeRecord),
    "rounds": Call("ListRounds", RoundRecord),
    "tasks": Call("ListTasks", TaskRecord),
    "contributions": Call("ListContributions", ContributionRecord),
    "summaries": Call("ListSummaries", SummaryRecord),
    "drivers": Call("ListDrivers", DriverRecord),
    "evidence": Call("ListEvidence", Evidence),
    "decisions": Call("ListDecisions", Decision),
    "decision_log": Call("ListDecisionLog", DecisionStep),
    "settle": Call("Settle", DecisionStep, Shape.ONE),
    "force": Call("Force", Decision, Shape.ONE),
    "families": Call("ListFamilies", FamilyRecord),
    "family": Call("GetFamily", FamilyRecord, Shape.ONE),
    "members": Call("ListMembers", MemberRecord),
    "assignments": Call("ListAssignments", AssignmentRecord),
    "routes": Call("GetRoutes", RoutingTable, Shape.ONE),
    "route": Call("Route", Routing, Shape.ONE),
    "fitting": Call("ListFitting", Fit),
    "events": Call("ListEvents", Event),
}
READ = Call("Read", bytes)
WATCH = Call("Watch", Event)
