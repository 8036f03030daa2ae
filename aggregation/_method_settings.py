"""Which methods of aggregation there are, how nodes may start, and what cannot go together.

Free of torch, so that a configuration can be checked without it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from ._errors import ArgumentError
from ._ranks import check_number

MethodName: TypeAlias = Literal[
    "stacking", "fedit", "hetlora", "flexlora", "ffa", "fedex", "florist", "rolora"
]
"""The methods, by the names of their papers; `stacking` is the default."""

Starting: TypeAlias = Literal[
    "warm", "fresh-random", "fresh-spectral", "leading", "leading-b", "leading-a"
]
"""How a node begins a round; see `begin`."""

StackingStart: TypeAlias = Literal["warm", "fresh-random", "fresh-spectral"]
"""The starts that `stacking` leaves to the user."""

METHODS: tuple[MethodName, ...] = get_args(MethodName)
STARTS: tuple[Starting, ...] = get_args(Starting)
STACKING_STARTS: tuple[StackingStart, ...] = get_args(StackingStart)

DEFAULT_START: StackingStart = "warm"
DEFAULT_ENERGY = 0.99

_METHOD_OF: dict[str, MethodName] = {name: name for name in METHODS}
_START_OF: dict[str, StackingStart] = {name: name for name in STACKING_STARTS}
_OWN_START = {
    "fedit": "nodes go on from the first slots of the averaged factors",
    "hetlora": "nodes go on from the first slots of the averaged factors",
    "flexlora": "nodes go on from the best part of their rank, with nothing beneath it",
    "ffa": "`a` keeps its first random values for ever, so there is no warm or fresh start",
    "fedex": "nodes go on from the averaged factors over a frozen residual",
    "florist": "nodes begin anew over the frozen state",
    "rolora": "nodes go on from the averaged factors, one of them frozen",
}


def check_method(
    name: str, *, start: str | None = None, energy: float | None = None
) -> tuple[MethodName, StackingStart, float]:
    """Check a method and its options; return them with defaults filled in.

    Args:
        name: one of `METHODS`.
        start: of stacking alone: "warm" (default), "fresh-random" or "fresh-spectral".
        energy: of florist alone: the share of the squared norm of a round's change that is kept,
            in (0, 1], by default 0.99.

    Raises:
        ArgumentError: another name, an option that the method does not have, or a value out of
            its range; the message says why.

    Example:
        >>> check_method("stacking")
        ('stacking', 'warm', 0.99)
    """
    found = _METHOD_OF.get(name)
    if found is None:
        raise ArgumentError("unknown method", expected=", ".join(METHODS), got=repr(name))
    if start is not None and found != "stacking":
        raise ArgumentError(
            f"method {found} has a start of its own: {_OWN_START[found]}; leave start out",
            got=repr(start),
        )
    begun = _START_OF.get(start or DEFAULT_START)
    if begun is None:
        raise ArgumentError("unknown start", expected=", ".join(STACKING_STARTS), got=repr(start))
    if energy is not None and found != "florist":
        raise ArgumentError(f"method {found} has no energy: it is florist's", got=energy)
    share = DEFAULT_ENERGY if energy is None else energy
    words = "energy is a share in (0, 1]"
    if not 0.0 < check_number(share, words) <= 1.0:
        raise ArgumentError(words, got=energy)
    return found, begun, share
