"""What the parts of one driver share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from ..aggregation import Limits
from ..store import Ledger
from ._config import CoordinatorConfig
from ._dispatch import Dispatch
from ._nodes import Nodes
from ._outbox import Outbox
from ._serving import Serving


@dataclass(frozen=True)
class Context:
    """One driver in one Flower run; every write to `ledger` carries `epoch`."""

    config: CoordinatorConfig
    ledger: Ledger
    epoch: int
    log: FilteringBoundLogger
    clock: Callable[[], float]
    outbox: Outbox
    nodes: Nodes
    dispatch: Dispatch
    serving: Serving
    limits: Limits
