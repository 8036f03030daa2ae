"""A stream over real processes: a family that splits and comes together again, killed on the way.

Three nodes train one line. In their third windows the labels of two of them contradict the third's,
and in the next they agree again: an adapter of their own is made, and they return. In one story
they go on contradicting, and both adapters are merged, since its policy allows that at any cost.
Their simulation, by the same trainers, keys and settings, says what must be on record in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._simulation import simulate
from polyrank.coordinator._simulation_node import SimulatedNode
from polyrank.store import Registry

from ..coordinator.toy_stream import ToyStream
from .world import Member, World

FLIPPED = range(2, 3)
FOR_GOOD = range(2, 99)
STREAM = ("--flipped", "0:0")


def members(flipped: range = FLIPPED) -> tuple[Member, ...]:
    """Return the nodes; the labels of two of them contradict the third's in these windows."""
    windows = ("--flipped", f"{flipped.start}:{flipped.stop}")
    return (
        Member("ann", 4, "line", windows),
        Member("bob", 2, "line", windows),
        Member("cyd", 3, "line", STREAM),
    )


QUICK = {"base_windows": 1, "z_novelty": 4.0, "refractory": 1}
APART = QUICK | {"provisional_age": 50, "merge_every": 50}  # so that nothing is merged
MERGING = QUICK | {"provisional_age": 2, "merge_every": 2, "merge_tolerance": 40.0}

# The second of the three windows is on record, bob is in the middle of evaluating his.
WINDOW = 1
# The new member's line and first version are made, the member is not on record.
IN_EXPANSION = "polyrank.coordinator._moves:Moves.put:1"
# One of the returning nodes has answered what its review asks, the other's answer is at hand.
IN_PROBES = "polyrank.coordinator._windows:_paired:2"
# Everything is asked, answered and decided, nothing of the review is on record.
BEFORE_REVIEW = "polyrank.coordinator._reviews:next_payload:{number}"
# The review is on record, the nodes that it moves are where they were.
IN_MOVE = "polyrank.coordinator._moves:Moves.move:{number}"
# The merged version is made and taken over, the member that ends in it is still in service.
IN_MERGE = "polyrank.coordinator._moves:Moves.put:3"
# Its nodes are moved, it is still in service: a daemon that goes on from there.
AFTER_MERGE = "polyrank.coordinator._moves:Moves.put:2"


def settings(rounds: int, policy: Mapping[str, object] = APART) -> dict[str, object]:
    return {
        "base_model": "toy", "rounds": rounds, "min_nodes": len(members()),
        "deadline_seconds": 3600.0, "training": {"steps": 15, "learning_rate": 0.5},
        "continual": {"mode": "act", "policy": dict(policy)},
    }  # fmt: skip


@dataclass(frozen=True)
class Account:
    """What a federation has on record that no crash may change; times and epochs are not here."""

    decisions: list[Any]
    steps: list[Any]
    evidence: list[Any]
    versions: dict[str, Any]
    assignments: dict[str, Any]
    members: dict[str, Any]
    family: Mapping[str, Any]
    reviews: int

    @property
    def kinds(self) -> list[str]:
        return [entry[1] for entry in self.decisions]


def account(registry: Registry) -> Account:
    names = {node.identity: node.name for node in registry.nodes()}
    family = registry.family("line")
    lines = [line.name for line in registry.adapters()]
    versions = [v for line in lines for v in registry.versions(line, limit=1000).items]
    return Account(
        decisions=[
            (d.number, d.kind, d.adapter, d.subject, d.reason, d.state, d.payload,
             sorted(names[i] for i in d.payload.get("nodes", ())))
            for d in registry.decisions(limit=1000)
        ],
        steps=[(s.decision, s.state, s.reason) for s in registry.decision_log(limit=1000)],
        evidence=[(e.kind, e.subject, e.payload) for e in registry.evidence(limit=1000)],
        versions={
            v.ref: (v.digest, v.origin, [(p.adapter, p.number, p.role) for p in v.parents])
            for v in versions
        },
        assignments={
            names[a.identity]: (a.identity, a.adapter, a.payload)
            for a in registry.assignments("line")
        },
        members={m.adapter: (m.state, m.payload) for m in registry.members("line")},
        family=family.payload,
        reviews=family.reviews,
    )  # fmt: skip


def simulated(given: Mapping[str, object], flipped: range = FLIPPED) -> Account:
    """Run the same stream in this process."""
    nodes = [
        SimulatedNode(
            m.name,
            ToyStream(m.name, flipped=() if m.stream == STREAM else flipped),
            max_rank=m.rank,
            key=m.key,
        )
        for m in members()
    ]
    with simulate(CoordinatorConfig.parse({"adapters": {"line": dict(given)}}), nodes) as done:
        return account(done.registry)


# ------------------------------------------------------------------ harms, one after the other
Harm = Callable[[World], None]


def between_windows(world: World) -> None:
    """Kill the daemon while one window is missing, then the node that it is missing from."""
    gate = world.gates / f"bob-window-{WINDOW}"
    gate.touch()
    world.start_all()
    for name in ("ann", "cyd"):
        identity = world.members[name].key.identity
        world.wait_event("version_evaluated", number=WINDOW, identity=identity)
    world.wait(gate.with_suffix(".reached").exists, "evaluation by bob")
    world.kill_daemon()
    world.kill_node("bob")
    gate.unlink()


def daemon_at(pause: str) -> Harm:
    """Start a daemon that stops there, and kill it when it does."""

    def harm(world: World) -> None:
        world.start_daemon(pause=pause)
        world.await_stop("daemon")
        world.kill_daemon()

    return harm


def nodes_started(world: World) -> None:
    for name in world.members:
        world.start_member(name)


def bob_started(world: World) -> None:
    world.start_member("bob")


@dataclass(frozen=True)
class Story:
    """What is killed, in order; then a last daemon goes on to the end."""

    name: str
    harms: tuple[Harm, ...]
    rounds: int = 4
    policy: Mapping[str, object] = field(default_factory=lambda: APART)
    flipped: range = FLIPPED
    must: str = "reroute"  # be decided, or the story does not tell what it is about


TELLING = Story(
    "windows, expansion, probes",
    (between_windows, bob_started, daemon_at(IN_EXPANSION), daemon_at(IN_PROBES)),
)
STORIES = (
    Story("undisturbed", (nodes_started,)),
    TELLING,
    Story(
        "a power cut between windows",
        (between_windows, lambda w: [w.kill_node(n) for n in ("ann", "cyd")], nodes_started),
    ),
    *(
        Story(f"before review {n}", (nodes_started, daemon_at(BEFORE_REVIEW.format(number=n))))
        for n in (1, 3, 4)
    ),
    Story(
        "in a merge, twice",
        (nodes_started, daemon_at(IN_MERGE), daemon_at(AFTER_MERGE)),
        rounds=6,
        policy=MERGING,
        flipped=FOR_GOOD,
        must="merge",
    ),
    *(Story(f"in move {n}", (nodes_started, daemon_at(IN_MOVE.format(number=n)))) for n in (1, 2)),
)
