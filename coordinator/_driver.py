"""The round driver: a loop that asks who is there, digests one answer, and moves each line on.

One thread does it all, so that at most one answer is undigested and no lock is needed; several
adapter lines are multiplexed in one Flower run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from structlog.typing import FilteringBoundLogger

from ..aggregation import AdapterError, Limits
from ..store import BlobDamaged, BlobMissing, Conflict, InvalidBlob, Ledger
from ._actions import Actions
from ._answers import Answers
from ._config import CoordinatorConfig
from ._context import Context
from ._dispatch import Dispatch
from ._errors import DataDirError, EngineError, StaleDriver
from ._families import Family
from ._flower import DriverSession
from ._line_table import Lines
from ._lines import Line
from ._nodes import Nodes
from ._outbox import Outbox, Sent
from ._pauses import is_paused
from ._reviews import Reviews
from ._round_actions import SendTask
from ._rounds import decide
from ._rules import OWN, Rules
from ._serving import Serving

REFRESH_SECONDS: Final = 0.5
BUSY_POLL_SECONDS: Final = 0.05
IDLE_POLL_SECONDS: Final = 0.2
STOPPED_SECONDS: Final = 60.0
_STOPS: Final = (
    AdapterError,
    BlobDamaged,
    BlobMissing,
    Conflict,
    DataDirError,
    EngineError,
    InvalidBlob,
)


class Driver:
    """Runs the rounds of all lines in one Flower run, from what is on record.

    Args:
        config: of the daemon.
        ledger: the records; this driver's `epoch` is the newest one in it.
        session: an open session of a Flower run.
        log: for events.
        clock: seconds since 1970.
        rules: by which families of adapters are reviewed.
    """

    def __init__(
        self,
        config: CoordinatorConfig,
        ledger: Ledger,
        session: DriverSession,
        log: FilteringBoundLogger,
        *,
        epoch: int,
        clock: Callable[[], float],
        rules: Rules = OWN,
    ) -> None:
        self._session = session
        self._clock = clock
        outbox = Outbox(session, max_inflight_bytes=config.limits.max_inflight_bytes)
        self._context = Context(
            config=config,
            ledger=ledger,
            epoch=epoch,
            log=log,
            clock=clock,
            outbox=outbox,
            nodes=Nodes(
                ledger,
                outbox,
                log,
                epoch=epoch,
                clock=clock,
                max_adapter_bytes=config.limits.max_adapter_bytes,
            ),
            dispatch=Dispatch(ledger, outbox, config.limits),
            serving=Serving(ledger),
            limits=Limits(max_bytes=config.limits.max_adapter_bytes),
        )
        self._actions = Actions(self._context)
        self._answers = Answers(self._context)
        self._lines = Lines(config, ledger)
        self._reviews = Reviews(self._context, self._actions, self._lines, rules)
        self._refresh_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Drive until `stop` is set.

        Raises:
            LinkLost: the SuperLink or the run is gone; a new driver in a new run goes on.
            StaleEpoch, StaleDriver: another daemon has taken over.
            StoreError: the records cannot be read or written.
        """
        self._context.nodes.start()
        self._finish_aggregations()
        while not stop.is_set():
            if not self.tick():
                is_idle = self._context.outbox.is_empty
                stop.wait(IDLE_POLL_SECONDS if is_idle else BUSY_POLL_SECONDS)

    def tick(self) -> bool:
        """Do what can be done now; return whether anything was."""
        now = self._clock()
        if not is_paused(now, self._refresh_at, longest_seconds=REFRESH_SECONDS):
            self._check_epoch()
            self._refresh_at = now + REFRESH_SECONDS
            self._context.nodes.refresh(self._session.node_ids())
            self._context.serving.forget(self._context.nodes.live)
            for family in self._lines.families:
                family.refresh()
            self._lines.refresh()
            self._touch()
        progress = self._digest_ready()
        for family in self._lines.families:
            names = family.members or [family.root]
            if family.approved or any(self._lines[name].dirty for name in names):
                progress |= self._guarded(self._lines[family.root], partial(self._review, family))
        for line in list(self._lines.values()):
            if line.dirty or (line.wake_at is not None and now >= line.wake_at):
                progress |= self._step(line)
        return progress

    def _review(self, family: Family, now: float) -> bool:
        done = self._reviews.step(family)
        if done:
            self._touch()
        return done

    def _finish_aggregations(self) -> None:
        """Commit what was being aggregated before anything new is accepted.

        So the contributions are those that the round was closed with, and the version is the one
        that an undisturbed driver would have made.
        """
        for line in self._lines.values():
            while line.newest is not None and line.newest.state == "aggregating":
                if not self._step(line):
                    break  # it is stopped: the other lines go on

    def _digest_ready(self) -> bool:
        """Digest the answers that are there, one after the other, and decide once for them all.

        To decide takes a look at every task of a round: after each answer anew, that would be most
        of the time of a round in which hundreds of nodes answer at once.
        """
        progress = False
        for sent in self._context.outbox.ready():
            progress |= self._digest(sent)
        if progress:
            self._touch()
        return progress

    def _digest(self, sent: Sent) -> bool:
        answer = self._context.outbox.pull(sent)
        if answer is None:
            return False
        if sent.purpose in ("introduce", "ping"):
            self._context.nodes.handle(sent, answer)
        else:
            self._answers.digest(self._lines[sent.envelope.adapter], sent, answer)
        return True

    def _step(self, line: Line) -> bool:
        return self._guarded(line, partial(self._advance, line))

    def _guarded(self, line: Line, act: Callable[[float], bool]) -> bool:
        """Move a line on; one whose bytes are damaged or too large, or find no room on the disk,
        or whose records somebody else has changed, stops alone, and tries again."""
        now = self._clock()
        if is_paused(now, line.stopped_until, longest_seconds=STOPPED_SECONDS):
            return False
        try:
            return act(now)
        except _STOPS as error:
            line.stopped_until = now + STOPPED_SECONDS
            self._context.log.error("line_stopped", adapter=line.name, reason=str(error),
                                    again_in_seconds=STOPPED_SECONDS)  # fmt: skip
            if isinstance(error, Conflict):
                line.reload()
            return False

    def _advance(self, line: Line, now: float) -> bool:
        """Decide once and act; the line stays dirty as long as something changes."""
        line.dirty = False
        line.wake_at = None
        busy_keys = self._context.outbox.busy_keys(now)
        progress, deferred = False, False
        nodes, serving = self._actions.eligible(line).keys(), self._context.serving
        settled = self._reviews.is_settled(line)
        may_serve = serving.may_serve(line, is_settled=settled)
        view = line.view(
            nodes,
            busy_keys,
            reachable=self._context.nodes.live.keys(),
            may_start=self._reviews.may_start(line),
            served=serving.view(line, nodes) if may_serve else None,
            may_serve=may_serve,
        )
        for action in decide(view, now):
            done = self._actions.act(line, action)
            progress |= done
            deferred |= isinstance(action, SendTask) and not done
        if not deferred:
            self._context.dispatch.forget_bytes()
        line.dirty |= progress
        if progress and line.family is not None and line.family.rank_trial[0]:
            self._touch()  # a member and its trial wait for each other
        return progress

    def _touch(self) -> None:
        for line in self._lines.values():
            line.dirty = True

    def _check_epoch(self) -> None:
        """Stop before any message is sent or read when another daemon has taken over."""
        current = self._context.ledger.epoch()
        if current != self._context.epoch:
            raise StaleDriver(self._context.epoch, current)
