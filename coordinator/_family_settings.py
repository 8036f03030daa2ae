"""What a family takes over from its settings when it begins, and that cannot change any more."""

from __future__ import annotations

from typing import Any

from ..aggregation import SummarySpec
from ._actions import based
from ._config import MAX_CLASSES
from ._errors import StoreMismatch
from ._families import Family
from ._lines import Line


def first_payload(family: Family, root: Line) -> dict[str, Any]:
    """Return the record of a family that begins: what its nodes are asked of their windows."""
    classes = family.config.continual.classes
    spec = SummarySpec(
        seed=family.config.seed, classes=_classes(root) if classes is None else classes
    )
    return {"spec": spec.to_json(), "steps": _steps(root), "reviewed": {}}


def ignored_settings(family: Family) -> list[str]:
    """Compare the configuration with what the family began with.

    Returns:
        One line for each setting that has changed and changes nothing.

    Raises:
        StoreMismatch: labels are to be counted in another number of classes than the windows on
            record are: nothing could be compared with them.
    """
    if not family.exists:
        return []
    spec, config = family.spec, family.config
    wanted, counted = config.continual.classes, spec.get("classes")
    if wanted is not None and wanted != counted:
        raise StoreMismatch(
            f"adapters.{family.root}.continual.classes is {wanted}, but this family's windows are "
            f"counted in {counted} classes since its first review: set it to {counted} or remove "
            "it, or begin a new line",
            adapter=family.root,
        )
    if config.seed == spec.get("seed"):
        return []
    return [
        f"adapters.{family.root}.seed is {config.seed} now: later rounds draw from it, but the "
        f"summaries of this family go on with {spec.get('seed')}, so that windows can be compared"
    ]


def _classes(line: Line) -> int:
    """Guess how many classes there are: the outputs of the smallest matrix of the head."""
    matrices = [shape for shape in based(line).dense.values() if len(shape) == 2]
    guess = min((shape[0] for shape in matrices), default=0)
    return guess if 2 <= guess <= MAX_CLASSES else 0


def _steps(root: Line) -> int:
    """Return how many steps a line has behind it, less the one that its first review counts."""
    head = root.head
    assert head is not None
    return max(head.number - (head.round is not None), 0)
