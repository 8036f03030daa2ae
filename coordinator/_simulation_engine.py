"""Where the nodes of a simulation work: one after the other in this process, or elsewhere.

An engine changes where and when an answer is computed, never what it is: each node gets its tasks
in the order in which they were sent, and the driver takes answers in its own order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ..client._wire import Failure, Incoming
from ._errors import ConfigError
from ._simulation_node import SimulatedNode

T = TypeVar("T")
ENGINES: Final = ("in-process", "ray")


class Engine(ABC):
    """Works for the nodes of one simulation."""

    @abstractmethod
    def join(self, node: SimulatedNode) -> None:
        """Take in a node; one that is known already goes on where it was."""

    @abstractmethod
    def leave(self, node: SimulatedNode) -> None:
        """Take note that a node has left; it may join again."""

    @abstractmethod
    def begin(self, node: SimulatedNode, message: Incoming) -> None:
        """Start on a message if there is time; asked again with the same one, do nothing."""

    @abstractmethod
    def answer(self, node: SimulatedNode, message: Incoming) -> Incoming | Failure:
        """Return a node's answer to a message; asked again, it may be made again.

        Raises:
            EngineError: whatever computes it is gone.
        """

    @abstractmethod
    def forget(self, message_id: str) -> None:
        """Drop the answer to a message that nobody waits for."""

    @abstractmethod
    def apply(self, node: SimulatedNode, act: Callable[[Any], T]) -> T:
        """Call `act` with a node's trainer where that is, and return what it returns."""

    @abstractmethod
    def close(self) -> None:
        """Give back what was taken; harmless when closed."""


class InProcess(Engine):
    """A node works when its answer is asked for: one answer at a time, none in memory before."""

    def join(self, node: SimulatedNode) -> None:
        """Raise EngineError when the node lives in another process."""
        node.check_at_home()

    def leave(self, node: SimulatedNode) -> None:
        """Do nothing."""

    def begin(self, node: SimulatedNode, message: Incoming) -> None:
        """Do nothing yet."""

    def forget(self, message_id: str) -> None:
        """Do nothing: nothing is kept."""

    def close(self) -> None:
        """Do nothing."""

    def answer(self, node: SimulatedNode, message: Incoming) -> Incoming | Failure:
        """Let the node work."""
        return node.answer(message)

    def apply(self, node: SimulatedNode, act: Callable[[Any], T]) -> T:
        """Call `act` here."""
        return node.apply(act)


def engine_of(given: str | Engine) -> Engine:
    """Return an engine by its name; one that is made already as it is.

    Raises:
        ConfigError: no such engine, or what it needs is not installed.
    """
    if isinstance(given, Engine):
        return given
    if given == "in-process":
        return InProcess()
    if given == "ray":
        from ._simulation_ray import RayEngine

        return RayEngine()
    raise ConfigError(f"no engine is called {given!r}: use one of {', '.join(ENGINES)}")
