"""What runs in a Ray actor: nodes that live in its process, and what is asked of them."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from typing import Any, Final

from ..client._wire import Failure, Incoming
from ._flower_ray import pickled
from ._simulation_node import SimulatedNode
from ._simulation_open import quiet_nodes

SETTLE: Final = "settle"  # the blob is a pickled `Settlement`
APPLY: Final = "apply"  # the blob is a pickled function of the trainer; answered by an `Outcome`
INTERRUPTED: Final = -1  # code of a Failure: Ctrl-C, in a trainer's own code

_here: dict[str, SimulatedNode] = {}


@dataclass(frozen=True)
class Settlement:
    """Nodes that come to live here; what they share they go on sharing.

    Attributes:
        nodes: which have not worked yet.
        threads: that torch uses where they come from; another number would be other bytes.
    """

    nodes: tuple[SimulatedNode, ...]
    threads: int


@dataclass(frozen=True)
class Outcome:
    """What a function returned, or raised."""

    value: Any = None
    error: BaseException | None = None


def handle(identity: str, message: Incoming) -> Incoming | Failure:
    """Do what a message asks of a node, and return its answer."""
    with quiet_nodes():
        if message.kind == SETTLE:
            return replace(message, blob=_settle(message.blob))
        node = _here[identity]
        if message.kind == APPLY:
            return replace(message, blob=_apply(node, message.blob))
        try:
            return node.answer(message)
        except KeyboardInterrupt:
            return Failure(message.message_id, message.node_id, INTERRUPTED, "interrupted")


def _settle(blob: bytes | bytearray | memoryview) -> bytes:
    import torch

    found: Settlement = pickle.loads(blob)
    torch.set_num_threads(found.threads)
    _here.update({node.identity: node for node in found.nodes})
    return b""


def _apply(node: SimulatedNode, blob: bytes | bytearray | memoryview) -> bytes:
    try:
        outcome = Outcome(node.apply(pickle.loads(blob)))
        return pickled(outcome)
    except Exception as error:
        return _told(error)


def _told(error: Exception) -> bytes:
    """Return an error as an outcome; one that cannot travel as a RuntimeError with its words."""
    try:
        data = pickled(Outcome(error=error))
        pickle.loads(data)
    except Exception:
        return pickled(Outcome(error=RuntimeError(f"{type(error).__name__}: {error}")))
    return data
