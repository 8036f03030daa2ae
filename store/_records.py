"""What the registry hands out: frozen values, never rows.

Times are timezone-aware UTC. Mappings are read-only copies of JSON objects. Digests are sha-256
in 64 lower-case hexadecimal characters. Sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from ._family_records import DecisionState
from ._json import EMPTY

Item = TypeVar("Item")

NodeStatus = Literal["live", "gone", "refused"]
RoundState = Literal["planned", "open", "aggregating", "committed", "abandoned"]
TaskKind = Literal["train", "evaluate", "probe", "describe"]
TaskState = Literal["open", "done", "rejected", "expired"]
ContributionStatus = Literal["accepted", "rejected"]

NODE_STATUSES: tuple[NodeStatus, ...] = ("live", "gone", "refused")
ROUND_STATES: tuple[RoundState, ...] = ("planned", "open", "aggregating", "committed", "abandoned")
TERMINAL_ROUND_STATES: tuple[RoundState, ...] = ("committed", "abandoned")
TASK_KINDS: tuple[TaskKind, ...] = ("train", "evaluate", "probe", "describe")
TASK_STATES: tuple[TaskState, ...] = ("open", "done", "rejected", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A frozen base model and the digest over its checkpoint tensors."""

    name: str
    fingerprint: str
    metadata: Mapping[str, Any] = EMPTY
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterLine:
    """A named line of versions on one base model.

    `head` is the number of its newest version that is not retired ("latest"), None before one.
    """

    name: str
    base_model: str
    tags: Mapping[str, str] = EMPTY
    head: int | None
    created_at: datetime
    retired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSpec:
    """One target module as its header states it: delta is `shape` (m, n), of this rank."""

    name: str
    rank: int
    shape: tuple[int, int]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseSpec:
    """One fully trained tensor as its header states it."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A version that another was made from: "start" of a round, "merge", "source", ..."""

    adapter: str
    number: int
    weight: float | None = None
    role: str = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One immutable state of an adapter.

    `metrics` are those given when it was made; later ones are read with Registry.metrics().
    `profile` is what polyrank.aggregation.profile() measured, or None. It is large, so lists
    (versions, search, by_digest, lineage, similar) leave it None: ask version(ref) for it.
    `round` is the round that made it, None for a published version.
    """

    adapter: str
    number: int
    digest: str
    size_bytes: int
    base_model: str
    parents: tuple[Parent, ...] = ()
    origin: str
    modules: tuple[ModuleSpec, ...]
    dense: tuple[DenseSpec, ...]
    metrics: Mapping[str, float] = EMPTY
    tags: Mapping[str, str] = EMPTY
    profile: Mapping[str, Any] | None = None
    round: int | None
    created_at: datetime
    retired: bool

    @property
    def rank(self) -> int:
        """Largest rank of its modules; 0 when it has none."""
        return max((module.rank for module in self.modules), default=0)

    @property
    def ref(self) -> str:
        """Its immutable reference, such as "support/en@7"."""
        return f"{self.adapter}@{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A moving name for a version."""

    adapter: str
    alias: str
    number: int
    reason: str
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasChange:
    """One line of the append-only log: `previous` is None when the alias was new.

    `kind` is "set" or "rollback". `sequence` rises over all aliases of the registry.
    """

    adapter: str
    alias: str
    number: int
    reason: str
    updated_at: datetime
    previous: int | None
    sequence: int
    kind: Literal["set", "rollback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened; numbers are ordered and gap-free from 1.

    `adapter` is None for events about no adapter. `subject` names what it is about.
    """

    number: int
    kind: str
    adapter: str | None
    subject: str
    payload: Mapping[str, Any] = EMPTY
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A participant; `address` is Flower's node id today, None when it has none."""

    identity: str
    name: str
    card: Mapping[str, Any] = EMPTY
    address: str | None
    status: NodeStatus
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """One federated iteration; `version` is what it committed, None before and if abandoned."""

    adapter: str
    number: int
    state: RoundState
    plan: Mapping[str, Any] = EMPTY
    start_number: int
    version: int | None
    reason: str
    deadline_at: datetime | None
    created_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A request to one node, to be written down before it is sent.

    `adapter` and `start_digest` are "" and `round` is 0 for a describe task.
    """

    key: str
    kind: TaskKind
    adapter: str
    round: int
    identity: str
    start_digest: str
    config_digest: str
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """A request to one node, and how far it is."""

    key: str
    kind: TaskKind
    adapter: str
    round: int
    identity: str
    start_digest: str
    config_digest: str
    rank: int
    state: TaskState
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionRecord:
    """An update that was checked: made durable, or rejected with a reason.

    `counted_in` is the number of the one version that counted it, else None. `start_number` is
    the version that its round started from. A rejected one has digest "" and size 0.
    """

    task_key: str
    adapter: str
    round: int
    identity: str
    status: ContributionStatus
    reason: str
    digest: str
    size_bytes: int
    num_examples: int
    metrics: Mapping[str, float] = EMPTY
    start_digest: str
    start_number: int
    rank: int
    approximate: bool
    counted_in: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRecord:
    """The small additive statistics that came with an update or an evaluation."""

    task_key: str
    adapter: str
    round: int
    identity: str
    payload: Mapping[str, Any] = EMPTY
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Recorded numbers that a decision may rest on."""

    number: int
    adapter: str | None
    kind: str
    subject: str
    payload: Mapping[str, Any] = EMPTY
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A recorded choice, the evidence that it rests on, and what became of it.

    `state` is that of the newest step in the decision log, "recorded" when it has none.
    """

    number: int
    adapter: str | None
    kind: str
    subject: str
    reason: str
    payload: Mapping[str, Any] = EMPTY
    evidence: tuple[int, ...] = ()
    state: DecisionState = "recorded"
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRecord:
    """One measured number of a version; `identity` is the node that measured it, if one did."""

    name: str
    value: float
    identity: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverRecord:
    """One driver of the federation; the largest epoch is the one in charge."""

    epoch: int
    owner: str
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """A step of a lineage: `depth` 0 is the version asked for."""

    depth: int
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A version and the cosine of its delta to another's, estimated from sketches, -1 to 1."""

    version: Version
    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryInfo:
    """What answers: "sqlite", "postgresql" or "memory", and its schema's revision."""

    backend: str
    schema_revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Item]):
    """A part of a list; `next_page_token` is None at its end."""

    items: tuple[Item, ...]
    next_page_token: str | None
