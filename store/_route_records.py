"""What the registry says of routing, and of what fits a node: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ._family_records import MemberState
from ._json import EMPTY
from ._records import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteEntry:
    """One member of a family, as routing sees it.

    `stable` is the number of its stable version, None without one. `reference` is what its users'
    data look like (`polyrank.aggregation.Reference`), empty where it is not known yet.
    """

    adapter: str
    state: MemberState
    stable: int | None
    users: int
    reference: Mapping[str, Any] = EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    """All that a batch is compared with in a family.

    `spec` is what a batch is summarised by (`polyrank.aggregation.SummarySpec`), empty before the
    family's first review. `place` says where in the frozen model its nodes' features come from, ""
    if it is not known: features from elsewhere cannot be compared.
    """

    family: str
    spec: Mapping[str, Any] = EMPTY
    entries: tuple[RouteEntry, ...] = ()
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteShare:
    """One adapter's share of a batch, and how far its reference is; None: it was not measured."""

    adapter: str
    share: float
    distance: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Which adapters of a family fit a batch; `shares` sum to 1, the largest first.

    `is_clear` and `ties` are those of `polyrank.aggregation.Routing`; `stable` is the number of the
    stable version of `adapter`.
    """

    family: str
    adapter: str
    stable: int | None
    is_clear: bool
    shares: tuple[RouteShare, ...]
    ties: tuple[str, ...] = ()


class Router(Protocol):
    """The mathematics of routing, which this package does not have."""

    def __call__(
        self, table: RoutingTable, summary: Mapping[str, Any], own: str | None, /
    ) -> Routing:
        """Route a batch by its summary; `own` is the adapter in use, or None.

        Raises InvalidValue for a summary that does not fit, Conflict where there are no references.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A version that a node can serve.

    Attributes:
        version: the stable version of its line, else the newest.
        rank_served: the rank that the node gets of it: its best part, where it has more.
        size_bytes: of that part, estimated from the shapes.
        tag_score: how many of the node's tags the line has; a tag that only its users have counts
            by the share of them that have it.
        quality: mean over nodes of the version's own metric `quality_name`, the higher the better;
            None where nothing was measured.
        users: nodes that are assigned to the line, or 0 where it is in no family.
    """

    version: Version
    rank_served: int
    size_bytes: int
    tag_score: float
    quality: float | None
    quality_name: str = ""
    users: int = 0
