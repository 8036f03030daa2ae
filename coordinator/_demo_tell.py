"""Follow the demo's story: read from the registry what the family decided, stage by stage."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ..store import DeadlineExceeded, Decision, Registry, Unavailable, connect
from ._demo_plan import ADAPTER
from ._demo_processes import DemoError
from ._demo_story import Facts, Stage, Teller, Told, whole_story
from ._read_all import read_all
from ._report import report
from ._report_labels import spoken

_LOOK_SECONDS = 0.3
_PAGE = 1000


@dataclass
class FamilyLook:
    """Looks at a family again and again; which review an evidence belongs to never changes.

    Reasons name nodes as the demo does elsewhere, not by identity.
    """

    registry: Registry
    _reviews: dict[int, int] = field(default_factory=dict[int, int])

    def __call__(self) -> Facts:
        """Take one look."""
        source = self.registry
        root = next((found for found in source.families() if found.root == ADAPTER), None)
        if root is None:
            return Facts()
        found = read_all(lambda since: source.decisions(since=since, limit=_PAGE))
        names = {node.identity: node.name for node in source.nodes()}
        decisions = tuple(
            (self._review(d), replace(d, reason=spoken(d.reason, names)))
            for d in found
            if d.evidence
        )
        users: dict[str, list[str]] = {
            member.adapter: [] for member in source.members(ADAPTER) if member.state == "active"
        }
        for one in source.assignments(ADAPTER):
            users.setdefault(one.adapter, []).append(names.get(one.identity, one.identity))
        adapters = {name: tuple(sorted(nodes)) for name, nodes in users.items()}
        return Facts(root.reviews, decisions, names, adapters)

    def _review(self, decision: Decision) -> int:
        number = decision.evidence[0]
        if number not in self._reviews:
            (found,) = self.registry.evidence(since=number - 1, limit=1)
            self._reviews[number] = int(found.payload["review"]["number"])
        return self._reviews[number]


@dataclass(frozen=True)
class Ending:
    """How the story ended: its lines, and the report."""

    told: tuple[Told, ...]
    adapters: Mapping[str, tuple[str, ...]]
    html: str

    @property
    def is_whole(self) -> bool:
        """Whether every stage was decided in time."""
        return all(line.is_decided for line in self.told)


def tell(
    registry: Registry,
    teller: Teller,
    *,
    quiet_seconds: float,
    begin: Callable[[Stage], None],
    check: Callable[[], None],
    show: Callable[[Facts, Stage | None], None],
) -> Ending:
    """Begin one stage after the other, and see what the family decides.

    Args:
        registry: where to look; it may not answer for a while.
        teller: the stages.
        quiet_seconds: give up when no review was recorded for so long.
        begin: replaces the data files of a stage.
        check: called at each look; raises when a process has ended.
        show: takes each look, and the stage that it begins.

    Raises:
        DemoError: nothing happens any more.
    """
    look, facts, moved_at = FamilyLook(registry), Facts(), time.monotonic()
    while not teller.is_over:
        check()
        seen = facts
        with contextlib.suppress(Unavailable, DeadlineExceeded):
            seen = look()
        if seen.reviews != facts.reviews:
            moved_at = time.monotonic()
        facts = seen
        stage = teller.step(facts)
        if stage is not None:
            begin(stage)
        show(facts, stage)
        if time.monotonic() - moved_at > quiet_seconds:
            raise DemoError(
                f"no review was recorded for {quiet_seconds:.0f} s (at review {facts.reviews}): "
                "look into the log files of the daemon and the nodes"
            )
        if not teller.is_over:
            time.sleep(_LOOK_SECONDS)
    told = whole_story(teller.told, facts)
    return Ending(told, facts.adapters, report(registry, ADAPTER).html)


def tell_at(
    address: str,
    teller: Teller,
    *,
    quiet_seconds: float,
    begin: Callable[[Stage], None],
    check: Callable[[], None],
    show: Callable[[Facts, Stage | None], None],
) -> Ending:
    """Do the same with the registry at an address, `grpc://host:port`."""
    with contextlib.closing(connect(address)) as registry:
        return tell(
            registry, teller, quiet_seconds=quiet_seconds, begin=begin, check=check, show=show
        )
