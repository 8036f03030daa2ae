"""A choice, and how a list of them is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ._decide_fields import Checked, Figure, Identity, Key, Name, Sentence
from ._json import EMPTY

ChoiceKind = Literal[
    "keep", "reroute", "pin", "expand_adapter", "expand_rank", "shrink_rank", "merge", "archive",
    "hold", "rollback",
]  # fmt: skip

DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Checked):
    """One thing to do, or to leave as it is, with the numbers that it rests on.

    | kind | adapter | target | nodes |
    |---|---|---|---|
    | keep | that stays as it is | itself | those in alarm that stay |
    | reroute | that they leave | the member that they move to | those that move |
    | pin | that sees new data | its version to keep for good: "demo@7" | those that saw it |
    | expand_adapter | that they leave | the version to start from: "demo@7" | the new one's |
    | expand_rank | that gets more | itself, or its trial: "demo/rank-trials@4" | none |
    | shrink_rank | that gets less | itself | none |
    | merge | that goes on | the trial to take over: "demo/trials@4"; `absorb` ends | none |
    | archive | that is put away | itself | none |
    | hold | whose newest version is not served | that version: "demo@8" | none |
    | rollback | whose stable version goes back | the one before: "demo@7" | those in harm |

    The rank that comes is `numbers["new_rank"]`; a trial of rank was judged against the member's
    version `numbers["version"]`.

    Attributes:
        kind: what to do.
        adapter: the member that it is about.
        target: see the table.
        absorb: of a merge, and of a merge that was refused: the other member; else "".
        nodes: identities, sorted.
        reason: one plain sentence with the numbers and the thresholds.
        numbers: the same numbers by name, to 6 significant digits.
    """

    kind: ChoiceKind
    adapter: Name
    target: Sentence
    absorb: Sentence = ""
    nodes: tuple[Identity, ...] = ()
    reason: Sentence
    numbers: Mapping[Key, Figure] = EMPTY


def choices_to_json(choices: Iterable[Choice]) -> list[dict[str, Any]]:
    """Return plain JSON values of choices, in their order."""
    return [choice.to_json() for choice in choices]


def figures(**values: float | None) -> Mapping[str, float]:
    """Round to 6 significant digits and leave out what is not known.

    Rounding keeps the last bit of a square root or an error function, which differs between
    machines, out of what is recorded.
    """
    return {name: rounded(value) for name, value in values.items() if value is not None}


def rounded(value: float) -> float:
    """Return a count as it is, any other number to 6 significant digits."""
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}") + 0.0
