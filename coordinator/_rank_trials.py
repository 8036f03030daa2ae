"""Trials at twice the rank: one round beside a member's own, on a line that holds nothing else.

A review asks for a trial; the version that the member goes on from is published on the family's
line of rank trials. When the member's own round from there is over, its nodes train that start at
the greater rank in a round of the ordinary kind, and only then is the member's new version
evaluated: on rows that neither has seen. In the next review the same nodes score the trial on the
same rows. One trial at a time in a family. Everything is on record before it is acted upon.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ..aggregation import Paired
from ..store import (
    Parent,
    RankEvidence,
    RankTrial,
    Review,
    TaskRecord,
    Version,
)
from ._context import Context
from ._families import Family
from ._line_table import Lines
from ._lines import Line
from ._observe import Window
from ._rank_evidence import Judged, flat_rounds, progress, ranks_of
from ._rank_memory import RankMemory, RankTry, after_review
from ._rules import Rules


class RankTrials:
    """Asks for trials, has them judged, and says what a review knows of ranks."""

    def __init__(self, context: Context, lines: Lines, rules: Rules) -> None:
        self._context = context
        self._lines = lines
        self._rules = rules

    def questions(
        self, family: Family, windows: Iterable[Window]
    ) -> Iterable[tuple[Line, Version, str]]:
        """Return what to ask of whom: each node with a window of its member scores the trial."""
        member, version = self._trained(family)
        if version is not None:
            line = self._lines[family.rank_trials]
            for window in windows:
                if window.adapter == member:
                    yield line, version, window.identity

    def evidence(
        self,
        family: Family,
        review: Review,
        tasks: Sequence[TaskRecord],
        answers: Mapping[str, Mapping[str, Any]],
    ) -> tuple[RankEvidence, ...]:
        """Return what a review knows of ranks, once its questions are answered."""
        member, version = self._trained(family)
        judged: Judged = {}
        if version is not None:
            own = sorted((t for t in tasks if t.adapter == version.adapter), key=_identity)
            found = [answers.get(task.key, {}).get("paired") for task in own]
            judged = {member: (version, [Paired(**pair) for pair in found if pair is not None])}
        return ranks_of(
            family,
            self._lines,
            review,
            judged,
            ledger=self._context.ledger,
            limits=self._context.limits,
        )

    def after(
        self, family: Family, review: Review, fresh: Collection[str]
    ) -> Mapping[str, RankMemory]:
        """Return what is remembered of each member's rank after a review.

        Publishes the start of a trial that the review asks for, or finds it from before a crash.
        """
        better = progress(review, family.policy)
        asked = self._asked(family, review, fresh)
        found: dict[str, RankMemory] = {}
        for name, (state, memory) in family.members.items():
            found[name] = after_review(
                memory.ranks,
                flat=flat_rounds(memory.ranks, is_better=better.get(name)),
                has_ended=name in fresh or state != "active",
                asked=asked.get(name),
            )
        return found

    def _trained(self, family: Family) -> tuple[str, Version | None]:
        """Return the member that was tried, and its trial where there is one to be judged."""
        member, trial = family.rank_trial
        version = family.heads.get(family.rank_trials)
        is_over = trial is not None and family.rank_stage(member) == "over"
        newest = family.rank_round
        if not is_over or version is None or newest is None or trial is None:
            return "", None
        has_made = newest.start_number == trial.start and version.round == newest.number
        return member, version if has_made else None

    def _asked(
        self, family: Family, review: Review, fresh: Collection[str]
    ) -> Mapping[str, RankTry]:
        present, trial = family.rank_trial
        if trial is not None and present not in fresh and present in family.active:
            return {}  # it is still to be trained or judged
        return {
            question.adapter: self._publish(family, question, review)
            for question in self._rules.questions(review, family.policy)
            if isinstance(question, RankTrial)
        }

    def _publish(self, family: Family, question: RankTrial, review: Review) -> RankTry:
        """Publish what the member goes on from as the start of its trial."""
        context, head = self._context, self._lines[question.adapter].head
        assert head is not None, "a member whose rank is known has a version"
        self._lines.make_trials(family, family.rank_trials, epoch=context.epoch)
        version = context.ledger.publish(
            family.rank_trials,
            context.ledger.registry.read(head.ref),
            profile=head.profile,
            parents=(Parent(adapter=head.adapter, number=head.number, role="source"),),
            origin="rank_trial",
            metrics=head.metrics,
            tags={
                "adapter": question.adapter,
                "review": str(review.number),
                "rank": str(question.rank),
            },
            idempotency_key=f"review {review.number} {question.adapter} {question.rank}",
            epoch=context.epoch,
        )
        self._lines[family.rank_trials].adopt(version)
        context.log.info("rank_trial_asked", adapter=question.adapter, trial=version.ref,
                         rank=question.rank, review=review.number)  # fmt: skip
        flat = next(r.flat_rounds for r in review.ranks if r.adapter == question.adapter)
        return RankTry(review.number, question.rank, head.number, version.number, flat)


def _identity(task: TaskRecord) -> str:
    return task.identity
