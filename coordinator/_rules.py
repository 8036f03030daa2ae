"""By which rules a family is reviewed: the product's own, or others that an experiment compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..store import (
    AdaptationPolicy,
    Choice,
    Probe,
    RankTrial,
    Recall,
    Review,
    Trial,
    decide,
    questions,
)

Question = Probe | Trial | RankTrial | Recall


@dataclass(frozen=True)
class Rules:
    """What is asked before a review, and what is chosen.

    Attributes:
        questions: what has to be asked of nodes before deciding.
        decide: the choices.
        lists_all: list every node with a window in the review, not only those with news.
    """

    questions: Callable[[Review, AdaptationPolicy], tuple[Question, ...]] = questions
    decide: Callable[[Review, AdaptationPolicy], tuple[Choice, ...]] = decide
    lists_all: bool = False


OWN = Rules()
"""The product's own rules."""
