"""Six toy nodes that drift, on one line with continual adaptation, by the daemon's own driver."""

from __future__ import annotations

from typing import Self

from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._simulation import Simulation
from polyrank.coordinator._simulation_node import SimulatedNode
from polyrank.store import Decision, Ledger, open_ledger
from ready_store import Saved

from .toy_stream import ToyStream

NAMES = ("ann", "bob", "cid", "dan", "eve", "fay")
LINE = {"base_model": "toy", "rounds": 40, "min_nodes": 6, "deadline_seconds": 60,
        "training": {"steps": 15, "learning_rate": 0.5}}  # fmt: skip

# fewer windows than by default, to be quick; the toy's losses are far apart
POLICY = {"base_windows": 3, "z_novelty": 4.0}
WARM_UP = 5

_warm: dict[str, tuple[Saved, dict[str, int]]] = {}


class World:
    """Six nodes on one line with continual adaptation; `kind` is of these nodes."""

    kind = SimulatedNode

    def __init__(self, ledger: Ledger, mode: str = "act", **policy: object) -> None:
        self.ledger = ledger
        self.config = CoordinatorConfig.parse(
            {"adapters": {"line": {**LINE, "continual": {"mode": mode, "policy": POLICY | policy}}}}
        )
        self.streams = {name: ToyStream(name) for name in NAMES}
        self.nodes = {n: self.kind(n, self.streams[n], max_rank=4) for n in NAMES}
        self.restart()

    @classmethod
    def warmed_up(cls, ledger: Ledger, mode: str = "act", **policy: object) -> Self:
        """Make one that has had its first reviews, in which nothing drifted, and was restarted.

        They are the same in many tests, so each configuration has them once. The nodes restarted
        too: they lack the stable version, so the next review asks for it in a probe of its own.
        """
        world = cls(ledger, mode, **policy)
        key = world.config.model_dump_json()
        if key not in _warm:
            with open_ledger("memory://") as first:
                other = World(first, mode, **policy)
                other.review(WARM_UP)
                windows = {name: stream.window for name, stream in other.streams.items()}
                _warm[key] = Saved(first), windows
        records, windows = _warm[key]
        records.load(ledger)
        for name, window in windows.items():
            world.streams[name].go_to(window)
        world.restart()
        return world

    def restart(self) -> None:
        """Begin anew from the records, as a daemon does after a crash."""
        self.simulation = Simulation(self.config, self.nodes.values(), ledger=self.ledger)

    @property
    def reviews(self) -> int:
        return next((family.reviews for family in self.ledger.registry.families()), 0)

    def review(self, times: int = 1) -> None:
        """Go on until so many reviews more are on record, and what they chose is carried out."""
        goal = self.reviews + times
        self.simulation.run(until=lambda: self.reviews >= goal and not self.open_decisions())

    def open_decisions(self) -> list[Decision]:
        return self.ledger.open_decisions("line")

    def join(self, name: str, *, is_flipped: bool = False) -> None:
        """Let one more node join."""
        self.streams[name] = ToyStream(name)
        self.streams[name].drift(is_flipped=is_flipped)
        self.nodes[name] = SimulatedNode(name, self.streams[name], max_rank=4)
        self.simulation.join(self.nodes[name])

    def flip(self, *names: str, back: bool = False) -> None:
        for name in names:
            self.streams[name].drift(is_flipped=not back)

    def member(self, name: str) -> str:
        identity = self.nodes[name].identity
        found = {a.identity: a.adapter for a in self.ledger.registry.assignments("line")}
        return found[identity]

    def decisions(self, *kinds: str) -> list[Decision]:
        return [d for d in self.ledger.registry.decisions() if d.kind in kinds or not kinds]

    def split(self) -> Decision:
        """Let two nodes' labels contradict the others', until they have their own adapter."""
        if self.reviews < WARM_UP:
            self.review(WARM_UP)
        self.flip("ann", "bob")
        for _ in range(3):
            self.review()
            if found := self.decisions("expand_adapter"):
                return found[-1]
        raise AssertionError("the conflict was not found")
