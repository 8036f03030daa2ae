"""Pieces of sentences: counts, numbers, ranges."""

from __future__ import annotations

from collections.abc import Sequence


def nodes(count: int) -> str:
    """Return "1 node" or "3 nodes"."""
    return f"{count} node{'' if count == 1 else 's'}"


def verb(count: int, one: str, many: str) -> str:
    """Return the form of a verb that fits the count."""
    return one if count == 1 else many


def nats(value: float) -> str:
    """Return a loss with two decimals, or with two digits where those would show nothing."""
    text = f"{value:.2f}" if abs(value) >= 0.01 or not value else f"{value:.2g}"
    return "0.00" if text == "-0.00" else text


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """Return up to three numbers, greatest first, or the range of more."""
    shown = [format(value + 0.0, form) for value in sorted(values, reverse=True)]
    if len(shown) > 3:
        return f"{shown[-1]} to {shown[0]}"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def chance(value: float) -> str:
    """Return a probability in two digits."""
    return f"{value:.2g}"
