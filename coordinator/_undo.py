"""Undoing decisions, at an operator's word. Nothing is deleted: what was is made anew.

| undone | what happens |
|---|---|
| reroute | the nodes that are still there go back |
| expand_adapter | its nodes go back to the adapter that they left; the new line is archived |
| merge | the line that ended is back with the nodes that it had, the other as it was before |
| archive | in service again |
| expand_rank, shrink_rank | the rank and the version are back that the member had before |
| rollback | the version that was stable before it is stable again |
| pin | the alias stays: a pin costs nothing and decides nothing |
"""

from __future__ import annotations

from dataclasses import replace

from ..store import Choice, Decision, Version
from ._context import Context
from ._families import Family
from ._line_table import Lines
from ._moves import Impossible, Moves
from ._plans import STABLE
from ._rank_changes import RankChanges, rank_before


class Undo:
    """Undoes decisions that were carried out; each step may be repeated."""

    def __init__(self, context: Context, lines: Lines, moves: Moves, ranks: RankChanges) -> None:
        self._context = context
        self._lines = lines
        self._moves = moves
        self._ranks = ranks

    def act(self, family: Family, decision: Decision, choice: Choice) -> None:
        """Undo one decision; raises Impossible with the reason."""
        match choice.kind:
            case "reroute":
                self._moves.activate(family, choice.adapter)
                nodes = [i for i in choice.nodes if family.member_of(i) == choice.target]
                self._moves.move(family, nodes, choice.adapter)
            case "expand_adapter":
                self._expansion(family, decision, choice)
            case "merge":
                self._merge(family, decision, choice)
            case "archive":
                self._moves.activate(family, choice.adapter)
            case "expand_rank" | "shrink_rank":
                self._ranks.undo(family, decision, choice)
            case "rollback":
                self._rollback(decision, choice)
            case _:
                raise Impossible(f"a decision of kind {choice.kind} cannot be undone")

    def _rollback(self, decision: Decision, choice: Choice) -> None:
        ledger, adapter = self._context.ledger, choice.adapter
        back = ledger.registry.version(choice.target)
        changes = ledger.changes_by(decision.number, adapter, STABLE)
        made = next((c for c in changes if c.kind == "rollback"), None)
        if any(c.kind == "set" for c in changes):
            return  # an interrupted attempt has undone it; the alias may have moved on since
        tip = ledger.alias_tip(adapter, STABLE)
        if made is None or made.previous is None or tip is None:
            raise Impossible(f"{adapter}@{STABLE} was there already: nothing went back")
        if tip.number not in (back.number, made.previous):
            raise Impossible(f"{adapter}@{tip.number} is stable by now")
        ledger.set_alias(
            adapter,
            STABLE,
            made.previous,
            reason=f"undo of decision {decision.number}",
            decision=decision.number,
            epoch=self._context.epoch,
        )

    def _expansion(self, family: Family, decision: Decision, choice: Choice) -> None:
        made = [
            line.name
            for line in self._context.ledger.registry.adapters()
            if line.tags.get("decision") == str(decision.number) and line.name in family.members
        ]
        if not made:
            raise Impossible("the line that it made is not there")
        self._moves.activate(family, choice.adapter)
        self._moves.move(family, family.nodes_of(made[0]), choice.adapter)
        family.reload()
        self._moves.archive(family, made[0])

    def _give_rank_back(self, family: Family, keep: str, merged: Version) -> None:
        """Give a member the rank that it had before a merge, if its rank came with that."""
        state, memory = family.members[keep]
        if memory.ranks.changed == merged.ref:
            ranks = rank_before(merged, review=family.reviews)
            self._moves.put(family, keep, state, replace(memory, ranks=ranks))

    def _merge(self, family: Family, decision: Decision, choice: Choice) -> None:
        """Give both lines back what they had; what the merge learnt since stays in its versions."""
        keep, absorb = choice.adapter, choice.absorb
        state, memory = family.members[absorb]
        registry = self._context.ledger.registry
        head = self._moves.head(keep)
        if memory.merged_into is None:
            if state == "active" and head.tags.get("undoes") == str(decision.number):
                return  # an interrupted attempt has come this far
            raise Impossible(f"{absorb} has been put in service, or archived, by another decision")
        merged = registry.version(memory.merged_into)
        if merged.tags.get("decision") != str(decision.number):
            raise Impossible(f"{absorb} was merged again since, into {merged.ref}")
        before = next(parent for parent in merged.parents if parent.adapter == keep)
        ref = f"{keep}@{before.number}"
        version = self._context.ledger.publish(
            keep,
            registry.read(ref),
            profile=registry.version(ref).profile,
            parents=(before,),
            origin="undo",
            metrics=registry.version(ref).metrics,
            tags={"undoes": str(decision.number)},
            aliases=(STABLE,),
            idempotency_key=f"undo of decision {decision.number}",
            epoch=self._context.epoch,
        )
        self._give_rank_back(family, keep, merged)
        self._moves.review_as_is(family, version)
        self._lines[keep].adopt(version)
        back = [i for i in memory.absorbed if family.member_of(i) in (keep, absorb)]
        self._moves.clear(family, [i for i in family.nodes_of(keep) if i not in back], keep)
        self._moves.move(family, back, absorb)
        self._moves.activate(family, absorb)
