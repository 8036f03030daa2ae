"""Carrying out what `decide` asks for: one small function per action, records before messages."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

from ..aggregation import AdapterError
from ..client._protocol import Card
from ..store import NewTask
from ._base import Base, Disagreement, joins, misfit
from ._commit import aggregate
from ._context import Context
from ._dispatch import QuestionGone
from ._flower import NodeGone
from ._genesis import publish_initial
from ._left_out import leave_out
from ._lines import Line
from ._nodes import Node
from ._plans import CANDIDATE, STABLE, make_plan, new_task, train_task
from ._round_actions import (
    Abandon,
    Action,
    CloseRound,
    Commit,
    IssueEvaluation,
    IssueTraining,
    LapseTask,
    LeaveOut,
    OpenRound,
    PlanRound,
    PublishInitial,
    SendTask,
    ServeVersion,
    Wait,
)


class Actions:
    """Acts for the driver; each call returns whether something changed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._complaints: set[tuple[str, str, str]] = set()

    def act(self, line: Line, action: Action) -> bool:
        """Carry out one action; False when it has to wait for nodes, room or time."""
        match action:
            case PublishInitial():
                return self._publish_initial(line)
            case PlanRound():
                self._plan(line, action)
            case IssueTraining() | IssueEvaluation():
                self._issue(line, action)
            case OpenRound():
                self._open(line, action)
            case SendTask():
                return self._send(line, action)
            case ServeVersion():
                return self._serve(line, action)
            case LapseTask():
                self._lapse(line, action)
            case LeaveOut():
                leave_out(self._context, line, action)
            case CloseRound():
                self._move(line, action.number, "aggregating", event="round_closed")
            case Commit():
                self._commit(line, action)
            case Abandon():
                self._move(
                    line, action.number, "abandoned", event="round_abandoned", reason=action.reason
                )
            case Wait():
                line.wake_at = action.until
                return False
        return True

    def eligible(self, line: Line) -> dict[str, Node]:
        """Return the reachable nodes that join a line and fit its base; complain once if not."""
        found: dict[str, Node] = {}
        needed = (line.config.rank or 1) if line.config.method == "fedex" else 1
        for identity, node in self._context.nodes.live.items():
            if not _takes_part(line, node):
                continue
            reason = ""
            if line.base is not None:
                reason = misfit(node.card, line.base, needed_rank=needed)
            if not reason:
                found[identity] = node
            elif (line.name, identity, reason) not in self._complaints:
                self._complaints.add((line.name, identity, reason))
                self._complain(line, node, reason)
        return found

    def misfits(self, line: Line) -> list[str]:
        """Return why nodes that were complained of cannot take part in a line, sorted."""
        return sorted({reason for name, _, reason in self._complaints if name == line.name})

    def _complain(self, line: Line, node: Node, reason: str) -> None:
        context = self._context
        context.log.warning("node_misfit", adapter=line.name, identity=node.identity,
                            name=node.card.name, reason=reason)  # fmt: skip
        context.ledger.record_event(
            "node_misfit",
            adapter=line.name,
            subject=node.identity,
            payload={"reason": reason, "name": node.card.name},
            epoch=context.epoch,
        )

    def _publish_initial(self, line: Line) -> bool:
        context = self._context
        cards = self._cards(line)
        result = publish_initial(
            context.ledger,
            line.name,
            line.config,
            cards,
            limits=context.limits,
            epoch=context.epoch,
        )
        if isinstance(result, Disagreement):
            if line.complaint != result.reason:
                line.complaint = result.reason
                context.log.warning("base_not_agreed", adapter=line.name, reason=result.reason)
            return False
        line.adopt(result)
        if line.config.start_from is not None:
            sources = [f"{parent.adapter}@{parent.number}" for parent in result.parents]
            context.log.info("cold_start", adapter=line.name, start_from=line.config.start_from,
                             sources=sources or "none: it starts from nothing")  # fmt: skip
        context.log.info("version_committed", adapter=line.name, number=result.number,
                         digest=result.digest, size_bytes=result.size_bytes, round=0)  # fmt: skip
        return True

    def _cards(self, line: Line) -> Mapping[str, Card]:
        return {identity: node.card for identity, node in self.eligible(line).items()}

    def _plan(self, line: Line, action: PlanRound) -> None:
        if line.follow():
            return
        context, head = self._context, line.head
        plan = make_plan(
            line.config,
            based(line),
            self._cards(line),
            cohort=action.cohort,
            number=action.number,
            head=context.dispatch.version(line, action.start_number) if head is None else head,
            quorum=line.policy.quorum,
            goal=line.policy.goal,
            state_rank=line.state_rank,
            outstanding_rank=line.outstanding_rank,
            stable="" if line.stable is None else line.stable.digest,
            gated=_is_gated(line),
        )
        line.note(
            context.ledger.plan_round(
                line.name,
                plan=plan.to_json(),
                start_number=action.start_number,
                epoch=context.epoch,
            )
        )
        context.log.info("round_planned", adapter=line.name, round=action.number,
                         start=action.start_number, nodes=len(action.cohort),
                         state_rank=plan.state_rank)  # fmt: skip

    def _issue(self, line: Line, action: IssueTraining | IssueEvaluation) -> None:
        context = self._context
        context.ledger.put_task(self._new_task(line, action), epoch=context.epoch)
        line.dirty = True

    def _new_task(self, line: Line, action: IssueTraining | IssueEvaluation) -> NewTask:
        """Return the record; its key does not depend on bytes, which are read when it is sent."""
        dispatch = self._context.dispatch
        question = dispatch.question(line, based(line))
        if isinstance(action, IssueTraining):
            start = dispatch.version(line, line.round(action.round).start_number)
            plan = line.plan(action.round)
            envelope = train_task(
                question,
                plan,
                round=action.round,
                identity=action.identity,
                start=start,
                blob_digest=start.digest,
            )
            return new_task(envelope, "train")
        version = dispatch.version(line, action.number)
        envelope = dispatch.evaluation(
            line,
            based(line),
            version,
            kind="evaluate",
            round=action.round,
            identity=action.identity,
        )
        return new_task(envelope, "evaluate")

    def _open(self, line: Line, action: OpenRound) -> None:
        deadline = datetime.fromtimestamp(action.deadline_at, UTC)
        self._move(line, action.number, "open", event="round_opened", deadline_at=deadline)

    def _send(self, line: Line, action: SendTask) -> bool:
        context, base = self._context, based(line)
        node = context.nodes.live.get(action.identity)
        if node is None or not context.dispatch.has_room(line, base, action):
            return False
        try:
            context.dispatch.send(line, base, action, address=node.address, now=context.clock())
        except NodeGone:
            return False  # it left since the last look; the next one finds it gone
        except QuestionGone:
            self._lapse(line, LapseTask(line.name, action.key))
            return True
        context.log.info("task_sent", adapter=line.name, round=action.round, kind=action.kind,
                         key=action.key, name=node.card.name)  # fmt: skip
        return True

    def _serve(self, line: Line, action: ServeVersion) -> bool:
        context = self._context
        node = context.nodes.live.get(action.identity)
        try:
            is_sent = node is not None and context.dispatch.serve(
                line,
                based(line),
                action,
                question={"epoch": context.epoch, "turn": context.serving.turn()},
                address=node.address,
                now=context.clock(),
            )
        except NodeGone:
            return False
        if is_sent:
            context.serving.asked(line, action.identity)
            context.log.info("version_offered", adapter=line.name, number=action.number,
                             identity=action.identity, with_bytes=action.with_bytes)  # fmt: skip
        return is_sent

    def _lapse(self, line: Line, action: LapseTask) -> None:
        context = self._context
        context.ledger.close_task(action.key, state="expired", epoch=context.epoch)
        context.outbox.drop_key(action.key)
        context.log.warning("task_expired", adapter=line.name, key=action.key)
        line.dirty = True

    def _move(
        self,
        line: Line,
        number: int,
        state: str,
        *,
        event: str,
        reason: str = "",
        deadline_at: datetime | None = None,
    ) -> None:
        context = self._context
        line.note(
            context.ledger.move_round(
                line.name,
                number,
                state=state,  # pyright: ignore[reportArgumentType]
                expect=line.round(number).state,
                reason=reason,
                deadline_at=deadline_at,
                epoch=context.epoch,
            )
        )
        fields = {"reason": reason} if reason else {}
        context.log.info(event, adapter=line.name, round=number, **fields)
        if state == "abandoned":
            line.forget_old_rounds()

    def _commit(self, line: Line, action: Commit) -> None:
        context = self._context
        record = line.round(action.number)
        context.log.info("aggregation_started", adapter=line.name, round=action.number,
                         contributions=len(action.counted))  # fmt: skip
        try:
            made = aggregate(
                context.ledger,
                line.name,
                action.counted,
                start_number=record.start_number,
                plan=line.plan(action.number),
                plan_of=line.plan,
                limits=context.limits,
                settings=context.config.aggregation,
                folder=context.config.daemon.data_dir,
            )
        except AdapterError as error:
            reason = f"aggregation failed: {error}"
            self._move(line, action.number, "abandoned", event="round_abandoned", reason=reason)
            return
        context.log.info("commit_started", adapter=line.name, round=action.number)
        with closing(made):
            version = context.ledger.commit_round(
                line.name,
                action.number,
                data=made.data,
                counted=action.counted,
                profile=made.profile,
                metrics=made.metrics,
                aliases=(CANDIDATE,) if _is_gated(line) else (STABLE,),
                epoch=context.epoch,
            )
        line.adopt(version)
        line.note(replace(record, state="committed", version=version.number,
                          closed_at=version.created_at))  # fmt: skip
        context.log.info("version_committed", adapter=line.name, number=version.number,
                         round=action.number, rank=version.rank, digest=version.digest,
                         size_bytes=version.size_bytes, **made.metrics)  # fmt: skip
        context.ledger.prune_contributions(
            line.name, keep_rounds=line.config.keep_rounds, epoch=context.epoch
        )
        if (most := line.config.keep_versions) is not None:
            context.ledger.prune([line.name], keep_versions=most, epoch=context.epoch)
        line.forget_old_rounds()


def _takes_part(line: Line, node: Node) -> bool:
    """Say whether a node joins a line; in a family each node joins the member it is assigned to."""
    if line.family is None:
        return joins(node.card, line.name)
    is_member = line.family.member_of(node.identity) == line.family.trains(line.name)
    return is_member and joins(node.card, line.family.root)


def _is_gated(line: Line) -> bool:
    """Say whether a line's versions wait for a review; those of trials serve nobody."""
    family = line.family
    return family is not None and family.gated and line.name in family.members


def based(line: Line) -> Base:
    """Return the base of a line that has a version."""
    assert line.base is not None, "only a line with a version has rounds"
    return line.base
