"""Version 0 of a line: rank 0 on every target module, heads with their initial values.

Or, where the configuration says so, what other lines have learnt (`_cold_start.py`).

All nodes start from these bytes, so all heads start alike. Every step can be repeated: a crash in
between leaves records that the next attempt finds and keeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ..aggregation import Limits, encode, profile
from ..client._protocol import Card
from ..store import AlreadyExists, Ledger, Version
from ._base import Base, Disagreement, agree
from ._cold_start import cold_start
from ._config import AdapterConfig


def publish_initial(
    ledger: Ledger,
    name: str,
    config: AdapterConfig,
    cards: Mapping[str, Card],
    *,
    limits: Limits,
    epoch: int,
) -> Version | Disagreement:
    """Settle the base from the nodes' cards (by identity), record it, and publish version 0."""
    base = agree(cards.values(), fingerprint=config.fingerprint, targets=config.target_modules)
    if isinstance(base, Disagreement):
        return base
    start = cold_start(ledger.registry, name, config, base, limits=limits)
    if isinstance(start, Disagreement):
        return start
    try:
        ledger.register_base_model(
            config.base_model, fingerprint=base.fingerprint, metadata=_metadata(base), epoch=epoch
        )
    except AlreadyExists:
        return Disagreement(
            f"the nodes have base model {base.fingerprint[:12]}, but the registry knows "
            f"{config.base_model!r} with another fingerprint: load that checkpoint on the nodes, "
            f"or give adapters.{name}.base_model another name"
        )
    ledger.create_adapter(name, base_model=config.base_model, epoch=epoch)
    votes = Counter(card.fingerprint for card in cards.values())
    ledger.record_evidence(
        "base_agreement",
        adapter=name,
        subject=config.base_model,
        payload={"adopted": base.fingerprint, "votes": dict(votes), "nodes": sorted(cards)},
        epoch=epoch,
    )
    return ledger.publish(
        name,
        encode(start.adapter),
        profile=profile(start.adapter).to_json(),
        parents=start.parents,
        origin="initial",
        metrics={"discarded": start.discarded} if start.parents else {},
        idempotency_key="initial",
        epoch=epoch,
    )


def _metadata(base: Base) -> dict[str, object]:
    return {"modules": len(base.modules), "dense": len(base.dense)}
