"""See how far a demo is: everything is read from the registry over gRPC, nothing is worked out.

`observe` takes one look; `follow` looks until the last version has been measured by every node.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ..store import (
    ContributionRecord,
    DeadlineExceeded,
    Registry,
    RoundRecord,
    Unavailable,
    Version,
    connect,
)
from ._demo_plan import ADAPTER
from ._demo_processes import DemoError

_LOOK_SECONDS = 0.7
_NO_SCORES: Mapping[str, float] = MappingProxyType({})
_NOTHING: Mapping[int, Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True)
class Scene:
    """What the registry says at one moment.

    Attributes:
        nodes: identity -> name of each node that has introduced itself.
        rounds: by number.
        versions: by number, version 0 included.
        contributions: accepted and rejected ones, of all rounds.
        scores: version number -> node name -> the demo's metric, as far as it is measured.
        seconds: since the demo's processes were started.
    """

    nodes: Mapping[str, str] = field(default_factory=dict[str, str])
    rounds: tuple[RoundRecord, ...] = ()
    versions: tuple[Version, ...] = ()
    contributions: tuple[ContributionRecord, ...] = ()
    scores: Mapping[int, Mapping[str, float]] = field(
        default_factory=dict[int, "Mapping[str, float]"]
    )
    seconds: float = 0.0

    def until(self, number: int) -> Scene:
        """Return the same without rounds and versions after this one: they are the story's."""
        return replace(
            self,
            rounds=tuple(each for each in self.rounds if each.number <= number),
            versions=tuple(each for each in self.versions if each.number <= number),
        )

    def mean(self, number: int, count: int) -> float | None:
        """Return the mean score of a version over all `count` nodes, None before all have it."""
        scores = self.scores.get(number, _NO_SCORES)
        return sum(scores.values()) / count if len(scores) == count else None

    def updates(self, round_number: int) -> int:
        """Return how many updates of a round are accepted and on disk."""
        return self._counts("accepted")[round_number]

    def refused(self, round_number: int) -> int:
        """Return how many updates of a round were rejected."""
        return self._counts("rejected")[round_number]

    def _counts(self, status: str) -> Counter[int]:
        return Counter(each.round for each in self.contributions if each.status == status)


def observe(
    registry: Registry, metric: str, *, count: int, known: Scene | None = None, seconds: float = 0.0
) -> Scene:
    """Take one look. `known` is the scene before: complete scores are not asked for again."""
    # A node that is slow to answer may count as gone for a while; what it measured still holds.
    nodes = {node.identity: node.name for node in registry.nodes() if node.status != "refused"}
    if not any(line.name == ADAPTER for line in registry.adapters()):
        return Scene(nodes=nodes, seconds=seconds)
    versions = tuple(reversed(registry.versions(ADAPTER, limit=1000).items))
    before = known.scores if known is not None else _NOTHING
    scores: dict[int, Mapping[str, float]] = {}
    for version in versions:
        scores[version.number] = before.get(version.number, _NO_SCORES)
        if len(scores[version.number]) < count:
            scores[version.number] = _scores(registry, version, metric, nodes)
    return Scene(
        nodes=nodes,
        rounds=tuple(registry.rounds(ADAPTER)),
        versions=versions,
        contributions=tuple(registry.contributions(ADAPTER)),
        scores=scores,
        seconds=seconds,
    )


def follow(
    address: str,
    metric: str,
    *,
    rounds: int,
    count: int,
    quiet_seconds: float,
    check: Callable[[], None],
    show: Callable[[Scene], None],
) -> Scene:
    """Look again and again until version `rounds` is measured by all `count` nodes.

    Args:
        address: of the registry, `grpc://host:port`; it need not answer yet.
        metric: the name of the number that nodes report.
        rounds: how many versions the rounds make.
        count: how many nodes there are.
        quiet_seconds: give up when nothing new was recorded for so long.
        check: called at each look; raises when a process has ended.
        show: takes each scene.

    Raises:
        DemoError: nothing happens any more, or a round was abandoned.
    """
    started = moved_at = time.monotonic()
    scene = Scene()
    with contextlib.closing(_Line(address)) as line:
        while True:
            check()
            now = time.monotonic()
            seen = line.look(scene, metric, count=count, seconds=now - started)
            if _facts(seen) != _facts(scene):
                moved_at = now
            scene = seen
            learned = scene.until(rounds)
            show(learned)
            _refuse_abandoned(learned)
            if scene.mean(rounds, count) is not None and scene.mean(0, count) is not None:
                return learned
            if now - moved_at > quiet_seconds:
                raise DemoError(
                    f"nothing was recorded for {quiet_seconds:.0f} s ({_stage(scene, rounds)}): "
                    "look into the log files of the daemon and the nodes"
                )
            time.sleep(_LOOK_SECONDS)


class _Line:
    """A connection to a registry that is made when it first answers."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._registry: Registry | None = None

    def look(self, known: Scene, metric: str, *, count: int, seconds: float) -> Scene:
        """Take a look; what is known, if nobody answers."""
        try:
            self._registry = self._registry or connect(self._address)
            return observe(self._registry, metric, count=count, known=known, seconds=seconds)
        except (Unavailable, DeadlineExceeded):
            # The daemon is still starting, or is busy with a commit: the next look will tell.
            return replace(known, seconds=seconds)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._registry is not None:
            self._registry.close()


def _scores(
    registry: Registry, version: Version, metric: str, nodes: Mapping[str, str]
) -> dict[str, float]:
    found = [each for each in registry.metrics(version.ref) if each.name == metric]
    return {
        nodes[each.identity]: each.value
        for each in found
        if each.identity is not None and each.identity in nodes and math.isfinite(each.value)
    }


def _facts(scene: Scene) -> tuple[object, ...]:
    return (scene.nodes, scene.rounds, scene.versions, scene.contributions, scene.scores)


def _refuse_abandoned(scene: Scene) -> None:
    for each in scene.rounds:
        if each.state == "abandoned":
            raise DemoError(f"round {each.number} was abandoned: {each.reason or 'no reason kept'}")


def _stage(scene: Scene, rounds: int) -> str:
    done = max((version.number for version in scene.versions), default=None)
    if done is None:
        return f"{len(scene.nodes)} nodes have introduced themselves, no version yet"
    return f"at version {done} of {rounds}"
