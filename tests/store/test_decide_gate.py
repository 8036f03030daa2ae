"""Gates: what holds a candidate, what lets it through, and what takes a stable version back."""

from typing import Any

import pytest
from polyrank.store import (
    AdaptationPolicy,
    Choice,
    DomainEvidence,
    GateEvidence,
    Recall,
    RecallEvidence,
    Review,
    decide,
    promotions,
    questions,
)
from store_reviews import POLICY, harmed, quiet, review, root


def domain(name: str, change: float, error: float = 0.01, **values: Any) -> DomainEvidence:
    first = {"name": name, "rows": 80, "identities": 1, "loss_change": change}
    return DomainEvidence(**first | {"standard_error": error} | values)


def gate(*domains: DomainEvidence, **values: Any) -> GateEvidence:
    first: dict[str, Any] = {"adapter": "demo", "candidate": 7, "stable": 6}
    return GateEvidence(**first | {"compared": len(domains), "domains": domains} | values)


def held(made: Review, policy: AdaptationPolicy = POLICY) -> list[Choice]:
    return [choice for choice in decide(made, policy) if choice.kind == "hold"]


def reason(made: Review, policy: AdaptationPolicy = POLICY) -> str:
    (found,) = promotions(made, policy, decide(made, policy))
    assert (found.adapter, found.candidate) == ("demo", 7)
    return found.reason


def test_a_candidate_that_no_domain_loses_by_becomes_stable_without_a_choice():
    made = review(gates=(gate(domain("a", -0.1), domain("b", 0.02)),))
    assert not decide(made, POLICY)
    assert reason(made) == "review 10: 2 domains, the worst loses 0.020 nats (tolerance 0.063)"


def test_one_domain_that_surely_loses_more_than_the_tolerance_holds_it():
    made = review(gates=(gate(domain("a", -0.5), domain("movies", 0.3)),))
    (choice,) = held(made)
    assert (choice.adapter, choice.target, choice.nodes) == ("demo", "demo@7", ())
    assert choice.reason.startswith(
        "demo@7 costs 1 of 2 domains more than 0.063 nats against demo@6: movies loses 0.300 nats"
    )
    assert choice.numbers["stable"] == 6
    assert not promotions(made, POLICY, [choice])


@pytest.mark.parametrize(
    "loses",
    [
        domain("a", 0.049, 0.001),  # within the tolerance
        domain("a", 0.3, 0.13),  # not surely: z 2.31
        domain("a", 0.3, rows=7),  # too few rows
    ],
)
def test_less_than_that_does_not(loses: DomainEvidence):
    assert not held(review(gates=(gate(loses),)))


def test_the_more_domains_the_surer_a_loss_has_to_be():
    loses = domain("a", 0.25, 0.1)  # z 2.5
    others = [domain(f"b{i}", -0.1) for i in range(9)]
    assert held(review(gates=(gate(loses),)))
    assert not held(review(gates=(gate(loses, *others),)))
    assert not held(review(gates=(gate(loses, compared=1000),)))


def test_nodes_that_drop_out_neither_ease_the_threshold_nor_let_a_candidate_through_at_once():
    loses = domain("a", 0.25, 0.1)  # z 2.5: enough where one domain was asked, not where ten were
    assert held(review(gates=(gate(loses, expected=1),)))
    others = [domain(f"b{i}", -0.1) for i in range(4)]
    made = review(gates=(gate(loses, *others, expected=10),))
    assert not held(made)
    assert reason(made).startswith("review 10: 5 of 10 domains, the worst loses 0.250 nats")
    (choice,) = held(review(gates=(gate(*others, expected=10),)))
    assert "by 4 of the 10 domains that were asked, fewer than half" in choice.reason
    assert (choice.numbers["domains"], choice.numbers["domains_asked"]) == (4, 10)
    assert held(review(gates=(gate(expected=2, held=2),)))
    assert not held(review(gates=(gate(expected=2, held=3),))), "not for ever"
    assert not held(review(gates=(gate(),))), "evidence of before says as it did"


def test_one_node_alone_holds_only_so_many_times_and_two_as_long_as_they_lose():
    alone, both = domain("a", 0.3), domain("b", 0.3, identities=2)
    assert held(review(gates=(gate(alone, held=2),)))
    patient = review(gates=(gate(alone, held=3),))
    assert not held(patient)
    assert "one node alone has held it 3 times, and is not heard again" in reason(patient)
    assert held(review(gates=(gate(both, held=30),)))
    assert held(review(gates=(gate(alone, domain("c", 0.2), held=30),)))


def test_what_nobody_can_compare_is_promoted_and_says_so():
    assert reason(review(gates=(gate(),))) == "review 10: no node could compare it with version 6"
    first = review(gates=(gate(stable=None),))
    assert reason(first) == "review 10: there was no stable version"


HARMED = tuple(harmed(name, loss=1.0, recent_harm=(True,)) for name in ("ann", "bob"))
SERVED = (root(stable=6, previous=5),)
PASSED = (gate(domain("a", 0.0)),)


def recall(change: float, *domains: DomainEvidence, **values: Any) -> RecallEvidence:
    first: dict[str, Any] = {
        "adapter": "demo", "version": 5, "against": 7, "identities": 4, "loss_change": change,
        "standard_error": 0.02, "everyone": True, "compared": len(domains), "domains": domains,
    }  # fmt: skip
    return RecallEvidence(**first | values)


def asked(made: Review) -> list[Recall]:
    return [question for question in questions(made, POLICY) if isinstance(question, Recall)]


def test_nodes_in_harm_are_asked_about_the_version_before_and_then_all_are():
    first = review(*HARMED, members=SERVED, gates=PASSED)
    assert asked(first) == [Recall("demo", 5, 7, ("ann", "bob"))]
    some = {"everyone": False, "identities": 2}
    better = review(*HARMED, members=SERVED, gates=PASSED, recalls=(recall(-0.4, **some),))
    assert asked(better) == [Recall("demo", 5, 7)]
    assert not [c for c in decide(better, POLICY) if c.kind == "rollback"], "not all were asked"
    worse = review(*HARMED, members=SERVED, gates=PASSED, recalls=(recall(0.0, **some),))
    assert not asked(worse)


def test_while_a_candidate_is_held_the_version_before_is_compared_with_the_stable_one():
    bad = gate(domain("a", 0.3), domain("b", 0.3))
    assert asked(review(*HARMED, members=SERVED, gates=(bad,))) == [
        Recall("demo", 5, 6, ("ann", "bob"))
    ]


@pytest.mark.parametrize(
    ("nodes", "member"),
    [
        (HARMED[:1], root(stable=6, previous=5)),  # one node alone
        ((quiet("ann"), quiet("bob")), root(stable=6, previous=5)),  # nobody is in harm
        (HARMED, root(stable=6)),  # there is none
        (HARMED, root(stable=6, previous=5, recalled=8)),  # it has just been asked
        (HARMED, root()),  # not gated
    ],
)
def test_otherwise_nobody_is_asked(nodes: tuple[Any, ...], member: Any):
    assert not asked(review(*nodes, members=(member,), gates=PASSED if member.stable else ()))


def test_the_stable_version_goes_back_to_one_that_is_surely_better_for_all():
    made = review(*HARMED, members=SERVED, gates=PASSED, recalls=(recall(-0.4, domain("a", -0.4)),))
    (choice,) = [choice for choice in decide(made, POLICY) if choice.kind == "rollback"]
    assert (choice.target, choice.nodes) == ("demo@5", ("ann", "bob"))
    assert "4 nodes would gain 0.40 nats with demo@5 against demo@7" in choice.reason
    assert not promotions(made, POLICY, decide(made, POLICY)), "the candidate waits"
    kinds = [c.kind for c in decide(made, POLICY) if set(c.nodes) & {"ann", "bob"}]
    assert kinds == ["rollback"], "each node in alarm is in one choice"


@pytest.mark.parametrize(
    "found",
    [
        recall(-0.04),  # not more than the tolerance
        recall(-0.4, standard_error=0.2),  # not surely
        recall(-0.4, domain("a", -0.9), domain("b", 0.3)),  # a domain loses by it
        recall(-0.4, identities=1),
        recall(-0.06, standard_error=0.001, identities=2),  # a small part of what they lose
        recall(-0.4, version=4),  # the alias has moved since
        recall(-0.4, against=6),
    ],
)
def test_otherwise_it_stays(found: RecallEvidence):
    made = review(*HARMED, members=SERVED, gates=PASSED, recalls=(found,))
    assert "rollback" not in [choice.kind for choice in decide(made, POLICY)]


def test_a_loss_that_the_stable_version_does_not_have_is_no_reason_for_another_adapter():
    spoilt = {"loss": 1.2, "harm_z": 9.0, "balanced_accuracy": 0.2, "gate_error": 0.05}
    kinds = {
        change: [
            choice.kind
            for choice in decide(
                review(*(quiet(n, gate_change=change, **spoilt) for n in ("ann", "bob"))), POLICY
            )
        ]
        for change in (None, 0.3, 0.7)
    }
    assert kinds[None] == kinds[0.3] == ["expand_adapter"]
    assert kinds[0.7] == []
