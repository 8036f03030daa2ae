"""What a review writes besides its evidence: the family, its members and its nodes from now on.

Pure functions. Moves of nodes are not here: `_carry_out` makes them, decision by decision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

from ..aggregation import AdapterError, Summary, SummarySpec, add, mean_bandwidth
from ..store import (
    AdaptationPolicy,
    Choice,
    NewAlias,
    NewDecision,
    Review,
    Version,
    promotions,
)
from ._families import Family, MemberState
from ._observe import Finding, Window
from ._plans import STABLE
from ._rank_memory import RankMemory
from ._references import refreshed

# What an operator has to approve in mode "propose"; a node that moves can move back by itself.
STRUCTURAL = frozenset({"expand_adapter", "merge", "archive", "expand_rank", "shrink_rank"})

# Of the usual number of rows: a window that claims more does not help to settle the bandwidth,
# else one node with a million rows would settle it alone.
MOST_OF_USUAL = 4

Mode = Literal["off", "record", "propose", "act"]


@dataclass(frozen=True)
class Found:
    """A window and what the tests say of it."""

    window: Window
    finding: Finding


def to_record(choice: Choice, mode: Mode) -> NewDecision:
    """Return the record of a choice; its state says whether it is to be carried out."""
    state: Literal["approved", "proposed"] | None = None
    if choice.kind not in ("keep", "hold") and mode in ("propose", "act"):
        state = "proposed" if mode == "propose" and choice.kind in STRUCTURAL else "approved"
    return NewDecision(
        kind=choice.kind,
        adapter=choice.adapter,
        subject=choice.target,
        reason=choice.reason,
        payload=choice.to_json(),
        state=state,
    )


def next_payload(
    family: Family, heads: Mapping[str, Version], found: Sequence[Found]
) -> dict[str, Any]:
    """Return the family's own record after a review of its members' newest versions."""
    fresh = [head for name, head in heads.items() if not family.is_reviewed(name, head.number)]
    numbers = {name: head.number for name, head in heads.items()}
    return {
        **family.payload,
        "spec": _spec(family, found).to_json(),
        "steps": family.steps + any(head.round is not None for head in fresh),
        "reviewed": {**family.reviewed, **numbers},
    }


def _spec(family: Family, found: Sequence[Found]) -> SummarySpec:
    """Return what nodes are asked from now on; the first windows settle the bandwidth."""
    spec = SummarySpec.from_json(family.spec)
    if spec.bandwidth is not None:
        return spec
    widths = Counter(f.window.summary.width for f in found if f.window.summary.width)
    if not widths:
        return spec
    usual = widths.most_common(1)[0][0]  # one node with another model must not stop all
    fitting = [f.window.summary for f in found if f.window.summary.width == usual]
    most = MOST_OF_USUAL * median(summary.count for summary in fitting)
    fitting = [summary for summary in fitting if summary.count <= most]
    try:
        return replace(spec, bandwidth=mean_bandwidth(add(fitting)))
    except AdapterError:  # too few rows, or all alike: the next review tries again
        return spec


def next_members(
    family: Family,
    review: Review,
    choices: Sequence[Choice],
    ranks: Mapping[str, RankMemory],
    windows: Mapping[str, Sequence[Summary]],
) -> dict[str, tuple[MemberState, dict[str, Any]]]:
    """Return state and memory of each member after a review; `windows` make their references."""
    pinned = {choice.adapter for choice in _pins(family, choices)}
    users = {member.adapter: member.users for member in review.members}
    held = {choice.adapter for choice in choices if choice.kind == "hold"}
    judged = {gate.adapter for gate in review.gates}
    recalled = {recall.adapter for recall in review.recalls}
    spec = SummarySpec.from_json(family.spec)
    after: dict[str, tuple[MemberState, dict[str, Any]]] = {}
    for name, (state, memory) in family.members.items():
        tried = {
            other: review.number
            for trial in review.trials
            for other in _others(name, trial.keep, trial.absorb)
        }
        grown = replace(
            memory,
            age=memory.age + 1,
            idle=0 if users.get(name) else memory.idle + 1,
            trials={**memory.trials, **tried},
            provisional=memory.provisional and not tried,
            pinned=review.number if name in pinned else memory.pinned,
            held=memory.held + 1 if name in held else 0 if name in judged else memory.held,
            recalled=review.number if name in recalled else memory.recalled,
            ranks=ranks[name],
            reference=refreshed(memory.reference, windows.get(name, ()), spec),
        )
        after[name] = (state, grown.to_json())
    return after


def next_aliases(
    review: Review, policy: AdaptationPolicy, choices: Sequence[Choice]
) -> list[NewAlias]:
    """Return which candidates become stable with a review."""
    return [
        NewAlias(
            adapter=found.adapter,
            alias=STABLE,
            number=found.candidate,
            expect=found.stable,
            reason=found.reason,
        )
        for found in promotions(review, policy, choices)
    ]


def next_watches(
    family: Family, found: Sequence[Found], choices: Sequence[Choice]
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return each node's member and what is remembered of it after a review."""
    pinned = {node for choice in _pins(family, choices) for node in choice.nodes}
    after: dict[str, tuple[str, dict[str, Any]]] = {}
    for one in found:
        watch = one.finding.watch
        identity = one.window.identity
        watch = watch.pinned() if identity in pinned else watch
        after[identity] = (one.window.adapter, watch.to_json())
    return after


def _pins(family: Family, choices: Sequence[Choice]) -> list[Choice]:
    """Return the pins that will be carried out."""
    is_dry = family.config.continual.mode == "record"
    return [] if is_dry else [choice for choice in choices if choice.kind == "pin"]


def _others(name: str, keep: str, absorb: str) -> tuple[str, ...]:
    pair = (keep, absorb)
    return tuple(other for other in pair if other != name) if name in pair else ()
