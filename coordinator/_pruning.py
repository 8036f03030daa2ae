"""After a review: what no later one can need is let go, in small transactions.

Evidence is a record of its own, so replaying decisions needs none of this.
"""

from __future__ import annotations

from contextlib import suppress

from ..store import Conflict
from ._context import Context
from ._families import Family
from ._line_table import Lines
from ._round_view import TERMINAL


def prune(context: Context, family: Family, lines: Lines) -> None:
    """Let go of old summaries and old trials of a family, and of updates that wait in vain.

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
    _leave_out(context, family, lines)
    old = [name for name in trials if reviews]
    for name in old:
        _retire_trials(context, family, lines, name, before_review=reviews)
    if old:
        ledger.prune(old, epoch=context.epoch)


def _leave_out(context: Context, family: Family, lines: Lines) -> None:
    """Settle updates that wait in vain: of a trial that is over, of a node that is elsewhere.

    A node's own are settled when it is moved; here, those that an older polyrank let lie.
    """
    ledger = context.ledger
    for name in family.members:
        for update in ledger.contributions(name, status="accepted", counted=False):
            if (home := lines[name].home(update.identity)) != name:
                reason = f"its node was moved to {home}"
                ledger.leave_out(name, [update.task_key], reason=reason, epoch=context.epoch)
    if family.rank_trials in lines:
        newest = lines[family.rank_trials].newest
        waiting = ledger.contributions(family.rank_trials, status="accepted", counted=False)
        late = [
            update.task_key
            for update in waiting
            if newest is None or update.round < newest.number or newest.state in TERMINAL
        ]
        if late:
            ledger.leave_out(
                family.rank_trials, late, reason="its trial is over", epoch=context.epoch
            )


def _retire_trials(
    context: Context, family: Family, lines: Lines, name: str, *, before_review: int
) -> None:
    """Retire trials of old reviews, but for those that a decision still speaks of.

    A trial of rank is two versions: its start, whose tags say the review, and what was trained.
    """
    registry, head = context.ledger.registry, lines[name].head
    most = min(family.policy.max_trials * family.config.keep_rounds + 100, 1000)
    needed = _decided(context, family)
    found = registry.versions(name, limit=most).items
    reviews = {v.number: int(v.tags["review"]) for v in found if "review" in v.tags}
    for version in found:
        start = version.parents[0].number if version.round is not None else version.number
        is_old = reviews.get(start, 0) < before_review
        is_needed = version.ref in needed or (head is not None and version.number == head.number)
        if is_old and not version.retired and not is_needed:
            with suppress(Conflict):  # an operator has given it an alias
                context.ledger.retire(version.ref, reason="an old trial", epoch=context.epoch)


def _decided(context: Context, family: Family) -> set[str]:
    """Return the trials that became a merge or a rank, that a proposal rests on, or that go on."""
    ledger = context.ledger
    open_ones = [proposal.decision for proposal in ledger.proposals(family.root, rest=0)]
    found = [*open_ones, *family.approved]
    _, trial = family.rank_trial
    pending: set[str] = set() if trial is None else {f"{family.rank_trials}@{trial.start}"}
    for _, memory in family.members.values():
        for ref in (memory.merged_into, memory.ranks.changed):
            number = None if ref is None else ledger.registry.version(ref).tags.get("decision")
            if number is not None:
                found += ledger.registry.decisions(since=int(number) - 1, limit=1)
    return pending | {str(decision.payload.get("target", "")) for decision in found}
