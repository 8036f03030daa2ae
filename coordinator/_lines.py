"""What the driver remembers of one adapter line, and the view that `decide` works on.

Everything here comes from the registry and can be read again at any time; remembering it only
saves reading a long history at each step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from ..store import (
    AliasTip,
    ContributionRecord,
    Ledger,
    RoundRecord,
    TaskRecord,
    Version,
)
from ._base import Base
from ._config import AdapterConfig
from ._families import Family
from ._late import needs_next, needs_of, unfit
from ._line_record import find_line
from ._plans import STABLE, Plan
from ._round_view import TERMINAL, LineView, Policy, RoundView, Served, TaskView, WaitingView


class Line:
    """One adapter line: its settings, base, newest version and newest round; maybe of a family.

    Raises:
        StoreMismatch: the registry has the line on another base model than the configuration.
    """

    def __init__(
        self, name: str, config: AdapterConfig, ledger: Ledger, *, family: Family | None = None
    ) -> None:
        self.name = name
        self.config = config
        self.family = family
        self._policy = _policy(config)
        self._ledger = ledger
        self.base: Base | None = None
        self.head: Version | None = None
        self.tip: AliasTip | None = None
        self._named: dict[int, Version] = {}  # versions that the tip names
        self.newest: RoundRecord | None = None
        self.abandoned_in_row = 0
        self.dirty = True
        self.wake_at: float | None = None
        self.stopped_until = 0.0
        self.complaint = ""
        self._rounds: dict[int, RoundRecord] = {}
        self._plans: dict[int, tuple[RoundRecord, Plan]] = {}
        self.reload()

    @property
    def policy(self) -> Policy:
        """How the rounds of this line are run, at present."""
        family = self.family
        return self._policy if family is None else family.policy_for(self.name, self._policy)

    @property
    def state_rank(self) -> int | None:
        """The rank of the state that its next round makes; None: by the nodes' cards."""
        family = self.family
        return self.config.state_rank if family is None else family.state_rank(self.name)

    @property
    def rank_budget(self) -> int:
        """The rank that its newest version was allowed, at least 1."""
        planned = 0 if self.newest is None else self.plan(self.newest.number).state_rank
        own = 0 if self.head is None else self.head.rank
        return max(self.state_rank or planned or own, 1)

    def reload(self) -> None:
        """Read the line from the registry."""
        record = find_line(self._ledger, self.name, self.config)
        if record is not None and record.head is not None:
            self.adopt(self._ledger.registry.version(f"{self.name}@{record.head}"))
        for found in self._ledger.rounds(self.name) if record is not None else ():
            self.note(found)
        if record is not None:
            self.forget_old_rounds()

    def adopt(self, version: Version) -> None:
        """Take a version as the newest; the first one fixes the base."""
        self.head = version
        self.read_aliases()
        if self.family is not None:
            self.family.heads[self.name] = version
        self.dirty = True
        if self.base is None:
            models = {model.name: model for model in self._ledger.registry.base_models()}
            self.base = Base(
                models[version.base_model].fingerprint,
                {module.name: module.shape for module in version.modules},
                {dense.name: dense.shape for dense in version.dense},
            )

    def follow(self) -> bool:
        """Go on from the record's head where an operator has retired this one; say if it did."""
        head = self._ledger.registry.adapter(self.name).head
        if self.head is None or head in (None, self.head.number):
            return False
        self.adopt(self._ledger.registry.version(f"{self.name}@{head}"))
        return True

    def read_aliases(self) -> None:
        """Look which version is stable now; that of a line without a version is not set."""
        if self.head is None:
            return
        found = self._ledger.alias_tip(self.name, STABLE)
        if found != self.tip:
            self.tip = found
            self.dirty = True
            names = () if found is None else (found.number, found.previous)
            self._named = {n: version for n, version in self._named.items() if n in names}

    @property
    def stable(self) -> Version | None:
        """The version that its nodes serve."""
        return None if self.tip is None else self._version(self.tip.number)

    @property
    def previous(self) -> Version | None:
        """The version that was stable before, if it has other bytes than those in use."""
        if self.tip is None or self.tip.previous is None:
            return None
        found, in_use = self._version(self.tip.previous), (self.stable, self.head)
        return None if found.digest in {v.digest for v in in_use if v is not None} else found

    def _version(self, number: int) -> Version:
        if self.head is not None and self.head.number == number:
            return self.head
        if number not in self._named:
            self._named[number] = self._ledger.registry.version(f"{self.name}@{number}")
        return self._named[number]

    def note(self, found: RoundRecord) -> None:
        """Take in the new state of a round."""
        self._rounds[found.number] = found
        if self.newest is None or found.number >= self.newest.number:
            self.newest = found
            if self._is_rank_trials and self.family is not None:
                self.family.rank_round = found
        if found.state == "abandoned":
            self.abandoned_in_row += 1
        elif found.state == "committed":
            self.abandoned_in_row = 0
        self.dirty = True

    def round(self, number: int) -> RoundRecord:
        """Return a round of this line."""
        return self._rounds[number]

    @property
    def evaluated_by(self) -> float:
        """Until when evaluations of the newest version are waited for, in seconds since 1970."""
        assert self.head is not None, "only a version is evaluated"
        tried = 0.0 if self.family is None else self.family.tried_until(self.name)
        return max(self.head.created_at.timestamp(), tried) + self.policy.deadline_seconds

    def of_digest(self, digest: str) -> Version:
        """Return the newest version with these bytes; the newest of all without asking."""
        if self.head is not None and self.head.digest == digest:
            return self.head
        found = [v for v in self._ledger.registry.by_digest(digest) if v.adapter == self.name]
        return max(found, key=lambda version: version.number)

    def plan(self, number: int) -> Plan:
        """Return the plan of a round; read once from each of its records."""
        record, plan = self._plans.get(number, (None, None))
        if plan is None or record is not self._rounds[number]:
            plan = Plan.from_json(self._rounds[number].plan)
            self._plans[number] = self._rounds[number], plan
        return plan

    def is_rank_equal(self, number: int) -> bool:
        """Say whether all updates of a round have one rank; a forgotten one gets no new update."""
        return number in self._rounds and self.plan(number).equal_rank is not None

    def home(self, identity: str) -> str:
        """Return the line that a node trains now in this one's place; this one, unless it moved."""
        if self.family is None:
            return self.name
        member = self.family.member_of(identity)
        return self.name if member == self.family.trains(self.name) else member

    def view(
        self,
        nodes: Collection[str],
        busy_keys: Collection[str],
        *,
        reachable: Collection[str] = (),
        may_start: bool = True,
        served: Served | None = None,
        may_serve: bool = True,
    ) -> LineView:
        """Return all that a decision needs.

        Args:
            nodes: identities that can be reached now and fit this line.
            busy_keys: keys of tasks that are on their way, or not to be sent yet.
            reachable: all identities that can be reached now.
            may_start: whether a new round may be planned.
            served: how far the nodes are with the stable version.
            may_serve: whether that stays what it is for now.
        """
        head_round = (self.head.round or 0) if self.head is not None else 0
        return LineView(
            adapter=self.name,
            policy=self.policy,
            head=self.head.number if self.head is not None else None,
            head_round=head_round,
            head_digest=self.head.digest if self.head is not None else "",
            round=self._round_view(),
            abandoned_in_row=self.abandoned_in_row,
            tasks=tuple(self._task_view(task, busy_keys) for task in self._tasks(head_round)),
            waiting=tuple(self._waiting_views()),
            nodes=frozenset(nodes),
            reachable=frozenset(reachable),
            newcomers=frozenset(filter(self.family.is_newcomer, nodes) if self.family else ()),
            may_start=may_start,
            served=served,
            may_serve=may_serve,
        )

    @property
    def outstanding_rank(self) -> int:
        """The largest rank of an update that waits to be counted or may still come; 0: of none."""
        tasks = self._ledger.tasks(self.name, state="open")
        asked = [t.rank for t in tasks if t.kind == "train" and self.home(t.identity) == self.name]
        return max([*asked, *(update.rank for update in self._waiting())], default=0)

    def _waiting(self) -> list[ContributionRecord]:
        """Return what no version has counted; of a trial that is over nothing is counted later.

        Nothing either of a node that was moved: what it learnt contradicts those who stay.
        """
        found = self._ledger.contributions(self.name, status="accepted", counted=False)
        found = [c for c in found if self.home(c.identity) == self.name]
        if not self._is_rank_trials:
            return found
        return [c for c in found if self.newest is not None and c.round == self.newest.number]

    def _waiting_views(self) -> Iterable[WaitingView]:
        """Say of each update that waits whether this round, else the next one, can count it."""
        if self.head is None or self.base is None:
            return
        current = self.newest
        if current is None or current.state in TERMINAL:
            needs = needs_next(self.config, self.base, self.head)
        else:
            needs = needs_of(self.plan(current.number))
        for c in self._waiting():
            why = unfit(needs, self.base, self.plan(c.round), c)
            yield WaitingView(c.task_key, c.identity, c.round, c.start_number, why)

    @property
    def _is_rank_trials(self) -> bool:
        return self.family is not None and self.name == self.family.rank_trials

    def _tasks(self, head_round: int) -> Iterable[TaskRecord]:
        """Return the open tasks, and all of the newest round and of the newest version."""
        if self.head is None:
            return ()
        numbers = {head_round, self.newest.number if self.newest is not None else 0}
        found = [t for n in sorted(numbers) for t in self._ledger.tasks(self.name, round=n)]
        found += self._ledger.tasks(self.name, state="open")
        return {task.key: task for task in found}.values()

    def _task_view(self, task: TaskRecord, busy_keys: Collection[str]) -> TaskView:
        patience = self.policy.deadline_seconds
        since = (
            seconds(self._rounds[task.round].deadline_at)
            if task.kind == "train"
            else seconds(task.created_at)
        )
        return TaskView(
            key=task.key,
            kind="evaluate" if task.kind == "describe" else task.kind,
            round=task.round,
            identity=task.identity,
            is_open=task.state == "open",
            lapses_at=None if since is None else since + patience,
            in_flight=task.key in busy_keys,
            start_digest=task.start_digest,
        )

    def _round_view(self) -> RoundView | None:
        found = self.newest
        if found is None:
            return None
        plan = self.plan(found.number)
        return RoundView(
            number=found.number,
            state=found.state,
            start_number=found.start_number,
            cohort=tuple(sorted(plan.cohort)),
            quorum=plan.quorum,
            deadline_at=seconds(found.deadline_at),
            closed_at=seconds(found.closed_at),
            goal=plan.goal,
        )

    def forget_old_rounds(self) -> None:
        """Drop finished rounds that nothing unfinished refers to: a line may run for years."""
        waiting = self._ledger.contributions(self.name, status="accepted", counted=False)
        needed = {
            task.round
            for task in self._ledger.tasks(self.name, state="open")
            if task.kind != "probe"
        }
        needed |= {contribution.round for contribution in waiting}
        needed.add(self.newest.number if self.newest is not None else 0)
        needed.add((self.head.round or 0) if self.head is not None else 0)
        self._rounds = {
            number: found
            for number, found in self._rounds.items()
            if number in needed or found.state not in TERMINAL
        }
        self._plans = {n: known for n, known in self._plans.items() if n in self._rounds}


def seconds(time: datetime | None) -> float | None:
    """Return a time as seconds since 1970 (UTC)."""
    return None if time is None else time.timestamp()


def _policy(config: AdapterConfig) -> Policy:
    return Policy(
        min_nodes=config.min_nodes,
        quorum=config.needed,
        deadline_seconds=config.deadline_seconds,
        rounds=config.rounds,
        max_nodes=config.max_nodes,
        evaluate_every=config.evaluate_every,
        goal=config.goal,
    )
