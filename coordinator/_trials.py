"""Trial merges: published on a line of their own, so that anyone can look at what was judged."""

from __future__ import annotations

from ..store import Trial, Version
from ._context import Context
from ._families import Family
from ._line_table import Lines
from ._merging import merge


class Trials:
    """Publishes trial merges; each is made once, and found again in the records."""

    def __init__(self, context: Context, lines: Lines) -> None:
        self._context = context
        self._lines = lines

    def publish(self, family: Family, trial: Trial, number: int) -> Version:
        """Return the trial merge of two members' newest versions, for one review."""
        context, ledger = self._context, self._context.ledger
        keep, absorb = self._lines[trial.keep].head, self._lines[trial.absorb].head
        assert keep is not None, "members have versions"
        assert absorb is not None, "members have versions"
        self._lines.make_trials(family, family.trials, epoch=context.epoch)
        tags = {"keep": trial.keep, "absorb": trial.absorb, "review": str(number)}
        for version in ledger.registry.versions(family.trials).items:
            if dict(version.tags) == tags:
                return version  # made before
        made = merge(ledger, keep, absorb, limits=context.limits)
        version = ledger.publish(
            family.trials,
            made.data,
            profile=made.profile,
            parents=made.parents,
            origin="trial",
            metrics=made.metrics,
            tags=tags,
            idempotency_key=f"review {number} {trial.keep} {trial.absorb}",
            epoch=context.epoch,
        )
        self._lines[family.trials].adopt(version)
        context.log.info("trial_merged", adapter=family.root, trial=version.ref, keep=keep.ref,
                         absorb=absorb.ref)  # fmt: skip
        return version
