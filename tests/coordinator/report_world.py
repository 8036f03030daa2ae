"""What a registry would hand out about families that never were, of any size."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from polyrank.coordinator._report_records import Look, Recorded, evaluated
from polyrank.store import (
    AdaptationPolicy,
    AdapterLine,
    AssignmentRecord,
    Choice,
    Decision,
    DecisionStep,
    FamilyRecord,
    MemberEvidence,
    MemberRecord,
    MetricRecord,
    NodeEvidence,
    NodeRecord,
    Parent,
    RankEvidence,
    Review,
    SideEvidence,
    TrialEvidence,
    Version,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=400)
POLICY = AdaptationPolicy()


def identity(number: int) -> str:
    return f"{number:064x}"


def at(review: int, minutes: float = 0.0) -> datetime:
    """Return when a review was recorded, or so many minutes later; an hour lies between two."""
    return START + timedelta(hours=review, minutes=minutes)


class World:
    """Writes down a history as the daemon does; `recorded` is what a report then reads."""

    def __init__(self, nodes: int = 6, *, root: str = "line") -> None:
        self.root = root
        self.names = {identity(n): f"node-{n}" for n in range(nodes)}
        self.where = dict.fromkeys(self.names, root)
        self.members: dict[str, dict[str, Any]] = {root: {"state": "active", "made": 0}}
        self.reviews: list[Look] = []
        self.snapshots: list[dict[str, str]] = []
        self.decisions: list[Decision] = []
        self.steps: list[DecisionStep] = []
        self.landmarks: list[Version] = [self.version(root, 0, "initial", at(0))]
        self.numbers = {root: 0}

    def version(
        self, adapter: str, number: int, origin: str, when: datetime, *parents: Parent
    ) -> Version:
        return Version(
            adapter=adapter, number=number, digest="d" * 64, size_bytes=1000, base_model="base",
            parents=parents, origin=origin, modules=(), dense=(), round=None, created_at=when,
            retired=False,
        )  # fmt: skip

    def review(
        self,
        *nodes: NodeEvidence,
        trials: tuple[TrialEvidence, ...] = (),
        ranks: tuple[RankEvidence, ...] = (),
    ) -> int:
        """Record a review; `nodes` are those with something to report."""
        number = len(self.reviews) + 1
        for name, memory in self.members.items():
            self.numbers[name] += memory["state"] == "active"
        members = tuple(
            MemberEvidence(
                adapter=name, state=memory["state"], version=self.numbers[name],
                rank=memory.get("rank", 4),
                size_bytes=1000, root=name == self.root,
                users=list(self.where.values()).count(name),
            )
            for name, memory in self.members.items()
        )  # fmt: skip
        listed = {node.identity for node in nodes}
        quiet: dict[str, int] = {}
        for node, member in self.where.items():
            if node not in listed:
                quiet[member] = quiet.get(member, 0) + 1
        review = Review(
            family=self.root, number=number, members=members, nodes=nodes, quiet=quiet,
            trials=trials, ranks=ranks,
        )  # fmt: skip
        self.reviews.append(Look(review, POLICY, at(number), 10 + number))
        self.snapshots.append(dict(self.where))
        return number

    def window(self, node: str, **values: Any) -> NodeEvidence:
        first: dict[str, Any] = {"identity": node, "adapter": self.where[node], "rows": 80}
        return NodeEvidence(**first | {"loss": 0.5, "base_windows": 4} | values)

    def decide(self, state: str | None = "carried_out", **values: Any) -> int:
        """Record a decision of the newest review, up to a state; returns its number."""
        number, review = len(self.decisions) + 1, len(self.reviews)
        choice = Choice(**{"reason": f"reason {number}", "target": self.root} | values)
        self.decisions.append(
            Decision(
                number=number, adapter=choice.adapter, kind=choice.kind, subject=choice.target,
                reason=choice.reason, payload=choice.to_json(), evidence=(10 + review,),
                state=state or "recorded", created_at=at(review),
            )
        )  # fmt: skip
        if state == "carried_out":
            self.step(number, "approved", 1)
            self.step(number, "carried_out", 2)
        elif state:
            self.step(number, state, 1)
        return number

    def step(
        self, number: int, state: Any, minutes: float, actor: str = "", reason: str = ""
    ) -> None:
        when = at(len(self.reviews), minutes)
        self.steps.append(
            DecisionStep(
                sequence=len(self.steps) + 1, decision=number, state=state, reason=reason,
                actor=actor, at=when,
            )
        )  # fmt: skip

    def move(self, *nodes: str, target: str) -> int:
        source = self.where[nodes[0]]
        number = self.decide(kind="reroute", adapter=source, nodes=nodes, target=target)
        self.where.update(dict.fromkeys(nodes, target))
        return number

    def expand(self, *nodes: str) -> str:
        source, name = self.where[nodes[0]], f"{self.root}/{len(self.members) + 1}"
        target = f"{source}@{self.numbers[source]}"
        number = self.decide(kind="expand_adapter", adapter=source, nodes=nodes, target=target)
        self.members[name] = {"state": "active", "made": number, "parent": source}
        self.numbers[name] = 0
        parent = Parent(adapter=source, number=self.numbers[source], role="source")
        self.landmarks.append(self.version(name, 0, "expand", at(len(self.reviews), 1.5), parent))
        self.where.update(dict.fromkeys(nodes, name))
        return name

    def merge(self, keep: str, absorb: str) -> int:
        number = self.decide(kind="merge", adapter=keep, absorb=absorb, target="line/trials@0")
        self.numbers[keep] += 1
        parents = [Parent(adapter=a, number=self.numbers[a], role="merge") for a in (keep, absorb)]
        when = at(len(self.reviews), 1.5)
        self.landmarks.append(self.version(keep, self.numbers[keep], "merge", when, *parents))
        self.members[absorb] |= {
            "state": "archived",
            "absorbed": [i for i, own in self.where.items() if own == absorb],
        }
        moved = dict.fromkeys(self.members[absorb]["absorbed"], keep)
        self.where.update(moved)
        return number

    def rank(self, kind: Any, to: int, **values: Any) -> int:
        """Change the root's rank."""
        member = self.members[self.root]
        number = self.decide(
            kind=kind, adapter=self.root,
            numbers={"rank": member.get("rank", 4), "new_rank": to} | values.pop("numbers", {}),
            **values,
        )  # fmt: skip
        member["rank"] = to
        self.numbers[self.root] += 1
        when = at(len(self.reviews), 1.5)
        self.landmarks.append(self.version(self.root, self.numbers[self.root], kind, when))
        return number

    def undo(self, number: int) -> None:
        """Let an operator ask for it, and the driver do it."""
        self.step(number, "undone", 30, actor="op", reason="a mistake")
        self.step(number, "undone", 31)
        self.decisions[number - 1] = replace(self.decisions[number - 1], state="undone")

    def undo_merge(self, number: int, absorb: str) -> None:
        self.undo(number)
        self.members[absorb]["state"] = "active"
        self.where.update(dict.fromkeys(self.members[absorb]["absorbed"], absorb))

    def recorded(self, **values: Any) -> Recorded:
        members = tuple(
            MemberRecord(
                adapter=name, family=self.root, state=memory["state"], updated_at=at(0),
                payload={"parent": memory.get("parent")},
            )
            for name, memory in self.members.items()
        )  # fmt: skip
        first: dict[str, Any] = {
            "family": FamilyRecord(
                root=self.root, reviews=len(self.reviews), updated_at=at(len(self.reviews))
            ),
            "line": AdapterLine(
                name=self.root, base_model="base", head=1, created_at=at(0), retired=False
            ),
            "members": members,
            "nodes": {i: self.node(i, name) for i, name in self.names.items()},
            "assignments": tuple(
                AssignmentRecord(family=self.root, identity=i, adapter=own, updated_at=at(0))
                for i, own in sorted(self.where.items())
            ),
            "reviews": tuple(self.reviews),
            "earlier": 0,
            "unreadable": 0,
            "decisions": tuple(self.decisions),
            "steps": tuple(self.steps),
            "made_by": {m["made"]: name for name, m in self.members.items() if m["made"]},
            "landmarks": tuple(self.landmarks),
            "measured": self.measured(),
            "sampled": 1,
        }
        return Recorded(**first | values)

    def node(self, node: str, name: str) -> NodeRecord:
        return NodeRecord(
            identity=node, name=name, address=None, status="live", first_seen=at(0),
            last_seen=at(0),
        )  # fmt: skip

    def measured(self) -> dict[str, tuple[MetricRecord, ...]]:
        found: dict[str, tuple[MetricRecord, ...]] = {}
        for review, adapter, version in evaluated(self.reviews):
            users = [i for i, own in self.snapshots[review - 1].items() if own == adapter]
            found[f"{adapter}@{version}"] = tuple(
                MetricRecord(name=name, value=value, identity=node, created_at=at(review))
                for at_, node in enumerate(users)
                for name, value in (("loss", 1 / review + at_ / 1000), ("num_examples", 80.0))
            )
        return found


def story() -> World:
    """Two nodes part from four others, are merged with them, and that is undone."""
    world = World()
    a, b, c, d, *_ = world.names
    for _ in range(4):
        world.review()
    harm = {"loss": 2.0, "harm_z": 9.0, "uninformed_loss": 0.69}
    world.review(world.window(a, **harm), world.window(b, **harm))
    second = world.expand(a, b)
    world.review()
    world.review(world.window(c, novelty_z=5.0), world.window(d, novelty_z=3.0))
    world.decide(kind="pin", adapter="line", nodes=(c, d), target=f"line@{world.numbers['line']}")
    sides = tuple(
        SideEvidence(adapter=n, rows=80, identities=2, loss_change=x, standard_error=0.01)
        for n, x in (("line", 0.02), (second, -0.01))
    )
    world.review(
        trials=(TrialEvidence(keep="line", absorb=second, trial="line/trials@0", sides=sides),)
    )
    merged = world.merge("line", second)
    world.review()
    world.undo_merge(merged, second)
    world.review()
    world.move(c, target=second)
    world.review()
    world.decide("proposed", kind="archive", adapter=second, target=second)
    return world


def measured(rank: int, needed: int, **values: Any) -> RankEvidence:
    return RankEvidence(adapter="line", rank=rank, energy_rank=needed, flat_rounds=3, **values)


def gates_and_ranks() -> World:
    """A version is held, one goes back; a rank grows, is tried in vain, is cut, and that undone."""
    world = World(3)
    a, *_ = world.names
    world.review()
    world.review()
    held = f"{a} loses 0.40 nats (z 5.0, threshold 2.33); it stays a candidate."
    world.decide(None, kind="hold", adapter="line", target="line@2", reason=held)
    trial = {"trial": "line/rank-trials@2", "gain": 0.05, "standard_error": 0.01, "identities": 3}
    world.review(ranks=(measured(4, 4, **trial),))
    world.rank(
        "expand_rank", 8, target="line/rank-trials@2",
        numbers={"gain": 0.05, "standard_error": 0.01, "nodes": 3},
    )  # fmt: skip
    world.review()
    harm = {"loss": 2.0, "harm_z": 9.0}
    world.review(*(world.window(node, **harm) for node in world.names))
    world.decide(kind="rollback", adapter="line", target="line@3", nodes=tuple(world.names))
    vain = {"trial": "line/rank-trials@4", "gain": 0.001, "standard_error": 0.01, "identities": 3}
    world.review(ranks=(measured(8, 7, **vain),))
    world.review(ranks=(measured(8, 2),))
    cut = world.rank("shrink_rank", 3)
    world.review()
    world.undo(cut)
    world.members["line"]["rank"] = 8
    world.review()
    return world


def crowd(nodes: int, reviews: int, *, listed: float = 0.1, seed: int = 0) -> World:
    """Return a long history of many nodes, a share of them listed in each review."""
    world, draw = World(nodes), random.Random(seed)
    everyone = list(world.names)
    for number in range(1, reviews + 1):
        windows = [
            world.window(
                node, harm_z=draw.gauss(2, 3), novelty_z=draw.gauss(2, 4), prior_z=draw.gauss(0, 2)
            )
            for node in draw.sample(everyone, int(nodes * listed))
        ]
        world.review(*windows)
        if number % 20 == 10 and len(world.members) < 7:
            users = [node for node, own in world.where.items() if own == "line"]
            world.expand(*draw.sample(users, min(max(nodes // 25, 1), len(users))))
        elif number % 3 == 0 and len(world.members) > 1:
            source = draw.choice(sorted(set(world.where.values())))
            target = draw.choice([name for name in world.members if name != source])
            users = [n for n, own in world.where.items() if own == source]
            world.move(*draw.sample(users, min(2, len(users))), target=target)
    return world
