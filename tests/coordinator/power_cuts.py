"""Cutting the power of a driver right after one of its writes; another driver goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from polyrank.store import Ledger


class PowerCut(Exception):
    pass


def cut_the_power_after(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, call: str) -> list[str]:
    """Raise right after the next such write of the driver, once; return what was cut."""
    real = getattr(type(ledger), call)
    cuts: list[str] = []

    def cut(self: Ledger, *args: Any, **values: Any) -> Any:
        found = real(self, *args, **values)
        if not cuts and (call != "record_review" or values["decisions"]):
            cuts.append(call)
            raise PowerCut(call)
        return found

    monkeypatch.setattr(type(ledger), call, cut)
    return cuts


def cut_after_each(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, calls: Sequence[str]
) -> list[str]:
    """Cut the power right after the first call of each write; return what was cut."""
    cuts: list[str] = []

    def cutting(call: str) -> Any:
        real = getattr(type(ledger), call)

        def cut(self: Ledger, *args: Any, **values: Any) -> Any:
            found = real(self, *args, **values)
            if self is ledger and call not in cuts:
                cuts.append(call)
                raise PowerCut(call)
            return found

        return cut

    for call in calls:
        monkeypatch.setattr(type(ledger), call, cutting(call))
    return cuts


def cut_in_a_merge(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Cut the power right after each write by which a merge is carried out, once for each.

    Returns the writes, and what they were about, as they were cut.
    """
    cuts: list[tuple[str, str]] = []

    def cutting(call: str) -> Any:
        real = getattr(type(ledger), call)

        def cut(self: Ledger, *args: Any, **values: Any) -> Any:
            is_in_merge = any(d.kind == "merge" for d in self.open_decisions("line"))
            found = real(self, *args, **values)
            what = f"{args[1]} {values['state']}" if call == "put_member" else args[0]
            key = (call, str(what) if call != "settle" else "")
            if is_in_merge and key not in cuts:
                cuts.append(key)
                raise PowerCut(call)
            return found

        return cut

    for call in ("publish", "put_family", "put_member", "assign", "settle"):
        monkeypatch.setattr(type(ledger), call, cutting(call))
    return cuts
