"""A family on a task whose best rank is known: a matrix to be learnt from rows without noise."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from polyrank.aggregation import Adapter, Factors, spectrum
from polyrank.client import Evaluation, ModelDescription, TrainResult, TrainTask
from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._families import MemberState
from polyrank.coordinator._simulation import Simulation
from polyrank.coordinator._simulation_node import SimulatedNode
from polyrank.coordinator._watch import Membership
from polyrank.store import Choice, Decision, Ledger, Version

DIM = 12
ROWS = 48
FULL = (3.0, 2.5, 2.0, 1.5)
"""Singular values of a task of rank 4."""


class MatrixTrainer:
    """Learns the matrix that maps its rows to their targets; a row's loss is its squared error.

    Its rows, and those that it holds out, stay the same, so that what is learnt comes to rest.
    """

    model_loads = 1

    def __init__(self, name: str, values: Sequence[float]) -> None:
        self.name = name
        self.num_rows = ROWS
        self.rows, self.held_out = (_drawn(f"{name} {part}", ROWS) for part in ("train", "test"))
        self.description = ModelDescription(
            fingerprint=hashlib.sha256(b"matrix").hexdigest(), modules={"w": (DIM, DIM)}
        )
        left, right = (torch.linalg.qr(_drawn(side, DIM))[0] for side in ("left", "right"))
        rank = len(values)
        self.target = left[:, :rank] @ torch.diag(torch.tensor(values)) @ right[:rank]

    def train(self, task: TrainTask) -> TrainResult:
        """Alternate least squares, b first: an empty slot has b = 0 and a row in a."""
        x, start = self.rows, task.start
        frozen = start.frozen.factors["w"].delta()
        goal = x @ (self.target - frozen).T
        b, a = start.trainable.factors["w"].b, start.trainable.factors["w"].a
        ridge = 1e-6 * torch.eye(a.shape[0])
        for _ in range(15):  # to rest: after a round or two nothing is left to gain
            inner = x @ a.T
            b = torch.linalg.solve(inner.T @ inner + ridge, inner.T @ goal).T
            plain = torch.linalg.lstsq(x, goal).solution.T
            a = torch.linalg.solve(b.T @ b + ridge, b.T @ plain)
        return TrainResult(Adapter({"w": Factors(b.contiguous(), a.contiguous())}), ROWS)

    def evaluate(self, adapter: Adapter, rows: Sequence[int] | None = None) -> Evaluation:
        """Score an adapter on the rows that are held out."""
        x = self.held_out if rows is None else self.held_out[list(rows)]
        missed = x @ (self.target - adapter.factors["w"].delta()).T
        return Evaluation((missed**2).mean(dim=1).tolist())


def _drawn(name: str, count: int) -> torch.Tensor:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed))


class RankWorld:
    """A few nodes on one line, whose task has a known rank; of itself no rank changes here."""

    def __init__(
        self,
        ledger: Ledger,
        values: Sequence[float] = FULL,
        *,
        max_ranks: Sequence[int] = (8, 2, 8),
        state_rank: int = 2,
        mode: str = "act",
        keep_rounds: int = 20,
        **policy: object,
    ) -> None:
        self.ledger = ledger
        rules = {"rank_flat_rounds": 1000} | policy
        line = {"base_model": "matrix", "rounds": 60, "min_nodes": len(max_ranks),
                "deadline_seconds": 60, "state_rank": state_rank, "keep_rounds": keep_rounds,
                "continual": {"mode": mode, "policy": rules}}  # fmt: skip
        self.config = CoordinatorConfig.parse({"adapters": {"line": line}})
        names = [f"n{i}" for i in range(len(max_ranks))]
        self.trainers = {name: MatrixTrainer(name, values) for name in names}
        self.nodes = [
            SimulatedNode(name, self.trainers[name], max_rank=rank)
            for name, rank in zip(names, max_ranks, strict=True)
        ]
        self.restart()

    def restart(self) -> None:
        """Begin anew from the records, as a daemon does after a crash."""
        self.simulation = Simulation(self.config, self.nodes, ledger=self.ledger)

    @property
    def reviews(self) -> int:
        return next((family.reviews for family in self.ledger.registry.families()), 0)

    def review(self, times: int = 1) -> None:
        """Go on until so many reviews more are on record, and what they chose is carried out."""
        goal = self.reviews + times
        self.simulation.run(
            until=lambda: self.reviews >= goal and not self.ledger.open_decisions("line")
        )

    def until_decided(self, kind: str, *, within: int) -> Decision:
        for _ in range(within):
            self.review()
            if found := self.decisions(kind):
                return found[-1]
        raise AssertionError(f"no {kind} within {within} reviews")

    def settle(self) -> None:
        """Go on until nothing waits for the driver."""
        self.simulation.run(until=lambda: not self.ledger.open_decisions("line"))

    def force(self, kind: str, **values: Any) -> int:
        """Decide as an operator and let it be carried out; return the decision's number."""
        choice = Choice(**{"kind": kind, "adapter": "line", "target": "line", "reason": "Mine."}
                        | values)  # fmt: skip
        number = self.ledger.registry.force(choice, actor="op").number
        self.settle()
        return number

    def made_by(self, number: int) -> tuple[Version, Version]:
        """Return the version that came with a decision, and the one before it."""
        registry = self.ledger.registry
        tagged = {"decision": str(number)}.items()
        (made,) = (v for v in registry.versions("line").items if tagged <= v.tags.items())
        return made, registry.version(f"line@{made.parents[0].number}")

    def undo(self, number: int) -> None:
        self.ledger.registry.settle(number, state="undone", reason="", actor="op")
        self.settle()

    def decisions(self, *kinds: str) -> list[Decision]:
        return [d for d in self.ledger.registry.decisions() if d.kind in kinds or not kinds]

    def state(self, number: int) -> str:
        return next(d.state for d in self.decisions() if d.number == number) or ""

    def member(self, name: str = "line") -> tuple[MemberState, Membership]:
        found = {m.adapter: m for m in self.ledger.registry.members("line")}[name]
        return found.state, Membership.from_json(found.payload)

    def loss(self, ref: str = "line@latest") -> float:
        """Return the true loss of a version: what it misses of the matrix, per row."""
        modules = (self.ledger.registry.version(ref).profile or {})["modules"]
        kept = sum(s**2 for s in modules["w"]["spectrum"])
        target = spectrum(Adapter({"w": Factors(self.trainers["n0"].target, torch.eye(DIM))}))["w"]
        return (float((target**2).sum()) - kept) / DIM
