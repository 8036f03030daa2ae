"""What a review rests on besides the windows: the members as they are, and what nodes answered."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from statistics import fmean
from typing import Any

from ..aggregation import AdapterError, Paired, Summary, SummarySpec, add
from ..store import (
    PIN_PREFIX,
    Ledger,
    MemberEvidence,
    ProbeEvidence,
    ProposalEvidence,
    Registry,
    SideEvidence,
    TaskRecord,
    TrialEvidence,
    Version,
)
from ._drift_names import Past
from ._families import Family
from ._line_table import Lines
from ._lines import Line

Answers = tuple[Mapping[str, tuple[ProbeEvidence, ...]], tuple[TrialEvidence, ...]]


def members_of(family: Family, lines: Lines, seen: Sequence[str]) -> tuple[MemberEvidence, ...]:
    """Describe the members of a family, the root first; `seen` are the nodes with a window now."""
    found: list[MemberEvidence] = []
    registry = lines.registry
    for name, (state, memory) in family.members.items():
        head = lines[name].head
        if head is None:
            continue
        users = family.present(name, seen)
        stable, previous = _served(family, lines[name])
        found.append(
            MemberEvidence(
                adapter=name,
                state=state,
                provisional=memory.provisional,
                age=memory.age,
                parent=memory.parent,
                users=users,
                idle=0 if users else memory.idle + 1,
                version=head.number,
                rank=head.rank,
                size_bytes=head.size_bytes,
                pinned_bytes=_pinned_bytes(registry, head),
                root=name == family.root,
                trials=memory.trials,
                pinned=memory.pinned,
                stable=stable,
                previous=previous,
                recalled=memory.recalled,
            )
        )
    return tuple(found)


def _pinned_bytes(registry: Registry, head: Version) -> int:
    """Return the bytes of a line's pinned versions, each of them once, without the newest."""
    aliases = registry.aliases(head.adapter)
    numbers = {alias.number for alias in aliases if alias.alias.startswith(PIN_PREFIX)} - {
        head.number
    }
    pinned = [registry.version(f"{head.adapter}@{number}") for number in sorted(numbers)]
    return sum({version.digest: version.size_bytes for version in pinned}.values())


def _served(family: Family, line: Line) -> tuple[int | None, int | None]:
    """Return the numbers of the stable version and of the one before, of a gated family."""
    if not family.gated or line.stable is None:
        return None, None
    previous = line.previous
    return line.stable.number, None if previous is None else previous.number


def proposals_of(ledger: Ledger, family: Family) -> tuple[ProposalEvidence, ...]:
    """Tell what operators have been asked about a family, and what they vetoed lately.

    Only where they are asked: what is left of another mode must not keep a choice waiting.
    """
    if family.config.continual.mode != "propose":
        return ()
    return tuple(
        ProposalEvidence(
            decision=found.decision.number,
            kind=found.decision.kind,
            adapter=found.decision.adapter or family.root,
            absorb=found.decision.payload.get("absorb", ""),
            nodes=tuple(found.decision.payload.get("nodes", ())),
            vetoed=found.vetoed,
        )
        for found in ledger.proposals(family.root, rest=family.policy.veto_rest)
    )


def answers_of(
    tasks: Sequence[TaskRecord],
    answers: Mapping[str, Mapping[str, Any]],
    family: Family,
    lines: Lines,
) -> Answers:
    """Read the answers to a review's questions: probes by identity, and trials."""
    probes: dict[str, list[ProbeEvidence]] = defaultdict(list)
    trials: dict[str, list[tuple[str, Paired]]] = defaultdict(list)
    for task in sorted(tasks, key=lambda task: (task.identity, task.adapter)):
        payload = answers.get(task.key, {})
        if task.adapter == family.trials:
            trials.setdefault(task.start_digest, [])
        if "paired" not in payload:
            continue
        pair = Paired(**payload["paired"])
        if task.adapter == family.trials:
            trials[task.start_digest].append((task.identity, pair))
        elif (head := lines[task.adapter].head) is not None and head.digest == task.start_digest:
            probes[task.identity].append(
                ProbeEvidence(
                    adapter=task.adapter,
                    version=head.number,
                    rows=pair.count,
                    gain=pair.mean,
                    standard_error=pair.standard_error,
                )
            )
    judged = tuple(
        _trial(lines[family.trials].of_digest(digest), pairs, family)
        for digest, pairs in trials.items()
    )
    return {identity: tuple(found) for identity, found in probes.items()}, judged


def _trial(version: Version, pairs: Sequence[tuple[str, Paired]], family: Family) -> TrialEvidence:
    """Average what the nodes of each side say of a merge; a loss that rises is a positive change.

    Each node has the same weight, whatever number of rows it claims. Where several judge a side,
    the most favourable answer does not count, and where several use it, one judge is none: a node
    that lies can keep two members apart, but not merge them over the others' heads.
    """
    keep, absorb = version.tags["keep"], version.tags["absorb"]
    sides: list[SideEvidence] = []
    for name in (keep, absorb):
        own = sorted(
            (pair for i, pair in pairs if family.member_of(i) == name), key=lambda pair: -pair.mean
        )
        if len(own) < min(2, family.present(name)) or not own:
            continue
        heard = own[1:] or own
        sides.append(
            SideEvidence(
                adapter=name,
                rows=sum(pair.count for pair in own),
                identities=len(own),
                loss_change=-fmean(pair.mean for pair in heard),
                standard_error=math.hypot(*(pair.standard_error for pair in heard)) / len(heard),
            )
        )
    return TrialEvidence(keep=keep, absorb=absorb, trial=version.ref, sides=tuple(sides))


def past_of(ledger: Ledger, family: Family, identity: str) -> Past:
    """Read what a node had before, as far as it is kept.

    Windows of another spec are left out, and so are sums of two kinds.
    """
    spec, watch = SummarySpec.from_json(family.spec), family.watch(identity)
    keys = sorted({key for keys in (*watch.earlier, *watch.path) for key in keys})
    found: dict[str, Summary] = {}
    for key, payload in ledger.summaries_of(keys).items():
        with suppress(AdapterError):
            found[key] = Summary.from_json(payload.get("summary"), spec)
    earlier: list[Summary] = []
    for one in watch.earlier:
        with suppress(AdapterError):
            earlier.append(add(found[key] for key in one if key in found))
    path = [[found[key] for key in one if key in found] for one in watch.path]
    return Past(earlier, path)


def pooled_summary(ledger: Ledger, keys: Sequence[str], spec: SummarySpec) -> Summary:
    """Add up the windows of these tasks; raises AdapterError where they are of two kinds."""
    found = ledger.summaries_of(list(keys)).values()
    return add(Summary.from_json(payload["summary"], spec) for payload in found)
