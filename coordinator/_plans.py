"""From a planned round to the exact question for each node, and back from the records.

A round's plan is on record before anything is sent. It holds all that decides the round, so that
neither a restart nor a changed configuration can change the question of a task that is out.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from ..aggregation import Method, method
from ..client._protocol import Card, TaskEnvelope
from ..store import NewTask, Version
from ._base import Base
from ._config import AdapterConfig
from ._round_view import Kind

STABLE = "stable"
"""The alias of the version that nodes keep as their newest."""

CANDIDATE = "candidate"
"""The alias of the newest version of a line whose versions are gated."""


@dataclass(frozen=True)
class Share:
    """One node's part in a round.

    `rank` is what it trains; `part_rank` is the rank of the best low-rank part of the start that
    it gets, None when it gets all of it; `part_error` is what that part leaves out, relative to
    the start's delta in the Frobenius norm.
    """

    rank: int
    part_rank: int | None = None
    part_error: float = 0.0


@dataclass(frozen=True)
class Plan:
    """All that decides a round.

    With a `goal` the round closes as soon as so many updates are there, whoever still trains.
    `staleness` is the discount of late updates (`discount_of`).
    `stable` is the digest of the version that nodes served when it was planned ("": none did);
    with `gated` they compare the round's version with that one. `start` is how nodes begin (see
    `polyrank.aggregation.begin`); `previous` is the version before the one that the round starts
    from, where the server's `momentum` goes on from it. `equal_rank` is what all nodes train, where
    the method needs that (fedex).
    """

    cohort: Mapping[str, Share]
    quorum: int
    state_rank: int
    start: str
    seed: int
    weights: str
    staleness: Mapping[str, Any]
    training: Mapping[str, Any]
    stable: str = ""
    gated: bool = False
    goal: int | None = None
    method: str = "stacking"
    energy: float | None = None
    momentum: float = 0.0
    previous: int | None = None
    equal_rank: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the plan as the plain values that go on record."""
        cohort = {identity: asdict(share) for identity, share in self.cohort.items()}
        plain = {"cohort": cohort, "training": dict(self.training)}
        return {**vars(self), **plain, "staleness": dict(self.staleness)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        """Read a plan from the record of a round."""
        cohort = {
            str(identity): Share(share["rank"], share["part_rank"], share["part_error"])
            for identity, share in values["cohort"].items()
        }
        return cls(
            cohort=cohort,
            quorum=int(values["quorum"]),
            state_rank=int(values["state_rank"]),
            start=str(values["start"]),
            seed=int(values["seed"]),
            weights=str(values["weights"]),
            staleness=_staleness(values),
            training=dict(values["training"]),
            stable=str(values.get("stable", "")),
            gated=bool(values.get("gated", False)),
            goal=None if values.get("goal") is None else int(values["goal"]),
            method=str(values.get("method", "stacking")),
            energy=values.get("energy"),
            momentum=float(values.get("momentum", 0.0)),
            previous=values.get("previous"),
            equal_rank=values.get("equal_rank"),
        )

    @property
    def aggregation(self) -> Method:
        """The method that closes the round."""
        start = self.start if self.method == "stacking" else None
        return method(self.method, start=start, energy=self.energy)

    def gate_of(self, digest: str) -> dict[str, str] | None:
        """Return what the evaluation of this round's version asks for besides the window."""
        is_gated = self.gated and self.stable not in ("", digest)
        return {"digest": self.stable} if is_gated else None

    def serves(self, identity: str, start: str) -> bool:
        """Say whether a node gets the stable version with its training."""
        share = self.cohort.get(identity)
        return share is not None and share.part_rank is None and self.stable == start


def make_plan(
    config: AdapterConfig,
    base: Base,
    cards: Mapping[str, Card],
    *,
    number: int,
    head: Version,
    quorum: int,
    goal: int | None = None,
    cohort: Collection[str] | None = None,
    state_rank: int | None = None,
    outstanding_rank: int = 0,
    stable: str = "",
    gated: bool = False,
) -> Plan:
    """Plan round `number` from version `head`.

    `cards` are those of all nodes that could take part, by identity; `cohort` are those that are
    asked, by default all; none trains more than the state's rank. That is `state_rank`, which is as
    configured unless a decision has changed it; else what the method needs (`usual_state_rank`),
    and never below the version's own or `outstanding_rank`, that of updates which wait or may still
    come: a node that leaves shrinks neither what was learnt nor what it has sent.
    """
    ranks = {identity: min(card.max_rank, config.rank or card.max_rank)
             for identity, card in cards.items()}  # fmt: skip
    usual = usual_state_rank(config.method, list(ranks.values()), base.full_rank)
    state_rank = state_rank or max(usual, head.rank, outstanding_rank)
    chosen = method(config.method, start=config.start, energy=config.energy)
    return Plan(
        cohort={
            identity: _share(cards[identity], base, min(ranks[identity], state_rank), head)
            for identity in (cards if cohort is None else cohort)
        },
        quorum=quorum,
        state_rank=state_rank,
        start=chosen.starting(head.number),
        seed=round_seed(config.seed, number),
        weights=config.weights,
        staleness=config.staleness.to_json(),
        training=dict(config.training),
        stable=stable,
        gated=gated,
        goal=goal,
        method=config.method,
        energy=config.energy,
        momentum=config.momentum,
        previous=_before(head) if config.momentum else None,
        equal_rank=equal_rank(config, base),
    )


def usual_state_rank(method: str, ranks: Sequence[int], full_rank: int) -> int:
    """Return the rank of a state where none is configured, for nodes that can train `ranks`.

    Stacking keeps their mean: every node gets the whole state, which is then as large as a mean
    node's adapter, and more of it was not better (`benchmarks/quality.py`). The others keep the
    largest, as their papers do; fedex, whose residual has any rank, `full_rank`.
    """
    if method == "fedex":
        return full_rank
    if method == "stacking":
        return math.ceil(fmean([min(rank, full_rank) for rank in ranks] or [1]))
    return max(ranks, default=1)


def equal_rank(config: AdapterConfig, base: Base) -> int | None:
    """Return the rank that every node trains, for a method that needs equal ranks; else None."""
    return min(config.rank or 1, base.full_rank) if config.method == "fedex" else None


def _staleness(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the discount of a plan; older plans have the factor of an exponential one."""
    if "staleness" in values:
        return dict(values["staleness"])
    return {"discount": "exponential", "factor": float(values["late_discount"])}


def _before(head: Version) -> int | None:
    """Return the version that a round's version started from: the last step goes on from there.

    None for what no round made: a rollback or a merge is no step of the training.
    """
    starts = [parent for parent in head.parents if parent.adapter == head.adapter]
    return starts[0].number if head.round is not None and starts else None


def _share(card: Card, base: Base, rank: int, head: Version) -> Share:
    """Return a node's part. A rank that all need is not lowered: see `misfit`."""
    if card.memory_bytes is None or head.size_bytes <= card.memory_bytes:
        return Share(rank)
    part = min(max(base.largest_rank(card.memory_bytes), 1), head.rank)
    if part >= head.rank:
        return Share(rank)
    return Share(min(rank, part), part, part_error(head, part))


def part_error(version: Version, rank: int) -> float:
    """Return what the best part of a lower rank leaves out, from the spectra in the profile.

    sqrt(sum of s_i^2 over i > rank / sum of all s_i^2), over all modules (Eckart-Young).
    """
    modules = (version.profile or {}).get("modules", {})
    spectra = [[float(s) for s in module["spectrum"]] for module in modules.values()]
    total = sum(s * s for spectrum in spectra for s in spectrum)
    lost = sum(s * s for spectrum in spectra for s in spectrum[rank:])
    return math.sqrt(lost / total) if total else 0.0


def round_seed(seed: int, number: int) -> int:
    """Derive a round's seed, below 2**31, from the line's and the round's number."""
    digest = hashlib.sha256(f"polyrank round {seed} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


@dataclass(frozen=True)
class Question:
    """What every task of a line shares."""

    adapter: str
    base_fingerprint: str
    deadline_seconds: float
    max_adapter_bytes: int


def train_task(
    question: Question, plan: Plan, *, round: int, identity: str, start: Version, blob_digest: str
) -> TaskEnvelope:
    """Return the training task of one node; `blob_digest` is of the bytes that it will get."""
    share = plan.cohort[identity]
    return TaskEnvelope.create(
        "train",
        adapter=question.adapter,
        round=round,
        identity=identity,
        start_digest=start.digest,
        start_number=start.number,
        config=plan.training,
        base_fingerprint=question.base_fingerprint,
        rank=share.rank,
        start=plan.start,
        seed=plan.seed,
        blob_digest=blob_digest,
        stable=plan.serves(identity, start.digest),
        deadline_seconds=question.deadline_seconds,
        max_adapter_bytes=question.max_adapter_bytes,
        approximate=share.part_rank is not None,
    )


def evaluate_task(
    question: Question,
    *,
    version: Version,
    identity: str,
    stable: bool,
    round: int | None = None,
    window: Mapping[str, Any] | None = None,
) -> TaskEnvelope:
    """Return the task to evaluate a version (and, if stable, to keep it as the newest).

    `window` asks for a summary of the node's window, or for a comparison on it; `round` is the
    round that the task is filed under, by default the one that made the version.
    """
    return TaskEnvelope.create(
        "evaluate",
        config={} if window is None else {"window": dict(window)},
        adapter=question.adapter,
        round=(version.round or 0) if round is None else round,
        identity=identity,
        start_digest=version.digest,
        start_number=version.number,
        base_fingerprint=question.base_fingerprint,
        rank=version.rank,
        blob_digest=version.digest,
        stable=stable,
        deadline_seconds=question.deadline_seconds,
        max_adapter_bytes=question.max_adapter_bytes,
    )


def serve_task(
    question: Question,
    *,
    version: Version,
    identity: str,
    serve: Mapping[str, int],
    blob_digest: str,
) -> TaskEnvelope:
    """Return the task to serve a version, and nothing else; its bytes may be left out."""
    return TaskEnvelope.create(
        "evaluate",
        config={"serve": dict(serve)},
        adapter=question.adapter,
        round=version.round or 0,
        identity=identity,
        start_digest=version.digest,
        start_number=version.number,
        base_fingerprint=question.base_fingerprint,
        rank=version.rank,
        blob_digest=blob_digest,
        stable=True,
        deadline_seconds=question.deadline_seconds,
        max_adapter_bytes=question.max_adapter_bytes,
    )


def new_task(envelope: TaskEnvelope, kind: Kind) -> NewTask:
    """Return the record of a task that is about to be sent."""
    return NewTask(
        key=envelope.task_key,
        kind=kind,
        adapter=envelope.adapter,
        round=envelope.round,
        identity=envelope.identity,
        start_digest=envelope.start_digest,
        config_digest=envelope.config_digest,
        rank=envelope.rank,
    )
