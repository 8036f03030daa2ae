"""The lines that one driver looks after: those of the configuration, and members of families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from ..store import AdapterLine, AlreadyExists, Ledger, Registry
from ._config import CoordinatorConfig
from ._errors import StoreMismatch
from ._families import Family
from ._lines import Line


class Lines(Mapping[str, Line]):
    """Lines by name; those of families are added as their members are made."""

    def __init__(self, config: CoordinatorConfig, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lines: dict[str, Line] = {}
        self._changes = -1
        self.families: list[Family] = []
        for name, settings in config.adapters.items():
            family = None
            if settings.continual.mode != "off":
                family = Family(name, settings, ledger)
                self.families.append(family)
            self._lines[name] = Line(name, settings, ledger, family=family)
            if family is not None:
                self.add_members(family)

    @property
    def registry(self) -> Registry:
        """The registry that they are in."""
        return self._ledger.registry

    def __getitem__(self, name: str) -> Line:
        return self._lines[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def refresh(self) -> None:
        """Look whether an alias was moved, by an operator or by this driver; one small query."""
        changes = self._ledger.alias_changes()
        if changes != self._changes:
            self._changes = changes
            for line in self._lines.values():
                line.read_aliases()

    def make_trials(self, family: Family, name: str, *, epoch: int) -> None:
        """Make one of a family's lines of trials where it is not there yet, and take it in."""
        if name in self._lines:
            return
        with suppress(AlreadyExists):  # made before a crash
            self._ledger.create_adapter(
                name,
                base_model=family.config.base_model,
                tags={"family": family.root, "role": _role(family, name)},
                epoch=epoch,
            )
        self.add_members(family)

    def add_members(self, family: Family) -> None:
        """Take in the members of a family that are new, and its lines of trials."""
        known = {line.name: line for line in self._ledger.registry.adapters()}
        for name in [*family.members, family.trials, family.rank_trials]:
            if name not in self._lines and name in known:
                if name not in family.members:
                    _check_trials(known[name], family)
                self._lines[name] = Line(name, family.config, self._ledger, family=family)


def _check_trials(line: AdapterLine, family: Family) -> None:
    """Refuse a line that somebody has made under the name of a family's trials."""
    own = (family.root, _role(family, line.name))
    if (line.tags.get("family"), line.tags.get("role")) != own:
        raise StoreMismatch(
            f"the registry has a line {line.name!r} that this daemon did not make (base model "
            f"{line.base_model!r}), and the family {family.root!r} needs that name for its "
            f'trials: configure the family under another name, or set adapters."{family.root}"'
            '.continual.mode to "off"',
            adapter=line.name,
        )


def _role(family: Family, name: str) -> str:
    return name.removeprefix(f"{family.root}/")
