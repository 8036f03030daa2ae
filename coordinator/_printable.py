"""Texts that came from nodes must not steer a terminal, nor break a line of a log."""

from __future__ import annotations


def printable(text: str, mark: str = "?") -> str:
    """Return a text with `mark` in place of each character that is not printable."""
    return "".join(char if char.isprintable() else mark for char in text)
