import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Error(_message.Message):
    __slots__ = ("kinds", "facts")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    facts: Json
    def __init__(self, kinds: _Optional[_Iterable[str]] = ..., facts: _Optional[_Union[Json, _Mapping]] = ...) -> None: ...

class GetInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListBaseModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAdaptersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAdapterRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetVersionRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class ListByDigestRequest(_message.Message):
    __slots__ = ("digest",)
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    digest: str
    def __init__(self, digest: _Optional[str] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ("adapter", "limit", "page_token")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    limit: int
    page_token: str
    def __init__(self, adapter: _Optional[str] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("filter", "order_by", "limit", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: str
    order_by: str
    limit: int
    page_token: str
    def __init__(self, filter: _Optional[str] = ..., order_by: _Optional[str] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListLineageRequest(_message.Message):
    __slots__ = ("ref", "depth")
    REF_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    ref: str
    depth: int
    def __init__(self, ref: _Optional[str] = ..., depth: _Optional[int] = ...) -> None: ...

class ListSimilarRequest(_message.Message):
    __slots__ = ("ref", "limit")
    REF_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ref: str
    limit: int
    def __init__(self, ref: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ReadRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class ListAliasesRequest(_message.Message):
    __slots__ = ("adapter",)
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    def __init__(self, adapter: _Optional[str] = ...) -> None: ...

class ListAliasHistoryRequest(_message.Message):
    __slots__ = ("adapter", "alias")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    alias: str
    def __init__(self, adapter: _Optional[str] = ..., alias: _Optional[str] = ...) -> None: ...

class SetAliasRequest(_message.Message):
    __slots__ = ("adapter", "alias", "number", "expect", "expect_absent", "reason")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EXPECT_FIELD_NUMBER: _ClassVar[int]
    EXPECT_ABSENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    alias: str
    number: int
    expect: int
    expect_absent: bool
    reason: str
    def __init__(self, adapter: _Optional[str] = ..., alias: _Optional[str] = ..., number: _Optional[int] = ..., expect: _Optional[int] = ..., expect_absent: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("adapter", "alias", "reason")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    alias: str
    reason: str
    def __init__(self, adapter: _Optional[str] = ..., alias: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ListMetricsRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRoundsRequest(_message.Message):
    __slots__ = ("adapter",)
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    def __init__(self, adapter: _Optional[str] = ...) -> None: ...

class ListTasksRequest(_message.Message):
    __slots__ = ("adapter", "round")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    round: int
    def __init__(self, adapter: _Optional[str] = ..., round: _Optional[int] = ...) -> None: ...

class ListContributionsRequest(_message.Message):
    __slots__ = ("adapter", "round")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    round: int
    def __init__(self, adapter: _Optional[str] = ..., round: _Optional[int] = ...) -> None: ...

class ListSummariesRequest(_message.Message):
    __slots__ = ("adapter", "round")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    round: int
    def __init__(self, adapter: _Optional[str] = ..., round: _Optional[int] = ...) -> None: ...

class ListDriversRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListEvidenceRequest(_message.Message):
    __slots__ = ("adapter", "since", "limit")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    since: int
    limit: int
    def __init__(self, adapter: _Optional[str] = ..., since: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListDecisionsRequest(_message.Message):
    __slots__ = ("adapter", "since", "limit")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    since: int
    limit: int
    def __init__(self, adapter: _Optional[str] = ..., since: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListDecisionLogRequest(_message.Message):
    __slots__ = ("decision", "since", "limit")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    decision: int
    since: int
    limit: int
    def __init__(self, decision: _Optional[int] = ..., since: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class SettleRequest(_message.Message):
    __slots__ = ("decision", "state", "reason", "actor")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    decision: int
    state: str
    reason: str
    actor: str
    def __init__(self, decision: _Optional[int] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class ForceRequest(_message.Message):
    __slots__ = ("choice", "actor")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    choice: str
    actor: str
    def __init__(self, choice: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class ListFamiliesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetFamilyRequest(_message.Message):
    __slots__ = ("root",)
    ROOT_FIELD_NUMBER: _ClassVar[int]
    root: str
    def __init__(self, root: _Optional[str] = ...) -> None: ...

class ListMembersRequest(_message.Message):
    __slots__ = ("family",)
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    family: str
    def __init__(self, family: _Optional[str] = ...) -> None: ...

class ListAssignmentsRequest(_message.Message):
    __slots__ = ("family",)
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    family: str
    def __init__(self, family: _Optional[str] = ...) -> None: ...

class GetRoutesRequest(_message.Message):
    __slots__ = ("family",)
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    family: str
    def __init__(self, family: _Optional[str] = ...) -> None: ...

class RouteRequest(_message.Message):
    __slots__ = ("family", "summary", "own")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    OWN_FIELD_NUMBER: _ClassVar[int]
    family: str
    summary: str
    own: str
    def __init__(self, family: _Optional[str] = ..., summary: _Optional[str] = ..., own: _Optional[str] = ...) -> None: ...

class ListFittingRequest(_message.Message):
    __slots__ = ("card", "family", "limit")
    CARD_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    card: str
    family: str
    limit: int
    def __init__(self, card: _Optional[str] = ..., family: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("since", "limit", "adapter")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    since: int
    limit: int
    adapter: str
    def __init__(self, since: _Optional[int] = ..., limit: _Optional[int] = ..., adapter: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("since", "timeout_seconds")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    since: int
    timeout_seconds: float
    def __init__(self, since: _Optional[int] = ..., timeout_seconds: _Optional[float] = ...) -> None: ...

class Versions(_message.Message):
    __slots__ = ("items", "next_page_token")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Version]
    next_page_token: str
    def __init__(self, items: _Optional[_Iterable[_Union[Version, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class BaseModels(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BaseModel]
    def __init__(self, items: _Optional[_Iterable[_Union[BaseModel, _Mapping]]] = ...) -> None: ...

class AdapterLines(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[AdapterLine]
    def __init__(self, items: _Optional[_Iterable[_Union[AdapterLine, _Mapping]]] = ...) -> None: ...

class Ancestors(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Ancestor]
    def __init__(self, items: _Optional[_Iterable[_Union[Ancestor, _Mapping]]] = ...) -> None: ...

class Neighbours(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Neighbour]
    def __init__(self, items: _Optional[_Iterable[_Union[Neighbour, _Mapping]]] = ...) -> None: ...

class Aliases(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Alias]
    def __init__(self, items: _Optional[_Iterable[_Union[Alias, _Mapping]]] = ...) -> None: ...

class AliasChanges(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[AliasChange]
    def __init__(self, items: _Optional[_Iterable[_Union[AliasChange, _Mapping]]] = ...) -> None: ...

class MetricRecords(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[MetricRecord]
    def __init__(self, items: _Optional[_Iterable[_Union[MetricRecord, _Mapping]]] = ...) -> None: ...

class NodeRecords(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[NodeRecord]
    def __init__(self, items: _Optional[_Iterable[_Union[NodeRecord, _Mapping]]] = ...) -> None: ...

class RoundRecords(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RoundRecord]
    def __init__(self, items: _Optional[_Iterable[_Union[RoundRecord, _Mapping]]] = ...) -> None: ...

class TaskRecords(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[TaskRecord]
    def __init__(self, items: _Optional[_Iterable[_Union[TaskRecord, _Mapping]]] = ...) -> None: ...

class ContributionRecords(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ContributionRecord]
    def __init__(self, items: _Optional[_Iterable[_Union[ContributionRecord, _Mapping]]] = ...) -> None: ...

class SummaryRecords(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[SummaryRecord]
    def __init__(self, items: _Optional[_Iterable[_Union[SummaryRecord, _Mapping]]] = ...) -> None: ...

class DriverRecords(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[DriverRecord]
    def __init__(self, items: _Optional[_Iterable[_Union[DriverRecord, _Mapping]]] = ...) -> None: ...

class Evidences(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Evidence]
    def __init__(self, items: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ...) -> None: ...

class Decisions(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Decision]
    def __init__(self, items: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ...) -> None: ...

class DecisionSteps(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[DecisionStep]
    def __init__(self, items: _Optional[_Iterable[_Union[DecisionStep, _Mapping]]] = ...) -> None: ...

class FamilyRecords(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[FamilyRecord]
    def __init__(self, items: _Optional[_Iterable[_Union[FamilyRecord, _Mapping]]] = ...) -> None: ...

class MemberRecords(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[MemberRecord]
    def __init__(self, items: _Optional[_Iterable[_Union[MemberRecord, _Mapping]]] = ...) -> None: ...

class AssignmentRecords(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[AssignmentRecord]
    def __init__(self, items: _Optional[_Iterable[_Union[AssignmentRecord, _Mapping]]] = ...) -> None: ...

class Fits(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Fit]
    def __init__(self, items: _Optional[_Iterable[_Union[Fit, _Mapping]]] = ...) -> None: ...

class Events(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, items: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("data", "size_bytes", "digest")
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    size_bytes: int
    digest: str
    def __init__(self, data: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class Json(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class BaseModel(_message.Message):
    __slots__ = ("name", "fingerprint", "metadata", "created_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    fingerprint: str
    metadata: Json
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., fingerprint: _Optional[str] = ..., metadata: _Optional[_Union[Json, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AdapterLine(_message.Message):
    __slots__ = ("name", "base_model", "tags", "head", "created_at", "retired")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    BASE_MODEL_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    name: str
    base_model: str
    tags: _containers.ScalarMap[str, str]
    head: int
    created_at: _timestamp_pb2.Timestamp
    retired: bool
    def __init__(self, name: _Optional[str] = ..., base_model: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ..., head: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., retired: _Optional[bool] = ...) -> None: ...

class ModuleSpec(_message.Message):
    __slots__ = ("name", "rank", "shape", "dtype")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    rank: int
    shape: _containers.RepeatedScalarFieldContainer[int]
    dtype: str
    def __init__(self, name: _Optional[str] = ..., rank: _Optional[int] = ..., shape: _Optional[_Iterable[int]] = ..., dtype: _Optional[str] = ...) -> None: ...

class DenseSpec(_message.Message):
    __slots__ = ("name", "shape", "dtype")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    dtype: str
    def __init__(self, name: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., dtype: _Optional[str] = ...) -> None: ...

class Parent(_message.Message):
    __slots__ = ("adapter", "number", "weight", "role")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    number: int
    weight: float
    role: str
    def __init__(self, adapter: _Optional[str] = ..., number: _Optional[int] = ..., weight: _Optional[float] = ..., role: _Optional[str] = ...) -> None: ...

class Version(_message.Message):
    __slots__ = ("adapter", "number", "digest", "size_bytes", "base_model", "parents", "origin", "modules", "dense", "metrics", "tags", "profile", "round", "created_at", "retired")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BASE_MODEL_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    DENSE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    number: int
    digest: str
    size_bytes: int
    base_model: str
    parents: _containers.RepeatedCompositeFieldContainer[Parent]
    origin: str
    modules: _containers.RepeatedCompositeFieldContainer[ModuleSpec]
    dense: _containers.RepeatedCompositeFieldContainer[DenseSpec]
    metrics: _containers.ScalarMap[str, float]
    tags: _containers.ScalarMap[str, str]
    profile: Json
    round: int
    created_at: _timestamp_pb2.Timestamp
    retired: bool
    def __init__(self, adapter: _Optional[str] = ..., number: _Optional[int] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ..., base_model: _Optional[str] = ..., parents: _Optional[_Iterable[_Union[Parent, _Mapping]]] = ..., origin: _Optional[str] = ..., modules: _Optional[_Iterable[_Union[ModuleSpec, _Mapping]]] = ..., dense: _Optional[_Iterable[_Union[DenseSpec, _Mapping]]] = ..., metrics: _Optional[_Mapping[str, float]] = ..., tags: _Optional[_Mapping[str, str]] = ..., profile: _Optional[_Union[Json, _Mapping]] = ..., round: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., retired: _Optional[bool] = ...) -> None: ...

class Alias(_message.Message):
    __slots__ = ("adapter", "alias", "number", "reason", "updated_at")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    alias: str
    number: int
    reason: str
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, adapter: _Optional[str] = ..., alias: _Optional[str] = ..., number: _Optional[int] = ..., reason: _Optional[str] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AliasChange(_message.Message):
    __slots__ = ("adapter", "alias", "number", "reason", "updated_at", "previous", "sequence", "kind")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    alias: str
    number: int
    reason: str
    updated_at: _timestamp_pb2.Timestamp
    previous: int
    sequence: int
    kind: str
    def __init__(self, adapter: _Optional[str] = ..., alias: _Optional[str] = ..., number: _Optional[int] = ..., reason: _Optional[str] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., previous: _Optional[int] = ..., sequence: _Optional[int] = ..., kind: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("number", "kind", "adapter", "subject", "payload", "created_at")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    number: int
    kind: str
    adapter: str
    subject: str
    payload: Json
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., kind: _Optional[str] = ..., adapter: _Optional[str] = ..., subject: _Optional[str] = ..., payload: _Optional[_Union[Json, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NodeRecord(_message.Message):
    __slots__ = ("identity", "name", "card", "address", "status", "first_seen", "last_seen")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    identity: str
    name: str
    card: Json
    address: str
    status: str
    first_seen: _timestamp_pb2.Timestamp
    last_seen: _timestamp_pb2.Timestamp
    def __init__(self, identity: _Optional[str] = ..., name: _Optional[str] = ..., card: _Optional[_Union[Json, _Mapping]] = ..., address: _Optional[str] = ..., status: _Optional[str] = ..., first_seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RoundRecord(_message.Message):
    __slots__ = ("adapter", "number", "state", "plan", "start_number", "version", "reason", "deadline_at", "created_at", "closed_at")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    START_NUMBER_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    number: int
    state: str
    plan: Json
    start_number: int
    version: int
    reason: str
    deadline_at: _timestamp_pb2.Timestamp
    created_at: _timestamp_pb2.Timestamp
    closed_at: _timestamp_pb2.Timestamp
    def __init__(self, adapter: _Optional[str] = ..., number: _Optional[int] = ..., state: _Optional[str] = ..., plan: _Optional[_Union[Json, _Mapping]] = ..., start_number: _Optional[int] = ..., version: _Optional[int] = ..., reason: _Optional[str] = ..., deadline_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., closed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ContributionRecord(_message.Message):
    __slots__ = ("task_key", "adapter", "round", "identity", "status", "reason", "digest", "size_bytes", "num_examples", "metrics", "start_digest", "start_number", "rank", "approximate", "counted_in", "created_at")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TASK_KEY_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    NUM_EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    START_DIGEST_FIELD_NUMBER: _ClassVar[int]
    START_NUMBER_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    APPROXIMATE_FIELD_NUMBER: _ClassVar[int]
    COUNTED_IN_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    task_key: str
    adapter: str
    round: int
    identity: str
    status: str
    reason: str
    digest: str
    size_bytes: int
    num_examples: int
    metrics: _containers.ScalarMap[str, float]
    start_digest: str
    start_number: int
    rank: int
    approximate: bool
    counted_in: int
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, task_key: _Optional[str] = ..., adapter: _Optional[str] = ..., round: _Optional[int] = ..., identity: _Optional[str] = ..., status: _Optional[str] = ..., reason: _Optional[str] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ..., num_examples: _Optional[int] = ..., metrics: _Optional[_Mapping[str, float]] = ..., start_digest: _Optional[str] = ..., start_number: _Optional[int] = ..., rank: _Optional[int] = ..., approximate: _Optional[bool] = ..., counted_in: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MetricRecord(_message.Message):
    __slots__ = ("name", "value", "identity", "created_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    identity: str
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., identity: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("number", "adapter", "kind", "subject", "payload", "created_at")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    number: int
    adapter: str
    kind: str
    subject: str
    payload: Json
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., adapter: _Optional[str] = ..., kind: _Optional[str] = ..., subject: _Optional[str] = ..., payload: _Optional[_Union[Json, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("number", "adapter", "kind", "subject", "reason", "payload", "evidence", "created_at", "state")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    number: int
    adapter: str
    kind: str
    subject: str
    reason: str
    payload: Json
    evidence: _containers.RepeatedScalarFieldContainer[int]
    created_at: _timestamp_pb2.Timestamp
    state: str
    def __init__(self, number: _Optional[int] = ..., adapter: _Optional[str] = ..., kind: _Optional[str] = ..., subject: _Optional[str] = ..., reason: _Optional[str] = ..., payload: _Optional[_Union[Json, _Mapping]] = ..., evidence: _Optional[_Iterable[int]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[str] = ...) -> None: ...

class DecisionStep(_message.Message):
    __slots__ = ("sequence", "decision", "state", "reason", "actor", "at")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    decision: int
    state: str
    reason: str
    actor: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, sequence: _Optional[int] = ..., decision: _Optional[int] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class FamilyRecord(_message.Message):
    __slots__ = ("root", "reviews", "payload", "updated_at")
    ROOT_FIELD_NUMBER: _ClassVar[int]
    REVIEWS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    root: str
    reviews: int
    payload: Json
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, root: _Optional[str] = ..., reviews: _Optional[int] = ..., payload: _Optional[_Union[Json, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MemberRecord(_message.Message):
    __slots__ = ("adapter", "family", "state", "payload", "updated_at")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    family: str
    state: str
    payload: Json
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, adapter: _Optional[str] = ..., family: _Optional[str] = ..., state: _Optional[str] = ..., payload: _Optional[_Union[Json, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AssignmentRecord(_message.Message):
    __slots__ = ("family", "identity", "adapter", "payload", "updated_at")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    family: str
    identity: str
    adapter: str
    payload: Json
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, family: _Optional[str] = ..., identity: _Optional[str] = ..., adapter: _Optional[str] = ..., payload: _Optional[_Union[Json, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RouteEntry(_message.Message):
    __slots__ = ("adapter", "state", "stable", "users", "reference")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    state: str
    stable: int
    users: int
    reference: Json
    def __init__(self, adapter: _Optional[str] = ..., state: _Optional[str] = ..., stable: _Optional[int] = ..., users: _Optional[int] = ..., reference: _Optional[_Union[Json, _Mapping]] = ...) -> None: ...

class RoutingTable(_message.Message):
    __slots__ = ("family", "spec", "entries", "place")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    family: str
    spec: Json
    entries: _containers.RepeatedCompositeFieldContainer[RouteEntry]
    place: str
    def __init__(self, family: _Optional[str] = ..., spec: _Optional[_Union[Json, _Mapping]] = ..., entries: _Optional[_Iterable[_Union[RouteEntry, _Mapping]]] = ..., place: _Optional[str] = ...) -> None: ...

class RouteShare(_message.Message):
    __slots__ = ("adapter", "share", "distance")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    share: float
    distance: float
    def __init__(self, adapter: _Optional[str] = ..., share: _Optional[float] = ..., distance: _Optional[float] = ...) -> None: ...

class Routing(_message.Message):
    __slots__ = ("family", "adapter", "stable", "is_clear", "shares", "ties")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    IS_CLEAR_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    TIES_FIELD_NUMBER: _ClassVar[int]
    family: str
    adapter: str
    stable: int
    is_clear: bool
    shares: _containers.RepeatedCompositeFieldContainer[RouteShare]
    ties: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, family: _Optional[str] = ..., adapter: _Optional[str] = ..., stable: _Optional[int] = ..., is_clear: _Optional[bool] = ..., shares: _Optional[_Iterable[_Union[RouteShare, _Mapping]]] = ..., ties: _Optional[_Iterable[str]] = ...) -> None: ...

class Fit(_message.Message):
    __slots__ = ("version", "rank_served", "size_bytes", "tag_score", "quality", "quality_name", "users")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RANK_SERVED_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TAG_SCORE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    QUALITY_NAME_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    version: Version
    rank_served: int
    size_bytes: int
    tag_score: float
    quality: float
    quality_name: str
    users: int
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., rank_served: _Optional[int] = ..., size_bytes: _Optional[int] = ..., tag_score: _Optional[float] = ..., quality: _Optional[float] = ..., quality_name: _Optional[str] = ..., users: _Optional[int] = ...) -> None: ...

class DriverRecord(_message.Message):
    __slots__ = ("epoch", "owner", "started_at")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    owner: str
    started_at: _timestamp_pb2.Timestamp
    def __init__(self, epoch: _Optional[int] = ..., owner: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TaskRecord(_message.Message):
    __slots__ = ("key", "kind", "adapter", "round", "identity", "start_digest", "config_digest", "rank", "state", "created_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    START_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONFIG_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    key: str
    kind: str
    adapter: str
    round: int
    identity: str
    start_digest: str
    config_digest: str
    rank: int
    state: str
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[str] = ..., kind: _Optional[str] = ..., adapter: _Optional[str] = ..., round: _Optional[int] = ..., identity: _Optional[str] = ..., start_digest: _Optional[str] = ..., config_digest: _Optional[str] = ..., rank: _Optional[int] = ..., state: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SummaryRecord(_message.Message):
    __slots__ = ("task_key", "adapter", "round", "identity", "payload", "created_at")
    TASK_KEY_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    task_key: str
    adapter: str
    round: int
    identity: str
    payload: Json
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, task_key: _Optional[str] = ..., adapter: _Optional[str] = ..., round: _Optional[int] = ..., identity: _Optional[str] = ..., payload: _Optional[_Union[Json, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Ancestor(_message.Message):
    __slots__ = ("depth", "version")
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    depth: int
    version: Version
    def __init__(self, depth: _Optional[int] = ..., version: _Optional[_Union[Version, _Mapping]] = ...) -> None: ...

class Neighbour(_message.Message):
    __slots__ = ("version", "cosine")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    version: Version
    cosine: float
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., cosine: _Optional[float] = ...) -> None: ...

class RegistryInfo(_message.Message):
    __slots__ = ("backend", "schema_revision")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_REVISION_FIELD_NUMBER: _ClassVar[int]
    backend: str
    schema_revision: str
    def __init__(self, backend: _Optional[str] = ..., schema_revision: _Optional[str] = ...) -> None: ...
