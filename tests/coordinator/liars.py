"""Nodes that sign whatever they like about their windows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from polyrank.client._protocol import ReplyEnvelope, blob_digest, sign
from polyrank.client._wire import Failure, Incoming
from polyrank.coordinator._simulation_node import SimulatedNode

from .family_world import World

Lie = Callable[[dict[str, Any]], object]

CLIP = 10.0  # a SummarySpec's max_loss


class Liar(SimulatedNode):
    """A node that does as it should, but for what `lie` makes of its answers about windows."""

    lie: Lie | None = None

    def answer(self, incoming: Incoming) -> Incoming | Failure:
        answer = super().answer(incoming)
        if self.lie is None or not isinstance(answer, Incoming) or answer.kind != "evaluate":
            return answer
        if not bytes(answer.blob).startswith(b"{"):
            return answer  # an update, or an answer without a window
        values = json.loads(bytes(answer.blob))
        self.lie(values)
        blob = json.dumps(values).encode()
        reply = replace(ReplyEnvelope.from_bytes(answer.envelope), blob_digest=blob_digest(blob))
        envelope = reply.to_bytes()
        return replace(answer, envelope=envelope, signature=sign(self.key, envelope), blob=blob)


class LyingWorld(World):
    kind = Liar
    nodes: dict[str, Liar]  # pyright: ignore[reportIncompatibleVariableOverride]

    def let_lie(self, lie: Lie | None, *names: str) -> None:
        for name in names:
            self.nodes[name].lie = lie


def dreadful(values: dict[str, Any]) -> None:
    """As bad a window as can be: each loss at the clip, each row wrong."""
    if "summary" in values:
        found = values["summary"]
        found["loss_sum"] = CLIP * found["count"]
        found["loss_square_sum"] = CLIP**2 * found["count"]
        found["correct_counts"] = [0] * len(found["correct_counts"])


def delighted(values: dict[str, Any]) -> None:
    """Whatever is compared with its own adapter is better by all that can be."""
    if "paired" in values:
        count = values["paired"]["count"]
        values["paired"].update(sum=CLIP * count, square_sum=CLIP**2 * count)


def both(values: dict[str, Any]) -> None:
    dreadful(values)
    delighted(values)
