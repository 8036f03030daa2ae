"""What the registry hands out about families, and about what became of decisions: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from ._json import EMPTY

if TYPE_CHECKING:
    from ._records import Decision

MemberState = Literal["active", "archived"]
StepState = Literal["proposed", "approved", "vetoed", "carried_out", "failed", "undone"]
DecisionState = Literal[
    "recorded", "proposed", "approved", "vetoed", "carried_out", "failed", "undone"
]
OperatorState = Literal["approved", "vetoed", "undone"]

MEMBER_STATES: tuple[MemberState, ...] = ("active", "archived")
STEP_STATES: tuple[StepState, ...] = get_args(StepState)
FIRST_STATES: tuple[StepState, ...] = ("proposed", "approved")
OPERATOR_STATES: tuple[OperatorState, ...] = ("approved", "vetoed", "undone")


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRecord:
    """The lines that began as the line `root`: how often they were reviewed, what is remembered."""

    root: str
    reviews: int
    payload: Mapping[str, Any] = EMPTY
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """One line of a family: "active" (its rounds run) or "archived" (stored)."""

    adapter: str
    family: str
    state: MemberState
    payload: Mapping[str, Any] = EMPTY
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentRecord:
    """Which member of a family a node trains and serves, and what is remembered of the node."""

    family: str
    identity: str
    adapter: str
    payload: Mapping[str, Any] = EMPTY
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDecision:
    """A choice to be recorded with a review.

    `state` is its first step: "proposed" waits for an operator, "approved" is to be carried out,
    and None is a choice that asks for nothing to be done.
    """

    kind: str
    adapter: str | None = None
    subject: str = ""
    reason: str
    payload: Mapping[str, Any] = EMPTY
    state: Literal["proposed", "approved"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A decision that waits for an operator's word, or that one has vetoed.

    `vetoed` is the number of reviews of its family since the veto, None while it waits.
    """

    decision: Decision
    vetoed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionStep:
    """One line of the append-only log of what became of decisions.

    `actor` is the operator who said so, "" for the driver itself. An operator's "undone" is a
    request; the driver's is the fact. `sequence` rises over all decisions of the registry, from 1
    and without gaps.
    """

    sequence: int
    decision: int
    state: StepState
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAlias:
    """An alias that a review moves: to `number`, if it names `expect` now (None: nothing)."""

    adapter: str
    alias: str
    number: int
    expect: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasTip:
    """What an alias names, the number of the change that made it so, and where it would go back to.

    `previous` is None where there is nothing to go back to.
    """

    number: int
    sequence: int
    previous: int | None
