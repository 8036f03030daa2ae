"""Words in a report: names of nodes, numbers for people. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from ..store import NodeRecord


def node_names(nodes: Mapping[str, NodeRecord]) -> dict[str, str]:
    """Return identity -> name, with a piece of the identity where two nodes share a name."""
    counts = Counter(node.name for node in nodes.values())
    return {
        identity: node.name if counts[node.name] == 1 else f"{node.name} {identity[:6]}"
        for identity, node in nodes.items()
    }


def named(identity: str, names: Mapping[str, str]) -> str:
    """Return a node's name, or the beginning of its identity if it has none on record."""
    return names.get(identity) or identity[:12]


def fit(text: str, length: int) -> str:
    """Cut a text to a length, with a mark that it was cut."""
    return text if len(text) <= length else text[: length - 1] + "\u2026"


def figure(value: float) -> str:
    """Write a measured number with three digits that count."""
    if not math.isfinite(value):
        return "\u221e" if value > 0 else "\u2212\u221e"
    return f"{value:.3g}".replace("-", "\u2212")


def signed(value: float) -> str:
    """Write a change with its sign."""
    return f"{value:+.2f}".replace("-", "\u2212")
