"""What the users of each member of a family have for data, and the routing table made of it.

A reference is a decayed mean of the windows that a member's users sent (see
`polyrank.aggregation.Reference`), kept with the member. It costs the nodes nothing: they send their
summaries anyway.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ..aggregation import (
    AdapterError,
    Reference,
    RouteTable,
    Summary,
    SummaryError,
    SummarySpec,
    add,
    blend,
    reference,
)
from ..client._wire_places import place_of
from ..store import Ledger, Registry
from ._observe import Finding, Window

KEPT_SHARE = 0.75
"""What rows of one review weigh at the next: four reviews make half of a reference's rows old."""

MAX_ROUTED = 16
"""Members in a routing table, those with most users: a table goes to every node."""


class Found(Protocol):
    """A window and what the tests say of it."""

    @property
    def window(self) -> Window: ...

    @property
    def finding(self) -> Finding: ...


class Routed(Protocol):
    """What a routing table is made of: a family."""

    @property
    def root(self) -> str: ...

    @property
    def active(self) -> list[str]: ...

    @property
    def spec(self) -> Mapping[str, Any]: ...

    @property
    def place(self) -> str: ...

    def users(self, member: str) -> int: ...

    def reference(self, member: str) -> Mapping[str, Any] | None: ...


def by_member(
    found: Iterable[Found], places: Mapping[str, str], usual: str
) -> dict[str, list[Summary]]:
    """Sort a review's windows by the member that they were scored under.

    Harmful windows are left out: they are not what this member serves. So are those of nodes whose
    features come from another place of the model than the family's (`places`: by identity).
    """
    windows: dict[str, list[Summary]] = defaultdict(list)
    for one in found:
        is_of_place = places.get(one.window.identity, usual) == usual
        if is_of_place and not one.finding.watch.harm[-1]:
            windows[one.window.adapter].append(one.window.summary)
    return windows


def refreshed(
    before: Mapping[str, Any] | None,
    windows: Iterable[Summary],
    spec: SummarySpec,
    *,
    share: float = KEPT_SHARE,
) -> dict[str, Any] | None:
    """Return a reference with more windows; earlier rows weigh `share` of what they did.

    Windows without Fourier sums are left out, and so are those of another width than the earlier
    ones have, or than most of the windows. Without usable windows it stays as it was; one that
    cannot be read, or is of another spec, begins anew.
    """
    usable = [w for w in windows if w.spec == spec.digest and len(w.fourier_sum)]
    kept = read(before, spec)
    if not usable:
        return None if kept is None else dict(before or {})
    widths = [window.width for window in usable] if kept is None else [kept.width]
    usual = max(sorted(set(widths)), key=widths.count)
    fitting = [window for window in usable if window.width == usual]
    parts = [] if kept is None else [(kept, share)]
    if fitting:
        parts.append((reference(add(fitting)), 1.0))
    return blend(parts).to_json()


def places_of(registry: Registry) -> dict[str, str]:
    """Return where each node's features come from, by identity; from the cards on record."""
    return {
        node.identity: place_of(node.card["modules"])
        for node in registry.nodes()
        if "modules" in node.card
    }


def usual_place(found: Iterable[Found], places: Mapping[str, str]) -> str:
    """Return the place of most of these windows; "" if nobody's is known."""
    known = [places[i] for one in found if (i := one.window.identity) in places]
    return max(sorted(set(known)), key=known.count, default="")


def of_nodes(
    ledger: Ledger, task_keys: Mapping[str, str], payload: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the reference of the windows that these tasks brought, by identity; or None.

    `payload` is the family's record, with its spec and place.
    """
    known = SummarySpec.from_json(payload["spec"])
    usual, places = payload.get("place", ""), places_of(ledger.registry)
    keys = [key for who, key in task_keys.items() if key and places.get(who, usual) == usual]
    windows: list[Summary] = []
    for payload in ledger.summaries_of(keys).values():
        try:
            windows.append(Summary.from_json(payload.get("summary"), known))
        except SummaryError:  # before the bandwidth was settled, or no summary
            continue
    return refreshed(None, windows, known, share=1.0)


def joined(
    keep: Mapping[str, Any] | None, absorb: Mapping[str, Any] | None, spec: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the reference of two members that become one."""
    known = SummarySpec.from_json(spec)
    found = [one for one in (read(keep, known), read(absorb, known)) if one is not None]
    try:
        return blend((one, 1.0) for one in found).to_json()
    except AdapterError:  # none, or of two widths
        return None if keep is None else dict(keep)


def read(values: Mapping[str, Any] | None, spec: SummarySpec) -> Reference | None:
    """Read a reference from the records; None if there is none of this spec."""
    if values is None:
        return None
    try:
        return Reference.from_json(values, spec)
    except SummaryError:
        return None


def routes(family: Routed) -> dict[str, Any]:
    """Return what nodes get to route by: the family's name, and its table if there is a choice.

    The table is None while several members are in service and fewer than two have a reference.
    """
    if len(family.active) < 2:
        return {"family": family.root}
    try:
        table = table_of(family.spec, {name: family.reference(name) for name in _routed(family)})
    except AdapterError:
        return {"family": family.root, "table": None}
    return {"family": family.root, "place": family.place, "table": table.to_json()}


def table_of(
    spec: Mapping[str, Any], references: Mapping[str, Mapping[str, Any] | None]
) -> RouteTable:
    """Return the table of the references that can be read; of two widths, those of the usual one.

    Raises:
        SummaryError: fewer than two are left, or the spec cannot be read.
    """
    known = SummarySpec.from_json(spec)
    found = {name: one for name, r in references.items() if (one := read(r, known)) is not None}
    widths = [one.width for one in found.values()]
    usual = max(sorted(set(widths)), key=widths.count, default=0)
    fitting = {name: one for name, one in found.items() if one.width == usual}
    if len(fitting) < 2:
        raise SummaryError("entries: fewer than two adapters have a reference", got=len(fitting))
    return RouteTable.of(known, fitting)


def _routed(family: Routed) -> list[str]:
    chosen = sorted(family.active, key=lambda name: -family.users(name))[:MAX_ROUTED]
    return [name for name in family.active if name in chosen]
