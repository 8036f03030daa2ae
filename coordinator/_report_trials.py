"""The trial merges: what each would have cost each side, and what was decided. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..store import SideEvidence, TrialEvidence
from ._report_records import Recorded


@dataclass(frozen=True)
class Tried:
    """One trial merge; `decision` is the number of the merge that took it over, if one did."""

    review: int
    trial: TrialEvidence
    tolerance: float
    decision: int | None
    state: str

    @property
    def sides(self) -> tuple[SideEvidence, ...]:
        """What each side's nodes would have lost, the line that goes on first."""
        return tuple(sorted(self.trial.sides, key=lambda side: side.adapter != self.trial.keep))

    @property
    def outcome(self) -> str:
        """What came of it, in words."""
        if self.decision is not None:
            return f"merge, {self.state} (decision {self.decision})"
        if not self.trial.sides:
            return "not merged: nobody judged it"
        worst = max(side.loss_change for side in self.trial.sides)
        return "not merged: too dear" if worst > self.tolerance else "not merged"


def tried(recorded: Recorded) -> list[Tried]:
    """List the trial merges, newest first."""
    merges = {d.subject: d for d in recorded.decisions if d.kind == "merge"}
    found: list[Tried] = []
    for look in reversed(recorded.reviews):
        for trial in look.review.trials:
            made = merges.get(trial.trial)
            state = made.state.replace("_", " ") if made else ""
            number = made.number if made else None
            found.append(
                Tried(look.review.number, trial, look.policy.merge_tolerance, number, state)
            )
    return found
