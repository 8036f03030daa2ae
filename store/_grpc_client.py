"""The registry behind an address: reading, set_alias, rollback, settle and watch over gRPC.

The same contract as the local registries; what may only be done where the database is (publish,
retire, record_...) raises Unsupported. Each call has a deadline; errors are those of the server's
registry, or Unavailable, DeadlineExceeded, Unauthenticated for what happens on the way.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Literal, NoReturn, cast

from ._decide_choice import Choice
from ._errors import InvalidValue, Unsupported
from ._family_records import (
    AssignmentRecord,
    DecisionStep,
    FamilyRecord,
    MemberRecord,
    OperatorState,
)
from ._grpc_calls import CHUNK_BYTES
from ._grpc_channel import CONNECT_SECONDS, Channel, RemoteBlob, RemoteWatch
from ._json import EMPTY, dumps, freeze
from ._prune_records import Pruned
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
    Page,
    Parent,
    RegistryInfo,
    RoundRecord,
    SummaryRecord,
    TaskRecord,
    Version,
)
from ._registry import Registry
from ._registry_types import ANY, Expect, Source, Watch
from ._route_records import Fit, Routing, RoutingTable


def connect_remote(url: str, *, token: str | None = None) -> Registry:
    """Connect to a registry server and see that it answers.

    Raises UrlError, Unavailable, DeadlineExceeded, Unauthenticated.
    """
    channel = Channel(url, token=token)
    try:
        channel.one("info", seconds=CONNECT_SECONDS)
    except BaseException:
        channel.close()
        raise
    return RemoteRegistry(channel)


class RemoteRegistry(Registry):
    """A registry on a server; made by connect("grpc://HOST:PORT")."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    # ------------------------------------------------------------- writing
    def register_base_model(
        self, name: str, *, fingerprint: str, metadata: Mapping[str, Any] = EMPTY
    ) -> BaseModel:
        self._refuse("register_base_model")

    def create_adapter(
        self, name: str, *, base_model: str, tags: Mapping[str, str] = EMPTY
    ) -> AdapterLine:
        self._refuse("create_adapter")

    def publish(
        self,
        adapter: str,
        data: Source,
        *,
        profile: Mapping[str, Any] | None = None,
        parents: Sequence[Parent | str] = (),
        origin: str = "import",
        metrics: Mapping[str, float] = EMPTY,
        tags: Mapping[str, str] = EMPTY,
        idempotency_key: str | None = None,
    ) -> Version:
        self._refuse("publish")

    def set_alias(
        self,
        adapter: str,
        alias: str,
        number: int,
        *,
        expect: int | Literal[Expect.ANY] | None = ANY,
        reason: str = "",
    ) -> Alias:
        return self._channel.one(
            "set_alias",
            adapter=adapter,
            alias=alias,
            number=number,
            expect=None if isinstance(expect, Expect) else expect,
            expect_absent=expect is None,
            reason=reason,
        )

    def rollback(self, adapter: str, alias: str, *, reason: str = "") -> Alias:
        return self._channel.one("rollback", adapter=adapter, alias=alias, reason=reason)

    def settle(
        self, decision: int, *, state: OperatorState, reason: str, actor: str
    ) -> DecisionStep:
        return self._channel.one(
            "settle", decision=decision, state=state, reason=reason, actor=actor
        )

    def force(self, choice: Choice, *, actor: str) -> Decision:
        return self._channel.one("force", choice=choice.canonical().decode(), actor=actor)

    def retire(self, ref: str, *, reason: str = "") -> Version:
        self._refuse("retire")

    def prune(
        self,
        *,
        adapter: str | None = None,
        keep_versions: int | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        self._refuse("prune")

    def retire_adapter(self, name: str, *, reason: str = "") -> AdapterLine:
        self._refuse("retire_adapter")

    def record_evidence(
        self,
        kind: str,
        *,
        adapter: str | None = None,
        subject: str = "",
        payload: Mapping[str, Any],
    ) -> Evidence:
        self._refuse("record_evidence")

    def record_decision(
        self,
        kind: str,
        *,
        adapter: str | None = None,
        subject: str = "",
        reason: str,
        payload: Mapping[str, Any] = EMPTY,
        evidence: Sequence[int] = (),
    ) -> Decision:
        self._refuse("record_decision")

    # ------------------------------------------------------------- reading
    def info(self) -> RegistryInfo:
        return self._channel.one("info")

    def base_models(self) -> list[BaseModel]:
        return self._list("base_models")

    def adapters(self) -> list[AdapterLine]:
        return self._list("adapters")

    def adapter(self, name: str) -> AdapterLine:
        return self._channel.one("adapter", name=name)

    def version(self, ref: str) -> Version:
        return self._channel.one("version", ref=ref)

    def by_digest(self, digest: str) -> list[Version]:
        return self._list("by_digest", digest=digest)

    def versions(
        self, adapter: str, *, limit: int = 50, page_token: str | None = None
    ) -> Page[Version]:
        return self._page("versions", adapter=adapter, limit=limit, page_token=page_token)

    def search(
        self,
        filter: str = "",
        *,
        order_by: str = "-created",
        limit: int = 50,
        page_token: str | None = None,
    ) -> Page[Version]:
        return self._page(
            "search", filter=filter, order_by=order_by, limit=limit, page_token=page_token
        )

    def read(self, ref: str) -> bytes:
        with self.open(ref) as source:
            return source.read()

    def open(self, ref: str) -> BinaryIO:
        blob = RemoteBlob(self._channel, ref)
        return cast("BinaryIO", io.BufferedReader(blob, CHUNK_BYTES))

    def lineage(self, ref: str, *, depth: int | None = None) -> list[Ancestor]:
        return self._list("lineage", ref=ref, depth=depth)

    def similar(self, ref: str, *, limit: int = 10) -> list[Neighbour]:
        return self._list("similar", ref=ref, limit=limit)

    def aliases(self, adapter: str) -> list[Alias]:
        return self._list("aliases", adapter=adapter)

    def alias_history(self, adapter: str, alias: str) -> list[AliasChange]:
        return self._list("alias_history", adapter=adapter, alias=alias)

    def metrics(self, ref: str) -> list[MetricRecord]:
        return self._list("metrics", ref=ref)

    def nodes(self) -> list[NodeRecord]:
        return self._list("nodes")

    def rounds(self, adapter: str | None = None) -> list[RoundRecord]:
        return self._list("rounds", adapter=adapter)

    def tasks(self, adapter: str, *, round: int | None = None) -> list[TaskRecord]:
        return self._list("tasks", adapter=adapter, round=round)

    def contributions(self, adapter: str, *, round: int | None = None) -> list[ContributionRecord]:
        return self._list("contributions", adapter=adapter, round=round)

    def summaries(self, adapter: str, *, round: int | None = None) -> list[SummaryRecord]:
        return self._list("summaries", adapter=adapter, round=round)

    def drivers(self) -> list[DriverRecord]:
        return self._list("drivers")

    def evidence(
        self, adapter: str | None = None, *, since: int = 0, limit: int = 100
    ) -> list[Evidence]:
        return self._list("evidence", adapter=adapter, since=since, limit=limit)

    def decisions(
        self, adapter: str | None = None, *, since: int = 0, limit: int = 100
    ) -> list[Decision]:
        return self._list("decisions", adapter=adapter, since=since, limit=limit)

    def decision_log(
        self, decision: int | None = None, *, since: int = 0, limit: int = 100
    ) -> list[DecisionStep]:
        return self._list("decision_log", decision=decision, since=since, limit=limit)

    def families(self) -> list[FamilyRecord]:
        return self._list("families")

    def family(self, root: str) -> FamilyRecord:
        return self._channel.one("family", root=root)

    def members(self, family: str) -> list[MemberRecord]:
        return self._list("members", family=family)

    def assignments(self, family: str) -> list[AssignmentRecord]:
        return self._list("assignments", family=family)

    def routes(self, family: str) -> RoutingTable:
        return self._channel.one("routes", family=family)

    def route(self, family: str, summary: Mapping[str, Any], *, own: str | None = None) -> Routing:
        text = _json("summary", summary)
        return self._channel.one("route", family=family, summary=text, own=own)

    def fitting(
        self, card: Mapping[str, Any], *, family: str | None = None, limit: int = 20
    ) -> list[Fit]:
        return self._list("fitting", card=_json("card", card), family=family, limit=limit)

    def events(
        self, *, since: int = 0, limit: int = 100, adapter: str | None = None
    ) -> list[Event]:
        return self._list("events", since=since, limit=limit, adapter=adapter)

    def watch(self, *, since: int = 0, timeout_seconds: float | None = None) -> Watch:
        return RemoteWatch(self._channel, since=since, timeout_seconds=timeout_seconds)

    def close(self) -> None:
        self._channel.close()

    def _list(self, name: str, /, **arguments: object) -> list[Any]:
        return self._channel.many(name, **arguments)[0]

    def _page(self, name: str, /, **arguments: object) -> Page[Version]:
        items, token = self._channel.many(name, **arguments)
        return Page(items=tuple(items), next_page_token=token)

    def _refuse(self, call: str) -> NoReturn:
        self._channel.refuse_if_closed()
        problem = "writes belong to the owner of the database; connect there by sqlite:///PATH"
        raise Unsupported(call, self._channel.url, problem)


def _json(field: str, values: object) -> str:
    """Write an object as canonical JSON; raise InvalidValue for what is none."""
    if not isinstance(values, Mapping):
        raise InvalidValue(field, "an object is wanted")
    return dumps(freeze(cast("Mapping[str, Any]", values), field=field))
