"""What a run of ours leaves on record, held against the product's own words for it."""

from __future__ import annotations

from collections import Counter

from polyrank.store import AdaptationPolicy, Decision, Evidence, Registry, Review, replays
from polyrank.store._decide_scene import Signs, signs


def reviews(registry: Registry) -> list[Evidence]:
    """Return the evidence of every review of a run."""
    return [one for one in registry.evidence(limit=1000) if one.kind == "review"]


def window_signs(evidence: Evidence, policy: AdaptationPolicy) -> list[Signs]:
    """Return what each window of a review shows that has a full base to be compared with."""
    nodes = Review.from_json(evidence.payload["review"]).nodes
    return [signs(node, policy) for node in nodes if node.base_windows >= policy.base_windows]


def alarms(registry: Registry) -> dict[str, int]:
    """Count windows, the first without a full base left out, and those above each threshold."""
    found: Counter[str] = Counter(windows=0, loss=0, novelty=0, labels=0, severe=0, any=0)
    for evidence in reviews(registry):
        policy = AdaptationPolicy.from_json(evidence.payload["policy"])
        review = Review.from_json(evidence.payload["review"])
        if review.number > policy.base_windows:
            found["windows"] += len(review.nodes) + sum(review.quiet.values())
        for sign in window_signs(evidence, policy):
            found["loss"] += sign.harm
            found["novelty"] += sign.novel
            found["labels"] += sign.prior
            found["severe"] += sign.severe
            found["any"] += sign.harm or sign.novel or sign.prior
    return dict(found)


def replayed(registry: Registry) -> dict[str, int]:
    """Decide every review again from its evidence; count those that come out byte for byte."""
    chosen: dict[int, list[Decision]] = {}
    for decision in registry.decisions(limit=1000):
        chosen.setdefault(decision.evidence[0], []).append(decision)
    found = reviews(registry)
    same = [
        replays(one.payload, [decision.payload for decision in chosen.get(one.number, [])])
        for one in found
    ]
    return {"reviews": len(found), "same": sum(same)}
