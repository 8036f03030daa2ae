"""Changing a member's rank, and changing it back. Each step may be repeated.

A change is a version on the member's line: the trial that was better, or the present state cut to
the smaller rank with the error on record. Its tags say which decision made it, what the rank
was before and with which version that came, so that changes can be undone one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..aggregation import decode, encode, profile, spectral
from ..store import Choice, Decision, Parent, Version
from ._context import Context
from ._families import Family
from ._line_table import Lines
from ._moves import Impossible, Moves
from ._plans import STABLE
from ._rank_memory import RankMemory


@dataclass(frozen=True)
class _Content:
    """What a new version holds."""

    data: bytes
    profile: Mapping[str, Any] | None
    metrics: Mapping[str, float]
    parents: tuple[Parent, ...]


class RankChanges:
    """Carries out expand_rank and shrink_rank, and undoes them."""

    def __init__(self, context: Context, lines: Lines, moves: Moves) -> None:
        self._context = context
        self._lines = lines
        self._moves = moves

    def act(self, family: Family, decision: Decision, choice: Choice) -> None:
        """Change a member's rank; raises Impossible with the reason."""
        member = choice.adapter
        rank = _new_rank(choice)
        version = self._moves.head(member)
        if version.tags.get("decision") != str(decision.number):  # else made before a crash
            self._check(family, choice, rank)
            version = self._publish(family, decision, choice, rank)
        state, memory = family.members[member]
        ranks = RankMemory(rank=rank, changed=version.ref)  # what was flat and tried is over
        self._moves.put(family, member, state, replace(memory, ranks=ranks))
        self._moves.review_as_is(family, version)
        self._lines[member].adopt(version)

    def undo(self, family: Family, decision: Decision, choice: Choice) -> None:
        """Give a member its rank and its version back; what it learnt since stays on record."""
        member = choice.adapter
        state, memory = family.members[member]
        head = self._moves.head(member)
        changed = self._changed(memory.ranks)
        if changed is None or changed.tags.get("decision") != str(decision.number):
            if head.tags.get("undoes") == str(decision.number):
                self._go_on(family, head)  # an interrupted attempt has come this far
                return
            now = (
                "is as it was before"
                if changed is None
                else (f"was changed again since, by {changed.ref}")
            )
            raise Impossible(f"the rank of {member} {now}")
        before = changed.parents[0]
        source = self._context.ledger.registry.version(f"{before.adapter}@{before.number}")
        version = self._context.ledger.publish(
            member,
            self._context.ledger.registry.read(source.ref),
            profile=source.profile,
            parents=(before,),
            origin="undo",
            metrics=source.metrics,
            tags={"undoes": str(decision.number)},
            aliases=(STABLE,),
            idempotency_key=f"undo of decision {decision.number}",
            epoch=self._context.epoch,
        )
        ranks = rank_before(changed, review=family.reviews)
        self._moves.put(family, member, state, replace(memory, ranks=ranks))
        self._go_on(family, version)

    def _changed(self, ranks: RankMemory) -> Version | None:
        """Return the version with which a member's present rank came."""
        return (
            None if ranks.changed is None else self._context.ledger.registry.version(ranks.changed)
        )

    def _go_on(self, family: Family, version: Version) -> None:
        self._moves.review_as_is(family, version)
        self._lines[version.adapter].adopt(version)

    def _check(self, family: Family, choice: Choice, rank: int) -> None:
        member = choice.adapter
        if member not in family.active:
            raise Impossible(f"{member} is not in service")
        present = self._lines[member].rank_budget
        if choice.kind == "shrink_rank":
            if not 1 <= rank < present:
                raise Impossible(f"{rank} is no rank below {present}, which {member} has")
            return
        if rank <= present:
            raise Impossible(f"{rank} is no rank above {present}, which {member} has")
        most = family.policy.max_rank
        if most is not None and rank > most:
            raise Impossible(f"rank {rank} is above the policy's max_rank {most}")

    def _publish(self, family: Family, decision: Decision, choice: Choice, rank: int) -> Version:
        content = self._content(family, choice, rank)
        before = family.members[choice.adapter][1].ranks
        head, stable = self._moves.head(choice.adapter), self._lines[choice.adapter].stable
        is_served = stable is not None and stable.number == head.number
        return self._context.ledger.publish(
            choice.adapter,
            content.data,
            profile=content.profile,
            parents=content.parents,
            origin=choice.kind,
            metrics=content.metrics,
            tags={"decision": str(decision.number), **rank_tags(rank, before)},
            aliases=(STABLE,) if is_served else (),  # what no gate has passed stays unserved
            idempotency_key=f"decision {decision.number}",
            epoch=self._context.epoch,
        )

    def _content(self, family: Family, choice: Choice, rank: int) -> _Content:
        """Return the trial that was judged, if the line still is where it was; else the present.

        A line that has gone on since (an operator took a while to approve) keeps what it learnt,
        and has more room from its next round on.
        """
        registry = self._context.ledger.registry
        head = self._moves.head(choice.adapter)
        parent = Parent(adapter=head.adapter, number=head.number, role="start")
        if choice.kind == "shrink_rank":
            return self._cut(head, parent, rank)
        source, parents = head, (parent,)
        if choice.target.startswith(f"{family.rank_trials}@"):
            trial = registry.version(choice.target)
            if choice.numbers.get("version") == head.number:
                source = trial
                parents = (parent, Parent(adapter=trial.adapter, number=trial.number, role="trial"))
        elif choice.target != choice.adapter:
            raise Impossible(f"{choice.target} is no trial of {choice.adapter} at another rank")
        return _Content(registry.read(source.ref), source.profile, source.metrics, parents)

    def _cut(self, head: Version, parent: Parent, rank: int) -> _Content:
        """Cut a state to the best of a smaller rank; `discarded` is the relative error."""
        data = bytearray(self._context.ledger.registry.read(head.ref))
        cut = spectral(decode(data, self._context.limits), rank)
        kept = {k: v for k, v in head.metrics.items() if k == "num_examples"}
        metrics = {**kept, "discarded": cut.error.overall}
        described = profile(cut.adapter).to_json()
        return _Content(encode(cut.adapter), described, metrics, (parent,))


def rank_tags(rank: int, before: RankMemory) -> dict[str, str]:
    """Return the tags of a version that comes with a new rank: it, and what was before."""
    return {
        "rank": str(rank),
        "rank_before": "" if before.rank is None else str(before.rank),
        "changed_before": before.changed or "",
    }


def with_rank_of(version: Version, ranks: RankMemory) -> RankMemory:
    """Return what is remembered of a rank after a version that may have come with a new one."""
    if "rank" not in version.tags:
        return ranks
    return RankMemory(rank=int(version.tags["rank"]), changed=version.ref)


def rank_before(changed: Version, *, review: int) -> RankMemory:
    """Return what is remembered of a rank once the version that it came with is undone."""
    earlier = changed.tags.get("rank_before", "")
    return RankMemory(
        rank=int(earlier) if earlier else None,
        changed=changed.tags.get("changed_before") or None,
        undone=review,
    )


def _new_rank(choice: Choice) -> int:
    rank = choice.numbers.get("new_rank")
    if rank is None or rank != int(rank) or rank < 1:
        raise Impossible('it does not say the rank: a whole number, numbers["new_rank"]')
    return int(rank)
