"""Words in a report: names of nodes, numbers for people. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping

from ..store import NodeRecord

# an identity, whole or as reasons shorten it: its beginning and a mark
_IDENTITY = re.compile(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\u2026")


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


def spoken(reason: str, names: Mapping[str, str]) -> str:
    """Return a reason with the names of nodes in the place of their identities.

    A reason is recorded for good, and with identities, since names change hands; people read names.
    """

    def name(found: re.Match[str]) -> str:
        beginning = found[0].rstrip("\u2026")
        fitting = [known for identity, known in names.items() if identity.startswith(beginning)]
        return fitting[0] if len(fitting) == 1 else found[0]

    return _IDENTITY.sub(name, reason)


def fit(text: str, length: int) -> str:
    """Cut a text to a length, with a mark that it was cut."""
    return text if len(text) <= length else text[: length - 1] + "\u2026"


def figure(value: float) -> str:
    """Write a measured number with three digits that count."""
    if not math.isfinite(value):
        return "\u221e" if value > 0 else "\u2212\u221e"
    return f"{value:.3g}".replace("-", "\u2212")


def signed(value: float, digits: int = 2) -> str:
    """Write a change with its sign."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "\u2212")
