"""A node's answer about its window: unverified bytes until `check_window` returns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from ..aggregation import AdapterError, Paired, Summary, SummarySpec
from ..client._protocol import TaskEnvelope
from ._flower import Incoming
from ._replies import BadReply

MAX_ANSWER_BYTES = 64 * 1024
MAX_ROWS = 1_000_000  # of a window: sums weigh by the rows that they claim
_PAIRED = {"count", "sum", "square_sum"}
_ROUNDING = 1e-6


def check_window(answer: Incoming, task: TaskEnvelope) -> dict[str, Any] | None:
    """Return what goes on record of a window: `{"summary": …}`, `{"paired": …}`, or None.

    Beside a summary there is `{"gate": …}` if the task asked for it and the node could say it.
    None when the task asked for none, or the node's software does not know windows.

    Raises:
        BadReply: no JSON object, another federation's summary, or impossible numbers.
    """
    window = cast("Mapping[str, Any] | None", task.config.get("window"))
    if window is None or not len(answer.blob):
        return None
    values = _parsed(answer)
    try:
        spec = SummarySpec.from_json(window["spec"])
        if "against" in window:
            return {"paired": asdict(_paired(values.get("paired"), spec))}
        found: dict[str, Any] = {"summary": _summary(values.get("summary"), spec).to_json()}
        if "gate" in window and "gate" in values:
            found["gate"] = asdict(_paired(values["gate"], spec))
        return found
    except AdapterError as error:
        raise BadReply(f"the answer about the window cannot be used: {error}") from error


def _summary(values: object, spec: SummarySpec) -> Summary:
    return Summary.from_json(values, spec, max_count=MAX_ROWS)


def _paired(values: object, spec: SummarySpec) -> Paired:
    if not isinstance(values, dict) or set(cast("dict[str, Any]", values)) != _PAIRED:
        raise BadReply(f"the comparison on the window has not the fields {sorted(_PAIRED)}")
    found = Paired(**cast("dict[str, Any]", values))
    limit = found.count * spec.max_loss * (1 + _ROUNDING)
    if (
        not 0 < found.count <= MAX_ROWS
        or abs(found.sum) > limit
        or found.square_sum > limit * spec.max_loss
    ):
        raise BadReply(
            "the comparison on the window has differences beyond the clip, no rows, or too many"
        )
    return found


def _parsed(answer: Incoming) -> Mapping[str, Any]:
    if len(answer.blob) > MAX_ANSWER_BYTES:
        raise BadReply(f"an answer of {len(answer.blob)} bytes about a window is above the limit")
    try:
        values: object = json.loads(bytes(answer.blob))
    except (ValueError, RecursionError) as error:
        raise BadReply(f"the answer about the window is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise BadReply("the answer about the window is not a JSON object")
    return cast("Mapping[str, Any]", values)
