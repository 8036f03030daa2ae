"""The story that a demo tells once its nodes have learned: data change, and the family answers.

Pure values and functions. A stage is begun by replacing data files; it ends with the decision that
it waits for, or when so many reviews have passed without it. What is told was read from the
registry. The stages were tried in the simulator, with several seeds, before they were written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..store import Decision

MEANWHILE = "meanwhile"


@dataclass(frozen=True)
class Data:
    """Which rows a node has: the `part`-th stock of a domain's rows; a share of labels turned."""

    domain: str
    part: int = 0
    turned: float = 0.0


@dataclass(frozen=True)
class Stage:
    """One chapter: what happens to which nodes' data, and the decision that should follow.

    Attributes:
        happened: in words, for the table.
        data: node -> its rows from now on.
        kind: of the decision that is waited for.
        patience: reviews without it after which the story ends.
        rest: reviews that pass before the next stage begins.
    """

    happened: str
    data: Mapping[str, Data]
    kind: str
    patience: int = 3
    rest: int = 0


@dataclass(frozen=True)
class Facts:
    """What the registry says of the family at one moment.

    Attributes:
        reviews: how many are on record.
        decisions: all of them, each with the number of its review.
        names: identity -> name of each node.
        adapters: active member -> the names of its nodes.
    """

    reviews: int = 0
    decisions: tuple[tuple[int, Decision], ...] = ()
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    adapters: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


@dataclass(frozen=True)
class Told:
    """One line of the story's table.

    Attributes:
        happened: what happened to the data, or MEANWHILE.
        since: how many reviews there were when it happened.
        review: the one that decided; None: nothing was decided in time, or it never began.
        decisions: what was decided, in that review.
        adapters: active member -> its nodes, when the decision had been carried out.
        note: why there is no decision.
    """

    happened: str
    since: int | None = None
    review: int | None = None
    decisions: tuple[Decision, ...] = ()
    adapters: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    note: str = ""

    @property
    def is_decided(self) -> bool:
        """Whether what was waited for has been carried out."""
        return bool(self.decisions)

    @property
    def kind(self) -> str:
        """The kind of the decisions, "" without one."""
        return self.decisions[0].kind if self.decisions else ""

    @property
    def reason(self) -> str:
        """The reasons of the decisions, else why there is none."""
        return " ".join(decision.reason for decision in self.decisions) or self.note


class Teller:
    """Goes through the stages, look by look.

    Args:
        stages: in order.
        quiet: reviews that must be on record before the first stage begins.
    """

    def __init__(self, stages: Sequence[Stage], *, quiet: int) -> None:
        self._stages = list(stages)
        self._ready = quiet
        self._since: int | None = None
        self.told: list[Told] = []

    @property
    def is_over(self) -> bool:
        """Whether every stage was decided, or one of them was not in time."""
        return not self._stages

    def step(self, facts: Facts) -> Stage | None:
        """Take a look; returns the stage whose data have to be changed now, if there is one."""
        if self.is_over:
            return None
        stage = self._stages[0]
        if self._since is None:
            if facts.reviews < self._ready:
                return None
            self._since = facts.reviews
            return stage
        found = expected(stage, facts, self._since)
        if found is not None and all(d.state == "carried_out" for d in found[1]):
            review, decisions = found
            self.told.append(Told(stage.happened, self._since, review, decisions, facts.adapters))
            self._stages.pop(0)
            self._ready, self._since = review + stage.rest, None
        elif found is None and facts.reviews >= self._since + stage.patience:
            self._give_up(stage, facts)
        return None

    def _give_up(self, stage: Stage, facts: Facts) -> None:
        note = f"no {words(stage.kind)} in {stage.patience} reviews"
        self.told.append(Told(stage.happened, self._since, adapters=facts.adapters, note=note))
        self._stages.pop(0)
        for missed in self._stages:
            self.told.append(Told(missed.happened, note="not begun"))
        self._stages.clear()


def expected(stage: Stage, facts: Facts, since: int) -> tuple[int, tuple[Decision, ...]] | None:
    """Return the newest review with decisions that a stage waits for, and these; failed ones not.

    A merge concerns adapters, whatever nodes they have; all others name nodes of the stage.
    """
    fitting = [
        (review, decision)
        for review, decision in facts.decisions
        if review > since
        and decision.kind == stage.kind
        and decision.state != "failed"
        and (stage.kind == "merge" or _nodes(decision, facts) & stage.data.keys())
    ]
    if not fitting:
        return None
    newest = fitting[-1][0]
    return newest, tuple(decision for review, decision in fitting if review == newest)


def _nodes(decision: Decision, facts: Facts) -> set[str]:
    identities: Sequence[str] = decision.payload.get("nodes", ())
    return {facts.names.get(identity, identity) for identity in identities}


def whole_story(told: Sequence[Told], facts: Facts) -> tuple[Told, ...]:
    """Return the lines in the order of reviews, with what else was decided about adapters."""
    own = {decision.number for line in told for decision in line.decisions}
    begun = min((line.since for line in told if line.since is not None), default=0)
    lines = list(told)
    for review, decision in facts.decisions:
        if review > begun and decision.number not in own and _is_about_adapters(decision):
            lines.append(Told(MEANWHILE, review=review, decisions=(decision,)))
    return tuple(sorted(lines, key=_order))


def _is_about_adapters(decision: Decision) -> bool:
    return decision.kind != "keep" or bool(decision.payload.get("absorb"))


def _order(line: Told) -> tuple[float, int]:
    number = line.decisions[0].number if line.decisions else 0
    return (float("inf") if line.review is None else line.review, number)


def words(kind: str) -> str:
    """Return a kind of decision as people say it."""
    return {"expand_adapter": "new adapter", "reroute": "re-route"}.get(kind, kind)


def patient(stages: Sequence[Stage]) -> int:
    """Return how many reviews the stages can take at most."""
    return sum(stage.patience + stage.rest for stage in stages)
