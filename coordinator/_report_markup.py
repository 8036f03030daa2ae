"""Writing markup so that no text from outside can become markup.

What is not `Markup` is escaped, always; only the functions here make `Markup`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from ._printable import printable

Value = str | int | float


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


EMPTY = Markup("")
# elements of HTML that have no end tag; in SVG every element may end itself
_VOID = frozenset({"meta", "br", "col", "hr"})


def text(value: Value) -> Markup:
    """Return a value as text: escaped, and what is not printable as a replacement character."""
    if isinstance(value, Markup):
        return value
    plain = value if isinstance(value, str) else number(value)
    return Markup(html.escape(printable(plain, mark="\ufffd")))


def tag(name: str, /, *content: Value, **attributes: Value | None) -> Markup:
    """Return an element.

    An attribute's name has `-` for `_`, and none at its end (`class_`); None leaves it out.
    """
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if not content and name in _VOID:
        return Markup(f"<{name}{words}>")
    inside = "".join(text(item) for item in content)
    return Markup(f"<{name}{words}>{inside}</{name}>")


def join(parts: Iterable[Markup], between: str = "") -> Markup:
    """Return parts one after the other."""
    return Markup(text(between).join(parts))


def raw_style(css: str) -> Markup:
    """Return a style element; `css` is ours, never from outside."""
    return Markup(f"<style>{css}</style>")


def number(value: float) -> str:
    """Write a number in at most two decimals, the shortest way."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"
