"""After a review: what no later one can need is let go, in small transactions.

Evidence is a record of its own, so replaying decisions needs none of this.
"""

from __future__ import annotations

from contextlib import suppress

from ..store import Conflict
from ._context import Context
from ._families import Family
from ._line_table import Lines


def prune(context: Context, family: Family, lines: Lines) -> None:
    """Let go of old summaries and old trial merges of a family.

    Of each line the summaries of its last `keep_rounds` rounds stay, those of probes for as many
    reviews; and of each node the windows that its next ones are compared with, and its last one.
    """
    ledger, kept = context.ledger, family.config.keep_rounds
    keep = {key for _, watch in family.assigned.values() for key in (*watch.reference, watch.seen)}
    reviews = max(family.reviews - kept + 1, 0)
    trials = [name for name in (family.trials, family.rank_trials) if name in lines]
    for name in [*family.members, *trials]:
        newest = lines[name].newest
        rounds = max(newest.number - kept + 1, 0) if newest is not None else 0
        for kind, before in (("evaluate", rounds), ("probe", reviews)):
            if before:
                ledger.prune_summaries(
                    name,
                    kind=kind,  # pyright: ignore[reportArgumentType]
                    before_round=before,
                    keep=keep,
                    epoch=context.epoch,
                )
    if family.trials in lines and reviews:
        _retire_trials(context, family, lines, before_review=reviews)


def _retire_trials(context: Context, family: Family, lines: Lines, *, before_review: int) -> None:
    """Retire trial merges of old reviews, but for those that a decision still speaks of."""
    registry, head = context.ledger.registry, lines[family.trials].head
    most = min(family.policy.max_trials * family.config.keep_rounds + 100, 1000)
    needed = _decided(context, family)
    for version in registry.versions(family.trials, limit=most).items:
        is_old = int(version.tags.get("review", before_review)) < before_review
        is_needed = version.ref in needed or (head is not None and version.number == head.number)
        if is_old and not version.retired and not is_needed:
            with suppress(Conflict):  # an operator has given it an alias
                context.ledger.retire(version.ref, reason="an old trial merge", epoch=context.epoch)


def _decided(context: Context, family: Family) -> set[str]:
    """Return the trials that became a merge, or that a proposal rests on."""
    ledger = context.ledger
    open_ones = [proposal.decision for proposal in ledger.proposals(family.root, rest=0)]
    found = [*open_ones, *family.approved]
    for _, memory in family.members.values():
        if memory.merged_into is not None:
            number = ledger.registry.version(memory.merged_into).tags.get("decision")
            if number is not None:
                found += ledger.registry.decisions(since=int(number) - 1, limit=1)
    return {str(decision.payload.get("target", "")) for decision in found}
