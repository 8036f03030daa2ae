"""Nodes in Ray actors: several work at once, over the cores of this machine or of a cluster.

A node lives in one actor from its first message on, with its model, its data and its cache, as a
node of a real federation lives in its process. So nothing but messages travels, and each node gets
its messages in the order in which they were sent: the bytes are those of one process.
"""

from __future__ import annotations

import contextlib
import pickle
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar, cast

from ..client._wire import Failure, Incoming
from ._errors import EngineError
from ._flower_ray import Slot, capacity, check_installed, pickled, ray_running
from ._replies import one_line
from ._simulation_actor import APPLY, INTERRUPTED, SETTLE, Outcome, Settlement, handle
from ._simulation_engine import Engine
from ._simulation_node import SimulatedNode

T = TypeVar("T")
_NAMED: Final = 5  # so many nodes of an actor are named in an error


class RayEngine(Engine):
    """Computes answers in Flower's Ray actors; Ray is started with the first message.

    Args:
        cpus: of the machine for each actor.
        gpus: likewise; a part, such as .25, lets several actors share one.

    Raises:
        ConfigError: Ray is not installed.
    """

    def __init__(self, *, cpus: float = 1.0, gpus: float = 0.0) -> None:
        check_installed()
        self._resources = {"num_cpus": cpus, "num_gpus": gpus}
        self._undo = contextlib.ExitStack()
        self._capacity = 0  # known when Ray runs
        self._slots: list[Slot] = []
        self._places: dict[str, int] = {}  # identity -> slot
        self._newcomers: dict[str, SimulatedNode] = {}
        self._begun: dict[str, Future[Incoming | Failure]] = {}  # by message id
        self._names: dict[str, str] = {}

    def join(self, node: SimulatedNode) -> None:
        """Take in a node; it moves to its actor with the next message to anybody."""
        self._names[node.identity] = node.name
        if node.identity not in self._places:
            node.check_at_home()
            self._newcomers[node.identity] = node

    def leave(self, node: SimulatedNode) -> None:
        """Keep the node where it is: it may join again; one that has not moved stays at home."""
        self._newcomers.pop(node.identity, None)

    def begin(self, node: SimulatedNode, message: Incoming) -> None:
        """Queue a message at the node's actor."""
        if message.message_id not in self._begun:
            self._settle()
            slot = self._slots[self._places[node.identity]]
            self._begun[message.message_id] = slot.submit(node.identity, message)

    def answer(self, node: SimulatedNode, message: Incoming) -> Incoming | Failure:
        """Wait for a node's answer; raises EngineError when its actor has died."""
        self.begin(node, message)
        answer = self._result(self._begun[message.message_id], node.identity)
        if isinstance(answer, Failure) and answer.code == INTERRUPTED:
            self.forget(message.message_id)  # asked again, the node tries again
            raise KeyboardInterrupt
        return answer

    def forget(self, message_id: str) -> None:
        """Drop an answer."""
        self._begun.pop(message_id, None)

    def apply(self, node: SimulatedNode, act: Callable[[Any], T]) -> T:
        """Call `act` in the node's actor, after what it was asked before.

        Raises:
            EngineError: `act` cannot be sent there; the actor has died.
        """
        self._settle()
        future = self._ask(self._places[node.identity], APPLY, self._packed(act), node.identity)
        answer = self._result(future, node.identity)
        assert isinstance(answer, Incoming), "only Ctrl-C in a task is a failure"
        outcome = cast("Outcome", pickle.loads(answer.blob))
        if outcome.error is not None:
            raise outcome.error
        return cast("T", outcome.value)

    def close(self) -> None:
        """End all actors, and Ray if it was started here."""
        for slot in self._slots:
            slot.close()
        self._slots.clear()
        self._undo.close()

    def _settle(self) -> None:
        """Move those who have joined to their actors, all that share one in one piece."""
        if not self._newcomers:
            return
        import torch

        threads = torch.get_num_threads()
        self._start(threads)
        groups: dict[int, list[SimulatedNode]] = {}
        for node in self._newcomers.values():
            groups.setdefault(self._next_place(groups), []).append(node)
        things = [Settlement(tuple(nodes), threads) for nodes in groups.values()]
        data = [self._packed(thing) for thing in things]  # all can be sent, or none is
        sent = [self._ask(place, SETTLE, blob) for place, blob in zip(groups, data, strict=True)]
        for place, nodes in groups.items():
            for node in nodes:
                self._places[node.identity] = place
                node.move_away("a Ray actor")
        self._newcomers.clear()
        for nodes, done in zip(groups.values(), sent, strict=True):
            self._result(done, nodes[0].identity)

    def _start(self, threads: int) -> None:
        if not self._capacity:
            self._undo.enter_context(ray_running(threads))
            self._capacity = capacity(self._resources)

    def _next_place(self, coming: Mapping[int, Sequence[SimulatedNode]]) -> int:
        """Return the actor with the fewest nodes; a new one while there is room."""
        if len(self._slots) < self._capacity:
            self._slots.append(Slot(handle, self._resources))
            return len(self._slots) - 1
        taken = Counter(self._places.values())
        taken.update({place: len(nodes) for place, nodes in coming.items()})
        return min(range(len(self._slots)), key=lambda place: taken[place])

    def _ask(
        self, place: int, kind: str, data: bytes, identity: str = ""
    ) -> Future[Incoming | Failure]:
        message = Incoming("", 0, 0, kind, b"", b"", data)
        return self._slots[place].submit(identity, message)

    def _packed(self, thing: object) -> bytes:
        try:
            return pickled(thing)
        except Exception as error:
            raise EngineError(f"{self._culprit(thing)} cannot be sent to a Ray actor: "
                              f"{one_line(str(error))}") from error  # fmt: skip

    def _culprit(self, thing: object) -> str:
        """Name what cannot be pickled."""
        for node in thing.nodes if isinstance(thing, Settlement) else ():
            try:
                pickled(node)
            except Exception:
                return f"node {node.name!r}"
        return "the function"

    def _result(self, future: Future[Incoming | Failure], identity: str) -> Incoming | Failure:
        try:
            return future.result()
        except Exception as error:
            place = self._places[identity]
            living = [self._names[i] for i, at in self._places.items() if at == place]
            raise EngineError(
                f"the Ray actor of {_some(living)} has failed: {one_line(str(error))}"
            ) from error


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
