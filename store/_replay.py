"""Decide again from what was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from ._decide import decide
from ._decide_choice import choices_to_json
from ._errors import InvalidValue
from ._json import dumps
from ._policy import AdaptationPolicy
from ._review import Review


def replay(payload: Mapping[str, Any]) -> bytes:
    """Return the canonical JSON of the choices that recorded evidence leads to.

    Compare with the canonical JSON of the recorded choices: the same evidence gives the same
    bytes.

    Args:
        payload: the evidence's payload: {"review": ..., "policy": ...}; other keys are let be.

    Raises:
        InvalidValue: if it holds no review or no policy, or one that cannot be right.
    """
    found = cast("object", payload)
    if not isinstance(found, Mapping):
        raise InvalidValue("payload", "not a JSON object")
    review = Review.from_json(payload.get("review"), field="review")
    policy = AdaptationPolicy.from_json(payload.get("policy"), field="policy")
    return dumps(choices_to_json(decide(review, policy))).encode()


def replays(payload: Mapping[str, Any], recorded: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether recorded evidence leads to the recorded choices again, byte for byte.

    Args:
        payload: the evidence's payload.
        recorded: the payloads of the decisions that a review recorded with it, in order.

    Raises:
        InvalidValue: as `replay`.
    """
    return replay(payload) == dumps(list(recorded)).encode()
