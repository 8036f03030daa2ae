"""Which place of the frozen model a node's features come from: a label, compared by equality."""

from __future__ import annotations

import re
from collections.abc import Iterable

_INDEX = re.compile(r"(?:^|\.)(\d+)(?:\.|$)")


def place_of(modules: Iterable[str]) -> str:
    """Name the place by the adapted modules: what enters their lowest layer, or the model's end.

    Features are the mean input of the lowest adapted layer (see ``PeftTrainer.features``), so
    nodes that adapt other layers have features that look alike and cannot be compared. A card has
    the modules' names, so nodes need not say more.

    Example:
        >>> place_of(["bert.encoder.layer.5.attention.self.query"])
        'into layer 5'
        >>> place_of(["layer.0.query", "layer.1.query"]), place_of(["hidden"])
        ('end', 'end')
    """
    found = [int(match[1]) for name in modules if (match := _INDEX.search(name))]
    lowest = min(found, default=0)
    return f"into layer {lowest}" if lowest else "end"
