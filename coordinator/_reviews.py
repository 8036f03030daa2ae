"""Reviews of families: when the members' new versions have been evaluated, look, ask, decide.

Every step starts from the records, so a driver that dies anywhere is followed by one that takes the
same step again: questions are tasks on record, a review is one transaction, what was decided is
carried out by `_carry_out` before the next round is planned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from ..aggregation import AdapterError, Paired, Summary, SummarySpec
from ..client._protocol import TaskEnvelope
from ..store import Probe, Recall, Review, TaskRecord, Trial, Version
from ._actions import Actions, based
from ._carry_out import CarryOut
from ._context import Context
from ._evidence import answers_of, members_of, past_of, pooled_summary, proposals_of
from ._families import Family
from ._family_settings import first_payload, ignored_settings
from ._gates import Gates, Question, with_change
from ._line_table import Lines
from ._lines import Line
from ._observe import Window, observe, with_answers
from ._plans import new_task
from ._pruning import prune
from ._rank_trials import RankTrials
from ._references import by_member, places_of, usual_place
from ._review_records import (
    Found,
    next_aliases,
    next_members,
    next_payload,
    next_watches,
    to_record,
)
from ._round_view import TERMINAL
from ._rules import OWN, Rules
from ._trials import Trials


class Reviews:
    """Moves families on between the rounds of their members."""

    def __init__(
        self, context: Context, actions: Actions, lines: Lines, rules: Rules = OWN
    ) -> None:
        self._context = context
        self._rules = rules
        self._actions = actions
        self._lines = lines
        self._carry_out = CarryOut(context, lines)
        self._trials = Trials(context, lines)
        self._gates = Gates(context, lines)
        self._ranks = RankTrials(context, lines, rules)
        self._drafts: dict[str, tuple[int, list[Found]]] = {}
        self._references: dict[tuple[str, str], tuple[tuple[str, ...], Summary]] = {}
        for family in lines.families:
            for reason in ignored_settings(family):
                context.log.warning("setting_ignored", adapter=family.root, reason=reason)

    def step(self, family: Family) -> bool:
        """Do what can be done now; return whether anything was."""
        if self._lines[family.root].head is None:
            return False
        if not family.exists:
            self._begin(family)
            return True
        if self._has_open_round(family):
            return False  # whose start must stay the newest version, and whose nodes must stay
        if family.approved and not self._fresh(family):  # never in the middle of a review
            for decision in family.approved:
                self._carry_out.act(family, decision)
            return True
        return self._is_due(family) and self._review(family)

    def may_start(self, line: Line) -> bool:
        """Say whether a member's next round may be planned: every head is reviewed, none waits.

        After a restart the nodes are back, too: who begins apart would be reviewed apart.
        """
        family = line.family
        if family is None:
            return True
        if line.name == family.rank_trials:
            is_settled = family.rank_stage(family.rank_trial[0]) == "due"
        else:
            is_settled = family.exists and not self._fresh(family) and family.may_start(line.name)
        return is_settled and not self._is_gathering(family)

    def is_settled(self, line: Line) -> bool:
        """Say whether neither a review nor a decision that waits may move what is stable."""
        family = line.family
        if family is None:
            return True
        is_reviewed = family.exists and not self._fresh(family) and not family.approved
        return is_reviewed and not self._is_gathering(family)

    def _begin(self, family: Family) -> None:
        payload = first_payload(family, self._lines[family.root])
        self._context.ledger.put_family(family.root, payload=payload, epoch=self._context.epoch)
        family.reload()

    def _fresh(self, family: Family) -> list[Line]:
        """Return the members in service whose newest version has not been reviewed."""
        return [
            line
            for line in (self._lines[name] for name in family.active)
            if line.head is not None and not family.is_reviewed(line.name, line.head.number)
        ]

    def _is_due(self, family: Family) -> bool:
        """Say whether there are new versions and all are evaluated, or have waited long enough."""
        fresh = self._fresh(family)
        return bool(fresh) and not any(self._is_evaluating(line) for line in fresh)

    def _has_open_round(self, family: Family) -> bool:
        newest = [self._lines[name].newest for name in family.members]
        newest.append(family.rank_round)
        return any(found is not None and found.state not in TERMINAL for found in newest)

    def _is_evaluating(self, line: Line) -> bool:
        head = line.head
        assert head is not None
        if self._context.clock() >= line.evaluated_by:
            return False
        if line.family is not None and line.family.rank_stage(line.name) == "due":
            return True
        asked = {task.identity: task for task in self._evaluations(line)}
        if any(
            identity not in asked or asked[identity].state == "open"
            for identity in self._actions.eligible(line)
        ):
            return True
        closed = {i for i, task in asked.items() if task.state != "open"}
        return len(closed) < line.policy.quorum or self._may_return(line, closed)

    def _is_gathering(self, family: Family) -> bool:
        """Say whether this driver has just started, and nodes of the family are not back yet."""
        nodes = self._context.nodes
        if self._context.clock() >= nodes.return_until:
            return False
        return any(nodes.is_awaited(identity) for identity in family.assigned)

    def _may_return(self, line: Line, closed: set[str]) -> bool:
        """Say whether a user of a member has not answered, and is away for a moment only."""
        family, nodes = line.family, self._context.nodes
        assert family is not None, "only members are reviewed"
        if self._context.clock() >= nodes.return_until:
            return False
        users = (i for i, (member, _) in family.assigned.items() if member == line.name)
        return any(nodes.may_return(i) for i in users if i not in closed)

    def _evaluations(self, line: Line) -> list[TaskRecord]:
        head = line.head
        assert head is not None
        tasks = self._context.ledger.tasks(line.name, round=head.round or 0)
        return [t for t in tasks if t.kind == "evaluate" and t.start_digest == head.digest]

    def _review(self, family: Family) -> bool:
        """Ask what is to be asked, wait for the answers, ask what follows from them, record."""
        number = family.reviews + 1
        found = self._found(family, number)
        tasks = self._probe_tasks(family, number)
        if any(task.state == "open" and self._is_reachable(task.identity) for task in tasks):
            return False
        windows = [one.window for one in found]
        known = {task.key for task in tasks}
        if self._put(self._gates.questions(family, number, windows), known):
            return True
        review = self._answered(family, self._draft(family, number, found), tasks, windows)
        if self._put(self._questions(family, review, windows), known):
            return True
        self._record(family, review)
        return True

    def _found(self, family: Family, number: int) -> list[Found]:
        """Test each new window; kept while the review waits for answers to its questions."""
        kept = self._drafts.get(family.root)
        if kept is None or kept[0] != number:
            found = [self._tested(family, number, window) for window in self._windows(family)]
            kept = self._drafts[family.root] = (number, found)
        return kept[1]

    def _tested(self, family: Family, number: int, window: Window) -> Found:
        watch = family.watch(window.identity)
        try:
            reference = self._reference(family, window.identity)
        except AdapterError:  # its windows are of two kinds: begin anew with this one
            reference, watch = None, watch.pinned()
        settled = family.spec.get("bandwidth") is not None or not window.summary.width
        finding = observe(
            window,
            watch,
            reference,
            family.policy,
            is_reference=settled,
            review=number,
            past=partial(past_of, self._context.ledger, family, window.identity),
        )
        if family.is_newcomer(window.identity):
            former = family.former(window.identity)
            former = former if former in family.heads else None
            evidence = replace(finding.evidence, newcomer=True, former=former)
            finding = replace(finding, evidence=evidence, is_news=True)
        return Found(window, finding)

    def _windows(self, family: Family) -> Iterable[Window]:
        spec = SummarySpec.from_json(family.spec)
        for line in self._fresh(family):
            tasks = {task.key: task for task in self._evaluations(line) if task.state == "done"}
            payloads = self._context.ledger.summaries_of(list(tasks))
            for key, payload in sorted(payloads.items(), key=lambda p: tasks[p[0]].identity):
                identity = tasks[key].identity
                is_new = key != family.watch(identity).seen
                if "summary" in payload and is_new and family.member_of(identity) == line.name:
                    summary = Summary.from_json(payload["summary"], spec)
                    gate = Paired(**payload["gate"]) if "gate" in payload else None
                    yield Window(key, identity, line.name, summary, gate)

    def _reference(self, family: Family, identity: str) -> Summary | None:
        keys = family.watch(identity).reference
        if len(keys) < family.policy.base_windows:
            return None
        kept = self._references.get((family.root, identity))
        if kept is None or kept[0] != keys:
            spec = SummarySpec.from_json(family.spec)
            pooled = pooled_summary(self._context.ledger, keys, spec)
            kept = self._references[family.root, identity] = (keys, pooled)
        return kept[1]

    def _draft(self, family: Family, number: int, found: list[Found]) -> Review:
        everyone = self._rules.lists_all
        listed = [f for f in found if everyone or f.finding.is_news]
        quiet = Counter(f.window.adapter for f in found if not (everyone or f.finding.is_news))
        return Review(
            family=family.root,
            number=number,
            members=members_of(family, self._lines, [f.window.identity for f in found]),
            proposals=proposals_of(self._context.ledger, family),
            nodes=tuple(f.finding.evidence for f in listed),
            quiet=dict(sorted(quiet.items())),
        )

    def _probe_tasks(self, family: Family, number: int) -> list[TaskRecord]:
        trials = [n for n in (family.trials, family.rank_trials) if n in self._lines]
        names = [*family.members, *trials]
        found = [t for name in names for t in self._context.ledger.tasks(name, round=number)]
        return [task for task in found if task.kind == "probe"]

    def _answered(
        self, family: Family, draft: Review, tasks: list[TaskRecord], windows: list[Window]
    ) -> Review:
        """Return the review with what nodes have answered to its questions."""
        answers = self._context.ledger.summaries_of([task.key for task in tasks])
        probes, trials = answers_of(tasks, answers, family, self._lines)
        changes = self._gates.changes(family, draft.number, windows, answers)
        nodes = (with_answers(n, probes.get(n.identity, ()), family.policy) for n in draft.nodes)
        review = replace(
            draft,
            nodes=tuple(with_change(node, changes.get(node.identity)) for node in nodes),
            trials=trials,
            gates=self._gates.evidence(family, windows, changes),
            recalls=self._gates.recalled(family, draft.number, windows, tasks, answers),
        )
        return replace(review, ranks=self._ranks.evidence(family, review, tasks, answers))

    def _put(self, questions: Iterable[Question], known: Collection[str]) -> bool:
        """Put the questions on record that are not; return whether there were any."""
        new = 0
        for line, envelope in questions:
            if self._is_reachable(envelope.identity) and envelope.task_key not in known:
                task = new_task(envelope, "probe")
                self._context.ledger.put_task(task, epoch=self._context.epoch)
                line.dirty = True
                new += 1
        return new > 0

    def _is_reachable(self, identity: str) -> bool:
        nodes = self._context.nodes
        return identity in nodes.live or nodes.may_return(identity)

    def _questions(
        self, family: Family, review: Review, windows: list[Window]
    ) -> Iterable[Question]:
        for line, version, identity in self._ranks.questions(family, windows):
            yield line, self._probe(line, version, identity, review.number)
        for question in self._rules.questions(review, family.policy):
            if isinstance(question, Probe):
                line = self._lines[question.adapter]
                assert line.head is not None
                yield line, self._probe(line, line.head, question.identity, review.number)
            elif isinstance(question, Trial):
                version = self._trials.publish(family, question, review.number)
                line = self._lines[family.trials]
                for window in windows:
                    if window.adapter in (question.keep, question.absorb):
                        yield line, self._probe(line, version, window.identity, review.number)
            elif isinstance(question, Recall):
                yield from self._gates.recall(review.number, question, windows)

    def _probe(self, line: Line, version: Version, identity: str, number: int) -> TaskEnvelope:
        return self._context.dispatch.evaluation(
            line, based(line), version, kind="probe", round=number, identity=identity
        )

    def _still_asked(self, family: Family) -> dict[str, Any] | None:
        """Return what evaluations ask, if one is out: a review changes what the next ones ask."""
        tasks = (task for line in self._fresh(family) for task in self._evaluations(line))
        return family.asked if any(task.state == "open" for task in tasks) else None

    def _record(self, family: Family, review: Review) -> None:
        context = self._context
        found = self._drafts.pop(family.root)[1]
        choices = self._rules.decide(review, family.policy)
        heads = {n: h for n in family.active if (h := self._lines[n].head) is not None}
        ranks = self._ranks.after(family, review, [line.name for line in self._fresh(family)])
        places = places_of(context.ledger.registry)
        place = family.place or usual_place(found, places)
        _, decisions = context.ledger.record_review(
            family.root,
            number=review.number,
            evidence={"review": review.to_json(), "policy": family.policy.to_json()},
            subject=f"review {review.number}",
            decisions=[to_record(choice, family.config.continual.mode) for choice in choices],
            payload={
                **next_payload(family, heads, found),
                "place": place,
                "asked": self._still_asked(family),
            },
            members=next_members(family, review, choices, ranks, by_member(found, places, place)),
            assignments=next_watches(family, found, choices),
            aliases=next_aliases(review, family.policy, choices),
            epoch=context.epoch,
        )
        family.reload()
        self._lines.refresh()
        prune(context, family, self._lines)
        context.log.info("family_reviewed", adapter=family.root, number=review.number,
                         windows=len(found), decisions=len(decisions))  # fmt: skip
        for decision in decisions:
            context.log.info("decision_made", adapter=decision.adapter, number=decision.number,
                             kind=decision.kind, state=decision.state,
                             reason=decision.reason)  # fmt: skip
