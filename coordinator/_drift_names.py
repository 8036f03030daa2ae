"""What the drift of one node is called: its newest window against the windows before it. Pure.

Tests with a reference say whether something changed. What kind of change it is shows in the path:
the node's last windows, whatever has happened to adapter and reference in between. So a pin, which
makes a new reference of what was new, does not hide that the data go on changing. Reading a path
costs queries, so it is read only where there is something to name: where features are new to the
reference, where they just were, and until there is a reference again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..aggregation import DriftPath, DriftSigns, Summary, add, drift_kind, drift_path
from ..store import AdaptationPolicy
from ._watch import Watch

Kind = Literal["", "label_prior", "concept", "sudden", "gradual", "recurring"]
_OF_FEATURES: tuple[Kind, ...] = ("sudden", "gradual", "recurring")


@dataclass(frozen=True)
class Past:
    """What a node had before its newest window.

    Attributes:
        earlier: sums of the windows of references that were put aside.
        path: its last windows, newest last, in stretches, see `Watch.path`.
    """

    earlier: Sequence[Summary] = ()
    path: Sequence[Sequence[Summary]] = field(default_factory=list[Sequence[Summary]])


NOTHING: Callable[[], Past] = Past
"""For a node of which nothing is remembered."""


@dataclass(frozen=True)
class Named:
    """The name of a window's drift.

    Attributes:
        kind: the name; "": no drift, or none that can be named yet.
        is_turn: whether its data changed at once, so that a new stretch begins.
    """

    kind: Kind = ""
    is_turn: bool = False

    @property
    def lasting(self) -> str:
        """What is remembered of it."""
        return self.kind if self.kind in _OF_FEATURES else ""


def named(
    summary: Summary,
    watch: Watch,
    reference: Summary | None,
    signs: DriftSigns,
    policy: AdaptationPolicy,
    *,
    past: Callable[[], Past],
) -> Named:
    """Name the drift of a window.

    A window that is new to its reference and does not differ from the last ones has the name of
    the change that made them so: for as long as each window is new, and with a reference that was
    made while it changed.

    Args:
        summary: of the window.
        watch: what is remembered of its node.
        reference: the windows that its features were compared with; None: there were too few.
        signs: what the tests said.
        policy: thresholds.
        past: what the node had before.
    """
    limits = DriftSigns(policy.z_loss, policy.z_novelty, policy.z_prior)
    is_new = _is_new(signs.novelty, policy)
    was_new = bool(watch.shown) and _is_new(watch.shown[-1][1], policy)
    is_open = is_new or was_new or (reference is None and bool(watch.earlier))
    if not is_open or not len(summary.fourier_sum):
        return Named(drift_kind(signs, limits))
    path, length = _path(summary, None if is_new else reference, past(), policy.base_windows)
    kind = drift_kind(signs, limits, path)
    if kind:
        return Named(kind, is_turn=kind in ("sudden", "recurring"))
    is_recent = was_new or length <= policy.base_windows + 1
    return Named(_read(watch.named) if is_new and is_recent else "")


def _path(
    summary: Summary, reference: Summary | None, past: Past, windows: int
) -> tuple[DriftPath, int]:
    """Return how a window stands to those before it, and how many of its stretch there were."""
    stretches = [_fitting(stretch, summary) for stretch in past.path]
    *before, newest = stretches or [[]]
    earlier = _fitting(past.earlier, summary)
    earlier += [add(stretch[-windows:]) for stretch in before if stretch]
    if reference is not None:
        earlier.append(reference)
    last = before[-1] if before else ()
    return drift_path([*newest, summary], earlier, before=last), len(newest)


def _fitting(found: Iterable[Summary], summary: Summary) -> list[Summary]:
    """Leave out features of another width: the node has another model."""
    return [one for one in found if one.width == summary.width and len(one.fourier_sum)]


def _is_new(z: float | None, policy: AdaptationPolicy) -> bool:
    return z is not None and z > policy.z_novelty


def _read(name: str) -> Kind:
    found: list[Kind] = [kind for kind in _OF_FEATURES if kind == name]
    return found[0] if found else ""
