"""The settings of `decide` and `questions`: thresholds, patience and budgets."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any

from ._decide_fields import Bytes, Checked, Count, Nats, Positive, Real, Share, Whole
from ._errors import InvalidValue

Z = Annotated[float, Real(0, 40)]
Level = Annotated[float, Real(1e-9, 0.5)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptationPolicy(Checked):
    """How a family of adapters reacts to evidence.

    Thresholds on z and `merge_tolerance` come from windows without drift: the defaults are what
    `benchmarks/continual_calibrate.py` found (`benchmarks/results/continual_thresholds.json`).
    Losses are nats per row, times are reviews.

    Attributes:
        z_loss: a loss is above its base when z is above this.
        z_novelty: features are new when z is above this.
        z_prior: label frequencies have moved when z is above this.
        z_pair: another adapter is better when the paired z reaches this.
        min_harm: least rise of a loss, above its base or above the uninformed loss, that counts.
        min_gain: least gain by another adapter that counts.
        min_rows: a window with fewer rows moves nothing.
        base_windows: windows that a base needs before harm or novelty counts for more than a
            re-route; 8 at most, since a node's watch remembers them all.
        confirm: harmful windows, this one included, that confirm harm ...
        confirm_of: ... among the last so many.
        min_identities: distinct nodes behind an expansion, a merge or a change of rank; 2 or more.
        false_positive_rate: share of quiet windows whose z passes z_loss, and z_novelty.
        severe_rate: share of quiet windows that seem severe: harmful, no better than chance and
            worse than knowing nothing.
        expansion_level: greatest chance, for an adapter and a review, that false alarms alone
            would look like what an expansion rests on.
        pin_level: the same for a pin.
        refractory: reviews after a move in which a node is not moved again, but for one more move
            while its loss is above the uninformed one; and after a pin in which its adapter is not
            pinned again.
        max_probes: other adapters that a node in alarm is asked to score in one review.
        max_trials: trial merges in one review.
        provisional_age: age at which a provisional adapter is tried against its parent.
        merge_every: each so many reviews the other pairs are tried; a pair is tried at most once
            in so many.
        merge_tolerance: greatest mean loss change of a side that a merge may cost.
        merge_confidence: standard errors that are added to the change before it is compared. 0 asks
            for the mean alone, as the experiments did.
        veto_rest: reviews after a veto in which the same is not proposed again for these nodes.
        archive_after: reviews without a user after which an adapter is archived.
        rank_saturation: share of saturated modules from which more rank is worth a trial.
        rank_flat_rounds: rounds without progress before the rank changes.
        rank_every: a member is tried at twice its rank at most once in so many reviews.
        rank_confidence: standard errors that the gain of a trial at twice the rank must pass.
        shrink_below: the rank shrinks when this share of it would do.
        shrink_headroom: factor on the rank that would do, so that the next review does not find
            the smaller budget full.
        max_shrink_error: greatest relative Frobenius error of the cut.
        max_rank: greatest rank; None: no limit.
        max_adapters: most active adapters of the family.
        max_total_bytes: most bytes of the family, archived members included; None: no limit.
        gate_tolerance: most that a domain may lose by a new stable version, or must gain by going
            back to the one before.
        gate_confidence: standard errors that the loss of a single domain must pass; more where
            there are several (Bonferroni).
        gate_patience: times in a row that one identity alone can hold a candidate.
    """

    z_loss: Z = 2.33
    z_novelty: Z = 2.33
    z_prior: Z = 2.33
    z_pair: Z = 3.085
    min_harm: Nats = 0.02
    min_gain: Nats = 0.02
    min_rows: Positive = 8
    base_windows: Annotated[int, Whole(1, 8)] = 4
    confirm: Annotated[int, Whole(1, 8)] = 2
    confirm_of: Annotated[int, Whole(1, 8)] = 3
    min_identities: Annotated[int, Whole(2)] = 2
    false_positive_rate: Level = 0.01
    severe_rate: Level = 0.001
    expansion_level: Level = 0.001
    pin_level: Level = 0.05
    refractory: Count = 3
    max_probes: Positive = 8
    max_trials: Count = 2
    provisional_age: Positive = 2
    merge_every: Positive = 3
    merge_tolerance: Nats = 0.075
    merge_confidence: Z = 0.0
    veto_rest: Count = 8
    archive_after: Positive = 2
    rank_saturation: Share = 0.5
    rank_flat_rounds: Positive = 3
    rank_every: Positive = 8
    rank_confidence: Z = 1.0
    shrink_below: Share = 0.5
    shrink_headroom: Annotated[float, Real(1, 10)] = 1.25
    max_shrink_error: Share = 0.1
    max_rank: Positive | None = None
    max_adapters: Positive = 8
    max_total_bytes: Bytes | None = None
    gate_tolerance: Nats = 0.063
    gate_confidence: Z = 2.33
    gate_patience: Count = 3

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        if self.confirm > self.confirm_of:
            raise InvalidValue("confirm", f"{self.confirm} of {self.confirm_of} windows")

    def to_json(self) -> dict[str, Any]:
        """Return every setting, so that a later default does not change what was recorded."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
