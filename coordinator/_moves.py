"""The small steps that decisions are made of: assign nodes, put members in or out of service."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..store import Version
from ._context import Context
from ._families import Family, MemberState
from ._line_table import Lines
from ._watch import Membership


class Impossible(Exception):
    """A decision cannot be carried out any more; the message is the reason that goes on record."""


class Moves:
    """Each step may be repeated."""

    def __init__(self, context: Context, lines: Lines) -> None:
        self._context = context
        self._lines = lines

    def move(self, family: Family, nodes: Iterable[str], member: str) -> None:
        """Assign nodes to a member; those that are there already stay as they are."""
        self.clear(family, [i for i in nodes if family.member_of(i) != member], member)

    def clear(self, family: Family, nodes: Iterable[str], member: str) -> None:
        """Assign nodes to a member and forget what was remembered of them, moved or not."""
        cleared = {i: (member, family.watch(i).moved().to_json()) for i in nodes}
        if cleared:
            self._context.ledger.assign(family.root, cleared, epoch=self._context.epoch)

    def put(self, family: Family, member: str, state: MemberState, memory: Membership) -> None:
        """Write down a member's state and what is remembered of it."""
        self._context.ledger.put_member(
            family.root,
            member,
            state=state,
            payload=memory.to_json(),
            epoch=self._context.epoch,
        )

    def activate(self, family: Family, member: str) -> None:
        """Put a member in service again; raises Impossible for a line that is no member."""
        if member not in family.members:
            raise Impossible(f"{member} is not a member of {family.root}")
        state, memory = family.members[member]
        if state != "active":
            memory = replace(memory, absorbed=(), merged_into=None, idle=0)
            self.put(family, member, "active", memory)

    def archive(self, family: Family, member: str) -> None:
        """Put a member away; raises Impossible for the root, and while nodes use it.

        Nodes that are gone do not count: should one come back, it begins as a newcomer does.
        """
        if member == family.root or member not in family.members:
            raise Impossible(f"{member} is no member of {family.root} that can be put away")
        if users := family.present(member):
            raise Impossible(f"{users} nodes use {member}")
        self.put(family, member, "archived", family.members[member][1])

    def review_as_is(self, family: Family, version: Version) -> None:
        """Take a version as reviewed: its bytes have just been judged, as a probe or a trial."""
        reviewed = {**family.reviewed, version.adapter: version.number}
        family.payload = {**family.payload, "reviewed": reviewed}
        self._context.ledger.put_family(
            family.root, payload=family.payload, epoch=self._context.epoch
        )

    def head(self, member: str) -> Version:
        """Return a member's newest version; raises Impossible if it has none."""
        found = self._lines[member].head if member in self._lines else None
        if found is None:
            raise Impossible(f"{member} has no version")
        return found
