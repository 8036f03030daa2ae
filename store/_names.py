"""Names and references: what is allowed, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ._errors import InvalidValue, RefError

LATEST = "latest"
MAX_NAME = 200
MAX_NUMBER = 2**31 - 1

_ADAPTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_ALIAS = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_WORD = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Ref:
    """A parsed reference: a number, else an alias ("latest" included)."""

    adapter: str
    number: int | None
    alias: str | None


def adapter_name(name: str) -> str:
    """Return the name if it may name an adapter; raise InvalidValue otherwise."""
    if len(name) > MAX_NAME or not _ADAPTER.fullmatch(name):
        raise InvalidValue(
            "adapter name",
            f'{name[:80]!r} is not allowed; use letters, digits, ".", "_" and "-", '
            f'in segments joined by "/", at most {MAX_NAME} characters',
        )
    return name


PIN_PREFIX = "pin-"
"""How the aliases of pinned versions begin: those of decisions, and no others."""


def operators_alias(alias: str) -> str:
    """Return an alias that an operator may move; raise InvalidValue for those of pins."""
    if alias.startswith(PIN_PREFIX):
        raise InvalidValue(
            "alias",
            f'{alias[:80]!r}: names that begin with "{PIN_PREFIX}" are those of decisions that pin '
            "a version; `polyrank registry force pin ADAPTER --target ADAPTER@NUMBER` makes one",
        )
    return alias_name(alias)


def alias_name(alias: str) -> str:
    """Return the alias if it may be set; raise InvalidValue otherwise."""
    if alias == LATEST:
        raise InvalidValue("alias", '"latest" follows the newest version by itself; use another')
    if not _ALIAS.fullmatch(alias):
        raise InvalidValue(
            "alias",
            f"{alias[:80]!r} is not allowed; start with a lower-case letter, go on with "
            'lower-case letters, digits, ".", "_" and "-", at most 64 characters',
        )
    return alias


def word(field: str, value: str) -> str:
    """Return a kind or origin if it is one lower-case word; raise InvalidValue otherwise."""
    if not _WORD.fullmatch(value):
        raise InvalidValue(
            field, f"{value[:80]!r} is not a lower-case word of at most 64 characters"
        )
    return value


def text(field: str, value: str, *, limit: int = 65536) -> str:
    """Return free text if a database can keep it; raise InvalidValue otherwise."""
    if len(value) > limit:
        raise InvalidValue(field, f"{len(value)} characters; at most {limit} are kept")
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidValue(field, "holds a NUL or a lone surrogate; leave those out")
    return value


def name_text(field: str, value: str) -> str:
    """Return a short printable name; raise InvalidValue otherwise."""
    if not value or len(value) > MAX_NAME or not value.isprintable():
        raise InvalidValue(field, f"{value[:80]!r} is not 1 to {MAX_NAME} printable characters")
    return value


def digest_text(value: str) -> str:
    """Return a sha-256 digest in lower-case hexadecimal; raise InvalidValue otherwise."""
    if not _DIGEST.fullmatch(value):
        raise InvalidValue("digest", f"{value[:80]!r} is not 64 lower-case hexadecimal characters")
    return value


def whole(field: str, value: int, *, least: int = 0, most: int = MAX_NUMBER) -> int:
    """Return an integer within limits; raise InvalidValue otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValue(field, f"{value!r} is not a whole number from {least} to {most}")
    return value


def one_of(field: str, value: str, allowed: Sequence[str]) -> str:
    """Return a value that is allowed; raise InvalidValue otherwise."""
    if value not in allowed:
        raise InvalidValue(field, f"{value!r} is not one of {', '.join(allowed)}")
    return value


def parse_ref(ref: str) -> Ref:
    """Read "NAME", "NAME@NUMBER" or "NAME@ALIAS"; raise RefError with an example otherwise."""
    name, mark, rest = ref.partition("@")
    if len(name) > MAX_NAME or not _ADAPTER.fullmatch(name):
        raise RefError(ref[:300], 'no adapter name; write it like "support/en@7"')
    if not mark:
        return Ref(name, None, LATEST)
    if re.fullmatch(r"[0-9]{1,10}", rest) and int(rest) <= MAX_NUMBER:
        return Ref(name, int(rest), None)
    if not _ALIAS.fullmatch(rest):
        raise RefError(
            ref[:300], f'{rest[:80]!r} is neither a number nor an alias; write "{name}@stable"'
        )
    return Ref(name, None, rest)
