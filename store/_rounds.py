"""Rounds, tasks and contributions, inside a transaction whose epoch was checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ._database import now
from ._errors import Conflict, InvalidValue
from ._find import (
    adapter_row,
    contribution_row,
    find_task,
    round_start,
    task_row,
    version_row,
)
from ._intake import Intake
from ._json import ReadOnlyDict, freeze
from ._names import one_of, text, whole
from ._records import ROUND_STATES, TASK_KINDS, TASK_STATES, TERMINAL_ROUND_STATES, NewTask
from ._tables import (
    AdapterRow,
    ContributionRow,
    NodeRow,
    RoundRow,
    SummaryRow,
    TaskRow,
    VersionRow,
)
from ._writes import add_blob, add_event

_MOVES = {
    "planned": ("open", "abandoned"),
    "open": ("aggregating", "abandoned"),
    "aggregating": ("abandoned",),
}
_SUMMARISED = ("evaluate", "probe")


def add_node(session: Session, new: NodeRow) -> NodeRow:
    """Write down what a node is now; an event tells of changes alone, not of each sighting."""
    row = session.get(NodeRow, new.identity)
    seen = now()
    if row is None:
        row, changed = new, True
        row.first_seen = seen
        session.add(row)
    else:
        changed = (row.name, row.card, row.address, row.status) != (
            new.name,
            new.card,
            new.address,
            new.status,
        )
        row.name, row.card, row.address, row.status = new.name, new.card, new.address, new.status
    row.last_seen = seen
    if changed:
        payload = {"name": row.name, "address": row.address, "status": row.status}
        add_event(session, "node_changed", subject=row.identity, payload=payload)
    return row


def add_round(
    session: Session, adapter: AdapterRow, plan: Mapping[str, Any], start_number: int
) -> RoundRow:
    """Plan the adapter's next round; raise Conflict while another one is unfinished."""
    if adapter.retired_at is not None:
        raise Conflict(f"adapter {adapter.name}", "one in use", "a retired one")
    last = last_round(session, adapter)
    if last is not None and last.state not in TERMINAL_ROUND_STATES:
        subject = f"round {last.number} of adapter {adapter.name}"
        raise Conflict(subject, "committed or abandoned", last.state)
    start = version_row(session, adapter, whole("start_number", start_number))
    if start.retired_at is not None:
        raise Conflict(f"version {adapter.name}@{start_number}", "one in use", "a retired one")
    row = RoundRow(
        adapter=adapter,
        number=1 if last is None else last.number + 1,
        state="planned",
        plan=freeze(plan, field="plan"),
        start_number=start_number,
        version=None,
        reason="",
        deadline_at=None,
        created_at=now(),
        closed_at=None,
    )
    session.add(row)
    round_event(session, row)
    return row


def last_round(session: Session, adapter: AdapterRow) -> RoundRow | None:
    """Return the adapter's newest round."""
    return session.scalar(
        select(RoundRow)
        .where(RoundRow.adapter_id == adapter.id)
        .order_by(RoundRow.number.desc())
        .limit(1)
    )


def round_event(session: Session, row: RoundRow) -> None:
    """Tell what state a round is in now."""
    payload = {"number": row.number, "version": row.version, "reason": row.reason}
    subject = f"{row.adapter.name} round {row.number}"
    add_event(session, f"round_{row.state}", adapter=row.adapter, subject=subject, payload=payload)


def expect_state(row: RoundRow, expected: str) -> None:
    """Raise Conflict unless a round is in this state."""
    if row.state != expected:
        subject = f"round {row.number} of adapter {row.adapter.name}"
        raise Conflict(subject, f"state {expected}", f"state {row.state}")


def check_move(expect: str, state: str) -> None:
    """Raise InvalidValue for a move that no round can make."""
    one_of("expect", expect, ROUND_STATES)
    if one_of("state", state, ROUND_STATES) not in _MOVES.get(expect, ()):
        hint = "; commit_round commits" if state == "committed" else ""
        raise InvalidValue("state", f"no round goes from {expect} to {state}{hint}")


def move_round(
    session: Session, row: RoundRow, state: str, *, reason: str, deadline_at: datetime | None
) -> RoundRow:
    """Move a round whose state was checked."""
    if deadline_at is not None and deadline_at.tzinfo is None:
        raise InvalidValue("deadline_at", "has no time zone; use UTC")
    row.state = state
    row.reason = text("reason", reason)
    row.deadline_at = deadline_at or row.deadline_at
    row.closed_at = now() if state in TERMINAL_ROUND_STATES else None
    round_event(session, row)
    return row


def add_task(session: Session, task: NewTask) -> TaskRow:
    """Write a task down, once."""
    adapter = adapter_row(session, task.adapter) if task.adapter else None
    row = find_task(session, task.key)
    if row is not None:
        if _asked(row) != _asked(task) or row.adapter is not adapter:
            raise Conflict(f"task {task.key}", "the same request", "another one under this key")
        return row
    _check_task(session, task, adapter)
    row = TaskRow(
        key=text("task key", task.key, limit=200),
        kind=task.kind,
        adapter=adapter,
        round=task.round,
        identity=text("identity", task.identity, limit=200),
        start_digest=text("start_digest", task.start_digest, limit=200),
        config_digest=text("config_digest", task.config_digest, limit=200),
        rank=whole("rank", task.rank),
        state="open",
        created_at=now(),
    )
    session.add(row)
    return row


def _asked(task: NewTask | TaskRow) -> tuple[object, ...]:
    return (
        task.kind,
        task.round,
        task.identity,
        task.start_digest,
        task.config_digest,
        task.rank,
    )


def _check_task(session: Session, task: NewTask, adapter: AdapterRow | None) -> None:
    one_of("task kind", task.kind, TASK_KINDS)
    whole("round", task.round)
    if task.kind == "describe":
        return
    if adapter is None:
        raise InvalidValue("adapter", f"a {task.kind} task needs one")
    if task.kind == "train":
        state, _ = round_start(session, adapter, task.round)
        if state not in ("planned", "open"):
            subject = f"round {task.round} of adapter {adapter.name}"
            raise Conflict(subject, "state planned or open", f"state {state}")


def close_task(
    session: Session, key: str, state: str, reason: str, summary: ReadOnlyDict | None
) -> TaskRow:
    """Close a task that is open, with what an evaluation has to say."""
    if one_of("task state", state, TASK_STATES) == "open":
        raise InvalidValue("task state", "a task is opened by put_task alone")
    row = task_row(session, key)
    if summary is not None and (state != "done" or row.kind not in _SUMMARISED):
        said = f"a {row.kind} task that is {state} brings none; an evaluation that is done does"
        raise InvalidValue("summary", said)
    if row.state != "open":
        return row
    row.state = state
    if summary is not None:
        _add_summary(session, row, summary)
    payload = {"kind": row.kind, "round": row.round, "identity": row.identity, "reason": reason}
    add_event(session, f"task_{state}", adapter=row.adapter, subject=key, payload=payload)
    return row


def train_task(session: Session, key: str) -> TaskRow:
    """Return a train task; raise InvalidValue for another kind."""
    task = task_row(session, key)
    if task.kind != "train":
        raise InvalidValue(
            "task_key", f"a {task.kind} task brings no contribution; use close_task for {key}"
        )
    return task


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """An accepted update: everything in it was checked."""

    intake: Intake
    num_examples: int
    metrics: ReadOnlyDict
    summary: ReadOnlyDict | None
    approximate: bool


def add_contribution(session: Session, key: str, outcome: Update | str) -> ContributionRow:
    """Record the one outcome of a train task: an update, or the reason why it is none."""
    task = train_task(session, key)
    first = contribution_row(session, key)
    if first is not None:
        return first
    assert task.adapter is not None  # the database says so too
    update = outcome if isinstance(outcome, Update) else None
    _, start_number = round_start(session, task.adapter, task.round)
    if update is not None:
        add_blob(session, update.intake.staged)
    row = ContributionRow(
        task_key=key,
        adapter=task.adapter,
        round=task.round,
        identity=task.identity,
        status="rejected" if update is None else "accepted",
        reason=outcome if isinstance(outcome, str) else "",
        digest="" if update is None else update.intake.staged.digest,
        blob=None if update is None else update.intake.staged.digest,
        size_bytes=0 if update is None else update.intake.staged.size_bytes,
        num_examples=0 if update is None else update.num_examples,
        metrics=ReadOnlyDict() if update is None else update.metrics,
        start_digest=task.start_digest,
        start_number=start_number,
        rank=task.rank if update is None else update.intake.header.rank,
        approximate=update is not None and update.approximate,
        counted_in=None,
        created_at=now(),
    )
    session.add(row)
    session.flush()
    if update is not None and update.summary is not None:
        _add_summary(session, task, update.summary)
    task.state = "rejected" if update is None else "done"
    contribution_event(session, row)
    return row


def _add_summary(session: Session, task: TaskRow, payload: ReadOnlyDict) -> None:
    assert task.adapter is not None  # the database says so too
    session.add(
        SummaryRow(
            task_key=task.key,
            adapter=task.adapter,
            round=task.round,
            identity=task.identity,
            payload=payload,
            created_at=now(),
        )
    )


def contribution_event(session: Session, row: ContributionRow) -> None:
    """Tell what became of an update."""
    add_event(
        session,
        f"contribution_{row.status}",
        adapter=row.adapter,
        subject=row.task_key,
        payload={
            "round": row.round,
            "identity": row.identity,
            "num_examples": row.num_examples,
            "reason": row.reason,
        },
    )


def count(session: Session, adapter: AdapterRow, keys: Sequence[str], version: VersionRow) -> None:
    """Mark contributions as counted in a version; raise Conflict unless all of them can be.

    One conditional update, whose number of rows is the proof; the database's own guard refuses
    a second counting whatever program tries it.
    """
    session.flush()
    done = session.execute(
        update(ContributionRow)
        .where(
            ContributionRow.task_key.in_(keys),
            ContributionRow.adapter_id == adapter.id,
            ContributionRow.status == "accepted",
            ContributionRow.counted_in.is_(None),
        )
        .values(counted_in=version.number)
        .returning(ContributionRow.task_key)
        .execution_options(synchronize_session=False)
    )
    refused = sorted(set(keys) - set(done.scalars()))
    if refused:
        raise Conflict(
            f"contributions to adapter {adapter.name}",
            "accepted ones that no version has counted",
            f"{len(refused)} that are not, the first one of task {refused[0]}",
        )
