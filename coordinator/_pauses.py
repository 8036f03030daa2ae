"""Pauses that are measured by the wall clock, which may be set back meanwhile."""

from __future__ import annotations


def is_paused(now: float, until: float, *, longest_seconds: float) -> bool:
    """Say whether a pause still lasts.

    One that would last longer than any pause was begun before the clock was set back: it is over.
    """
    return now < until <= now + longest_seconds
