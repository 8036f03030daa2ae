"""Colours of a report, light and dark.

Members: eight colours, apart from each other also for who sees red and green, or blue and yellow,
alike, and at least 3:1 against the page. From the ninth member on they come again, with stripes or
dashes. Drift: one hue, stronger away from the page. What is written on a colour is black or white,
whichever is clearer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

PAGE: Final = {"light": "#ffffff", "dark": "#15171b"}
INK: Final = {"light": "#1b1d20", "dark": "#e9eaec"}
MUTED: Final = {"light": "#575c63", "dark": "#a6abb3"}
MEMBERS: Final = {
    "light": (
        "#0a62b0", "#d4690c", "#713e65", "#8080fc", "#ac1d03", "#280183", "#52151e", "#b07eae",
    ),
    "dark": (
        "#5aa9f0", "#f08c3a", "#8f5a83", "#6967e1", "#cd4805", "#3fe0e8", "#ecdc21", "#a1d49f",
    ),
}  # fmt: skip
LEVELS: Final = {
    "light": ("#d5d8dd", "#f2b0bb", "#d9506f", "#8a0c3b"),
    "dark": ("#3a3f47", "#74304a", "#cf5b7f", "#ffc2d0"),
}
_SURFACE: Final = {"light": "#f4f5f7", "dark": "#1e2126"}
_RULE: Final = {"light": "#d3d6db", "dark": "#3a3f47"}
_LINK: Final = {"light": "#0a62b0", "dark": "#7dbcf5"}


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2), 0 to 1."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (WCAG 2.2), 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def on(colour: str) -> str:
    """Return what to write in on a colour: black or white."""
    return max("#000000", "#ffffff", key=lambda ink: contrast(ink, colour))


def theme(name: str) -> str:
    """Return the CSS rules of a theme's colours."""
    plain = {
        "page": PAGE, "ink": INK, "muted": MUTED,
        "surface": _SURFACE, "rule": _RULE, "link": _LINK,
    }  # fmt: skip
    rules = [_rule(":root", {key: colours[name] for key, colours in plain.items()})]
    rules += _each("m", MEMBERS[name]) + _each("l", LEVELS[name])
    return "".join(rules)


def _each(prefix: str, colours: Sequence[str]) -> list[str]:
    return [
        _rule(f".{prefix}{place}", {"c": colour, "on": on(colour)})
        for place, colour in enumerate(colours)
    ]


def _rule(selector: str, values: Mapping[str, str]) -> str:
    return selector + "{" + "".join(f"--{key}:{value};" for key, value in values.items()) + "}"


def member_class(place: int) -> str:
    """Return the CSS class of a member's colour, by its place in the family."""
    count = len(MEMBERS["light"])
    return f"m{place % count}" + (" again" if place >= count else "")
