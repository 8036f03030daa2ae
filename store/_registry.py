"""The contract of every registry: SQLite, memory, PostgreSQL, and the remote one over gRPC."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

from ._family_contract import FamilyReads
from ._json import EMPTY
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
from ._registry_types import ANY, Expect, Source, Watch


class Registry(FamilyReads):
    """Find, compare, fetch, promote, roll back and explain adapter versions.

    One contract for all implementations:

    - Safe for use by several threads; several processes may open one database.
    - Every write is one transaction and appends its events in it: a watcher that saw an event
      can read what it is about, and one that reads nothing has missed nothing.
    - Versions are immutable and numbered 0, 1, 2, ... per adapter without gaps; nothing is
      deleted, only retired.
    - A reference ("ref") is "NAME@NUMBER", "NAME@ALIAS", "NAME@latest" or "NAME", which is the
      latest too. "latest" is the highest number that is not retired.
    - Names unknown to the registry raise NotFound, in reads and writes alike; arguments that can
      never be right raise InvalidValue or a subclass. After close() every call raises Closed.
    - A remote registry serves every reading call, set_alias, rollback, settle and watch; the
      other writes raise Unsupported there. Writes belong to the owner of the database.
    """

    # ------------------------------------------------------------- writing
    @abstractmethod
    def register_base_model(
        self, name: str, *, fingerprint: str, metadata: Mapping[str, Any] = EMPTY
    ) -> BaseModel:
        """Record a base model. The same name with the same fingerprint returns the first one.

        Raises AlreadyExists if the name has another fingerprint.
        """

    @abstractmethod
    def create_adapter(
        self, name: str, *, base_model: str, tags: Mapping[str, str] = EMPTY
    ) -> AdapterLine:
        """Start a line of versions. The same name on the same base model returns the first one.

        Names are segments of letters, digits, ".", "_" and "-" joined by "/", at most 200
        characters. Raises AlreadyExists if the name has another base model.
        """

    @abstractmethod
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
        """Make the next version of an adapter from canonical bytes.

        Names, ranks and shapes are read from the bytes' header. A parent is a Parent, or a ref
        for one without weight in the role "start". A path or stream is copied in
        pieces, never held whole. With an `idempotency_key` (per adapter) that was used before,
        the version made then is returned; without one every call makes a version, even of bytes
        that exist already (the bytes are stored once).

        Raises InvalidBlob (BlobTooLarge, ProfileMismatch) for bad bytes, Conflict if the key was
        used for other bytes, NotFound for an unknown adapter or parent.
        """

    @abstractmethod
    def set_alias(
        self,
        adapter: str,
        alias: str,
        number: int,
        *,
        expect: int | Literal[Expect.ANY] | None = ANY,
        reason: str = "",
    ) -> Alias:
        """Let an alias name a version, if it names `expect` now (None: it must not exist).

        Naming what it names already changes nothing and writes no log. "latest" cannot be set, and
        names that begin with "pin-" are set by decisions alone.
        Raises Conflict if `expect` does not hold or the version is retired.
        """

    @abstractmethod
    def rollback(self, adapter: str, alias: str, *, reason: str = "") -> Alias:
        """Undo the alias's last change that was not undone yet; twice goes back twice.

        Retired versions are skipped. Raises Conflict if there is nothing to go back to.
        """

    @abstractmethod
    def retire(self, ref: str, *, reason: str = "") -> Version:
        """Take a version out of use; its record stays, its bytes until `prune`. Twice is once.

        Raises Conflict while an alias names it.
        """

    @abstractmethod
    def prune(
        self,
        *,
        adapter: str | None = None,
        keep_versions: int | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        """Let go of the bytes of retired versions that nothing needs; their records stay.

        With `keep_versions` (at least 2) the older versions of each line are retired first, but for
        those that something needs. Needed is what an alias or pin names or would go back to, what a
        decision made or speaks of, with its parents, so that it can be undone, parents of versions
        in use, and what unfinished rounds stand on. Of one line, or of all; then blobs go too that
        nothing names. May be interrupted, and called while a daemon runs.
        """

    @abstractmethod
    def retire_adapter(self, name: str, *, reason: str = "") -> AdapterLine:
        """Take an adapter out of use: no more versions; all stays readable until it is pruned."""

    @abstractmethod
    def record_evidence(
        self,
        kind: str,
        *,
        adapter: str | None = None,
        subject: str = "",
        payload: Mapping[str, Any],
    ) -> Evidence:
        """Record numbers that a decision may rest on."""

    @abstractmethod
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
        """Record a choice and the numbers of its evidence, which must exist (else NotFound)."""

    # ------------------------------------------------------------- reading
    @abstractmethod
    def info(self) -> RegistryInfo:
        """Say what answers."""

    @abstractmethod
    def base_models(self) -> list[BaseModel]:
        """List the base models by name."""

    @abstractmethod
    def adapters(self) -> list[AdapterLine]:
        """List the adapters by name."""

    @abstractmethod
    def adapter(self, name: str) -> AdapterLine:
        """Return one adapter."""

    @abstractmethod
    def version(self, ref: str) -> Version:
        """Return one version, with its profile. Raises RefError, NotFound.

        An alias of a line that was merged into another (see `FamilyWrites.put_member`) gives that
        line's alias of the same name, if it has one: "demo/2@stable" is then a version of "demo".
        So it is wherever a version is named. Numbers and "latest" stay the line's own.
        """

    @abstractmethod
    def by_digest(self, digest: str) -> list[Version]:
        """List the versions that have these bytes, oldest first; empty when none has."""

    @abstractmethod
    def versions(
        self, adapter: str, *, limit: int = 50, page_token: str | None = None
    ) -> Page[Version]:
        """List an adapter's versions, newest first, retired ones too; limit is 1 to 1000."""

    @abstractmethod
    def search(
        self,
        filter: str = "",
        *,
        order_by: str = "-created",
        limit: int = 50,
        page_token: str | None = None,
    ) -> Page[Version]:
        """List versions of all adapters that meet every condition; retired ones are left out.

        A filter is conditions joined by "and": FIELD OPERATOR VALUE, where FIELD is adapter,
        base_model, origin, digest or tag.KEY with = or != and a "string", or number, rank,
        round, size_bytes or metric.NAME with = != < <= > >= and a number. A version without the
        tag, metric or round meets no condition on it. Metrics are those it was made with.
        order_by is "created" or "-created". Raises FilterError, PageTokenError.
        """

    @abstractmethod
    def read(self, ref: str) -> bytes:
        """Return a version's bytes, checked against its digest. BlobDamaged, BlobMissing.

        Raises Conflict for a retired version whose bytes were let go of (`prune`).
        """

    @abstractmethod
    def open(self, ref: str) -> BinaryIO:
        """Open a version's bytes for reading in pieces; the caller closes it.

        What is read is what has the digest: it is checked before (local) or while (remote, which
        raises at the end of the stream) it is handed out.
        """

    @abstractmethod
    def lineage(self, ref: str, *, depth: int | None = None) -> list[Ancestor]:
        """List the version and its ancestors by depth, each once, down to `depth` (None: all)."""

    @abstractmethod
    def similar(self, ref: str, *, limit: int = 10) -> list[Neighbour]:
        """List the versions on the same base model that are most alike, the most alike first.

        Estimated from the sketches in the profiles; no blob is read. Versions without a sketch,
        or with an all-zero one, are left out; asked about one, the list is empty.
        """

    @abstractmethod
    def aliases(self, adapter: str) -> list[Alias]:
        """List an adapter's aliases by name ("latest" is not one of them)."""

    @abstractmethod
    def alias_history(self, adapter: str, alias: str) -> list[AliasChange]:
        """List every change of an alias, oldest first. NotFound if it never existed."""

    @abstractmethod
    def metrics(self, ref: str) -> list[MetricRecord]:
        """List everything measured on a version, oldest first."""

    @abstractmethod
    def nodes(self) -> list[NodeRecord]:
        """List the nodes by identity."""

    @abstractmethod
    def rounds(self, adapter: str | None = None) -> list[RoundRecord]:
        """List rounds by adapter and number."""

    @abstractmethod
    def tasks(self, adapter: str, *, round: int | None = None) -> list[TaskRecord]:
        """List an adapter's tasks by round, kind and identity."""

    @abstractmethod
    def contributions(self, adapter: str, *, round: int | None = None) -> list[ContributionRecord]:
        """List contributions (never their bytes, which are private) by identity and task."""

    @abstractmethod
    def summaries(self, adapter: str, *, round: int | None = None) -> list[SummaryRecord]:
        """List the summaries of updates and evaluations, by round, identity and task."""

    @abstractmethod
    def drivers(self) -> list[DriverRecord]:
        """List the drivers by epoch; the last one is in charge."""

    @abstractmethod
    def evidence(
        self, adapter: str | None = None, *, since: int = 0, limit: int = 100
    ) -> list[Evidence]:
        """List evidence with a number above `since`, in order; limit is 1 to 1000."""

    @abstractmethod
    def decisions(
        self, adapter: str | None = None, *, since: int = 0, limit: int = 100
    ) -> list[Decision]:
        """List decisions with a number above `since`, in order; limit is 1 to 1000."""

    @abstractmethod
    def events(
        self, *, since: int = 0, limit: int = 100, adapter: str | None = None
    ) -> list[Event]:
        """List events with a number above `since`, in order; limit is 1 to 1000."""

    @abstractmethod
    def watch(self, *, since: int = 0, timeout_seconds: float | None = None) -> Watch:
        """Iterate over events with a number above `since`: those there are, then each new one.

        Ends when no event came for `timeout_seconds` (None: never) or at close().
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of connections and end this registry's watches; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
