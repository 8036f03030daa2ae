"""Carrying out decisions. Every step can be repeated: a crash in between does no harm.

A decision is carried out once: its log says so, in the end. What it needs (a line, a version) is
made under names and keys that follow from its number, so a second attempt finds the first one's.
"""

from __future__ import annotations

from dataclasses import replace

from ..aggregation import AdapterError
from ..store import (
    PIN_PREFIX,
    Choice,
    Decision,
    Parent,
    StaleEpoch,
    StorageFailure,
    StoreBusy,
    StoreError,
    Version,
)
from ._context import Context
from ._families import Family
from ._line_table import Lines
from ._merging import merge
from ._moves import Impossible, Moves
from ._plans import STABLE
from ._rank_changes import RankChanges, rank_tags, with_rank_of
from ._rank_memory import RankMemory
from ._references import joined, of_nodes
from ._undo import Undo
from ._watch import Membership


class CarryOut:
    """Acts on decisions that are approved, and undoes those that an operator wants undone."""

    def __init__(self, context: Context, lines: Lines) -> None:
        self._context = context
        self._lines = lines
        self._moves = Moves(context, lines)
        self._ranks = RankChanges(context, lines, self._moves)
        self._undo = Undo(context, lines, self._moves, self._ranks)

    def act(self, family: Family, decision: Decision) -> None:
        """Carry out (or undo) one decision, and write in its log what became of it."""
        context = self._context
        is_undo = decision.state == "undone"
        try:
            choice = Choice.from_json(decision.payload)
            if is_undo:
                self._undo.act(family, decision, choice)
            else:
                self._act(family, decision, choice)
        except (StaleEpoch, StoreBusy, StorageFailure):
            raise  # not the decision's fault: it is tried again
        except (Impossible, StoreError, AdapterError) as error:
            state, reason = "carried_out" if is_undo else "failed", f"not possible: {error}"
        else:
            state, reason = "undone" if is_undo else "carried_out", ""
        context.ledger.settle(decision.number, state=state, reason=reason, epoch=context.epoch)
        context.log.info("decision_settled", adapter=family.root, number=decision.number,
                         kind=decision.kind, state=state, reason=reason)  # fmt: skip
        family.reload()
        self._lines.add_members(family)
        self._lines.refresh()

    def _act(self, family: Family, decision: Decision, choice: Choice) -> None:
        match choice.kind:
            case "reroute":
                nodes = self._there(family, choice, or_in=choice.target)
                self._moves.activate(family, choice.target)
                self._moves.move(family, nodes, choice.target)
            case "pin":
                self._pin(decision, choice)
            case "expand_adapter":
                self._expand(family, decision, choice)
            case "merge":
                self._merge(family, decision, choice)
            case "archive":
                self._moves.archive(family, choice.adapter)
            case "expand_rank" | "shrink_rank":
                self._ranks.act(family, decision, choice)
            case "rollback":
                self._roll_back(decision, choice)
            case _:
                raise Impossible(f"this version of polyrank does not carry out {choice.kind}")

    def _pin(self, decision: Decision, choice: Choice) -> None:
        version = self._context.ledger.registry.version(choice.target)
        self._context.ledger.set_alias(
            version.adapter,
            f"{PIN_PREFIX}{decision.number}",
            version.number,
            reason=f"decision {decision.number}",
            decision=decision.number,
            epoch=self._context.epoch,
        )

    def _roll_back(self, decision: Decision, choice: Choice) -> None:
        """Let the stable alias go back, if it still names what the decision is about.

        An attempt before a crash may have done so; whoever has moved the alias since, it was done.
        """
        context = self._context
        version = context.ledger.registry.version(choice.target)
        if version.adapter != choice.adapter:
            raise Impossible(f"{choice.target} is no version of {choice.adapter}")
        made = context.ledger.changes_by(decision.number, choice.adapter, STABLE)
        if any((c.kind, c.number) == ("rollback", version.number) for c in made):
            return
        tip = context.ledger.alias_tip(choice.adapter, STABLE)
        judged = choice.numbers.get("stable")
        if judged is not None and tip is not None and tip.number not in (judged, version.number):
            raise Impossible(f"{choice.adapter}@{tip.number} is stable by now")
        context.ledger.roll_back(
            choice.adapter,
            STABLE,
            version.number,
            reason=f"decision {decision.number}",
            decision=decision.number,
            epoch=context.epoch,
        )

    def _expand(self, family: Family, decision: Decision, choice: Choice) -> None:
        context = self._context
        source = context.ledger.registry.version(choice.target)
        if source.base_model != family.config.base_model:
            raise Impossible(f"{source.ref} is on another base model, {source.base_model}")
        made = self._made_by(family, decision)
        nodes = self._there(family, choice, or_in=made or "")
        data = context.ledger.registry.read(source.ref)
        name = made or self._new_line(family, decision)
        version = context.ledger.publish(
            name,
            data,
            profile=source.profile,
            parents=(Parent(adapter=source.adapter, number=source.number, role="source"),),
            origin="expand",
            aliases=(STABLE,),
            idempotency_key="initial",
            epoch=context.epoch,
        )
        _, origin = family.members.get(source.adapter, ("", Membership()))
        ranks = RankMemory(rank=origin.ranks.rank)
        windows = {identity: family.watch(identity).seen for identity in nodes}
        memory = Membership(
            parent=source.adapter,
            provisional=True,
            ranks=ranks,
            reference=of_nodes(context.ledger, windows, family.payload),
        )
        self._moves.put(family, name, "active", memory)
        self._moves.review_as_is(family, version)
        self._moves.move(family, nodes, name)

    def _made_by(self, family: Family, decision: Decision) -> str | None:
        """Return the line that an interrupted attempt has made."""
        for line in self._context.ledger.registry.adapters():
            is_ours = line.tags.get("family") == family.root
            if is_ours and line.tags.get("decision") == str(decision.number):
                return line.name
        return None

    def _new_line(self, family: Family, decision: Decision) -> str:
        """Make the line with the first free name, once all that it needs is there."""
        context = self._context
        known = {line.name for line in context.ledger.registry.adapters()}
        number = 2
        while (name := f"{family.root}/{number}") in known:
            number += 1
        context.ledger.create_adapter(
            name,
            base_model=family.config.base_model,
            tags={"family": family.root, "decision": str(decision.number)},
            epoch=context.epoch,
        )
        return name

    def _merge(self, family: Family, decision: Decision, choice: Choice) -> None:
        """Publish the merge on the line that goes on; the other keeps its own last version.

        So what was merged away is still a place to go back to, should the conflict return.
        """
        keep, absorb = choice.adapter, choice.absorb
        version = self._moves.head(keep)
        if version.tags.get("decision") != str(decision.number):  # else made before a crash
            self._check_merge(family, choice)
            version = self._publish_merge(family, decision, choice)
        self._moves.review_as_is(family, version)
        self._lines[keep].adopt(version)
        users, memory = family.nodes_of(absorb), family.members[absorb][1]
        state, kept = family.members[keep]
        if kept.took != version.ref:
            both = joined(kept.reference, memory.reference, family.spec)
            kept = replace(kept, reference=both, took=version.ref)
            kept = replace(kept, ranks=with_rank_of(version, kept.ranks))
            self._moves.put(family, keep, state, kept)
        if users or memory.merged_into != version.ref:
            memory = replace(memory, absorbed=users, merged_into=version.ref)
        # put away last: a node whose member is put away counts as one without a place, and what is
        # remembered of it would be lost if the power were cut before it was moved
        self._moves.put(family, absorb, family.members[absorb][0], memory)
        self._moves.clear(family, (*family.nodes_of(keep), *users), keep)
        self._moves.put(family, absorb, "archived", memory)

    def _check_merge(self, family: Family, choice: Choice) -> None:
        keep, absorb = choice.adapter, choice.absorb
        if keep == absorb or not {keep, absorb} <= set(family.active):
            raise Impossible(f"{keep} and {absorb or 'nothing'} are not two members in service")
        if absorb == family.root:
            raise Impossible(f"{absorb} is the root: it goes on, the other ends")
        if choice.target.startswith(f"{family.trials}@"):
            tried = self._context.ledger.registry.version(choice.target).parents
            heads = {(m, self._moves.head(m).number) for m in (keep, absorb)}
            if {(parent.adapter, parent.number) for parent in tried} != heads:
                raise Impossible(f"{choice.target} was tried on other versions than the newest")

    def _rank_tags(self, family: Family, choice: Choice) -> dict[str, str]:
        """Return the tags of a change of rank, where the member that ends had the larger one.

        What is merged has the larger rank, and the next round must not cut it back.
        """
        own, other = (self._lines[n].rank_budget for n in (choice.adapter, choice.absorb))
        if family.state_rank(choice.adapter) is None or other <= own:
            return {}
        return rank_tags(other, family.members[choice.adapter][1].ranks)

    def _publish_merge(self, family: Family, decision: Decision, choice: Choice) -> Version:
        context = self._context
        heads = [self._moves.head(member) for member in (choice.adapter, choice.absorb)]
        made = merge(context.ledger, *heads, limits=context.limits)
        return context.ledger.publish(
            choice.adapter,
            made.data,
            profile=made.profile,
            parents=made.parents,
            origin="merge",
            metrics=made.metrics,
            tags={"decision": str(decision.number)} | self._rank_tags(family, choice),
            aliases=(STABLE,),
            idempotency_key=f"decision {decision.number}",
            epoch=context.epoch,
        )

    def _there(self, family: Family, choice: Choice, *, or_in: str) -> list[str]:
        """Return the nodes that are still where the choice found them (or moved by it before)."""
        found = [i for i in choice.nodes if family.member_of(i) in (choice.adapter, or_in)]
        if not found:
            raise Impossible(f"none of its nodes uses {choice.adapter} any more")
        return found
