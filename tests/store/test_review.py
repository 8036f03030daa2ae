"""Evidence: checked however it is made, one form on disk."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polyrank.store import GateEvidence, InvalidValue, Review
from store_reviews import (
    harmed,
    member,
    novel,
    probe,
    quiet,
    review,
    reviews,
    root,
    side,
    trial,
)


@settings(max_examples=60, deadline=None)
@given(reviews())
def test_any_review_survives_json_text(made: Review):
    again = Review.from_json(json.loads(made.canonical()))
    assert again == made
    assert again.canonical() == made.canonical()
    assert Review.from_json(made.to_json()) == made
    assert hash(again) == hash(made)


@settings(max_examples=40, deadline=None)
@given(reviews(), st.randoms(use_true_random=False))
def test_the_order_of_what_a_review_is_made_from_does_not_matter(made: Review, dice: random.Random):
    def shuffled(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(dice.sample(items, len(items)))

    nodes = tuple(replace(node, probes=shuffled(node.probes)) for node in made.nodes)
    mixed = Review(
        family=made.family,
        number=made.number,
        members=shuffled(made.members),
        nodes=shuffled(nodes),
        quiet=dict(dice.sample(list(made.quiet.items()), len(made.quiet))),
        trials=shuffled(made.trials),
        ranks=shuffled(made.ranks),
    )
    assert mixed == made
    assert mixed.canonical() == made.canonical()


def test_canonical_json_is_plain_and_sorted():
    assert review(number=1, members=(root(users=0, age=0, size_bytes=0),)).canonical() == (
        b'{"family":"demo","members":[{"adapter":"demo","root":true,"version":7}],"number":1}'
    )


def test_a_whole_number_is_a_float_where_one_is_declared_and_minus_zero_is_zero():
    node = harmed("ann", loss=1, harm_z=-0.0)
    assert isinstance(node.loss, float)
    assert str(node.harm_z) == "0.0"


def valid() -> dict[str, Any]:
    made = review(
        harmed("ann", probes=(probe("demo/2", 0.1),)),
        members=(root(), member(2)),
        trials=(trial("demo", "demo/2", side("demo", 0.1), side("demo/2", 0.2)),),
        quiet={"demo": 3},
    )
    return json.loads(made.canonical())


NODE, PROBE, MEMBER = ("nodes", 0), ("nodes", 0, "probes", 0), ("members", 1)
TRIAL = ("trials", 0)
WRONG: list[tuple[tuple[str | int, ...], Any, str]] = [
    (("number",), 0, "number: 0"),
    (("number",), True, "number: True"),
    (("number",), 1.0, "number: 1.0"),
    (("family",), "no name", "family: 'no name'"),
    (("family",), 3, "family: int is not text"),
    (("members",), [], "members: demo is not their one root"),
    (("members",), {}, "members: ReadOnlyDict is not a list|members: dict is not a list"),
    ((*MEMBER, "root"), True, "members: demo is not their one root"),
    ((*MEMBER, "root"), 1, r"members\[1\].root: int is neither true nor false"),
    ((*MEMBER, "state"), "asleep", r"members\[1\].state: 'asleep' is none of active, archived"),
    ((*MEMBER, "adapter"), "demo", "members: demo is there twice"),
    ((*MEMBER, "trials"), {"no name": 1}, r"members\[1\].a key of trials: 'no name'"),
    ((*MEMBER, "trials"), {"demo": -1}, r"members\[1\].trials.demo: -1"),
    ((*NODE, "identity"), "a\nb", r"nodes\[0\].identity"),
    ((*NODE, "identity"), "", r"nodes\[0\].identity"),
    ((*NODE, "adapter"), "demo/9", "nodes: demo/9 is not one of the members"),
    ((*NODE, "rows"), 0, r"nodes\[0\].rows: 0"),
    ((*NODE, "loss"), float("nan"), r"nodes\[0\].loss: nan"),
    ((*NODE, "loss"), float("inf"), r"nodes\[0\].loss: inf"),
    ((*NODE, "loss"), 1e300, r"nodes\[0\].loss: 1e\+300"),
    ((*NODE, "loss"), 10**400, r"nodes\[0\].loss: int is not a number"),
    ((*NODE, "loss"), True, r"nodes\[0\].loss: True is not a number"),
    ((*NODE, "loss"), "0.5", r"nodes\[0\].loss: '0.5' is not a number"),
    ((*NODE, "chance"), 1.5, r"nodes\[0\].chance: 1.5 is not a number from 0 to 1"),
    ((*NODE, "recent_harm"), [1], r"nodes\[0\].recent_harm\[0\]: int is neither"),
    ((*NODE, "secret"), 1, r"nodes\[0\].secret: there is no such field"),
    ((*NODE,), None, r"nodes\[0\]: NoneType is not a JSON object"),
    ((*PROBE, "standard_error"), -0.1, r"nodes\[0\].probes\[0\].standard_error: -0.1"),
    ((*PROBE, "adapter"), "demo", r"nodes\[0\].probes: demo is the node's own"),
    ((*PROBE, "adapter"), "demo/7", r"nodes\[0\].probes: demo/7 is not one of the members"),
    ((*TRIAL, "absorb"), "demo", r"trials\[0\].absorb: demo cannot be merged with itself"),
    ((*TRIAL, "trial"), "demo/trials", r"trials\[0\].trial: 'demo/trials' does not name one"),
    ((*TRIAL, "trial"), "@", r"trials\[0\].trial"),
    ((*TRIAL, "sides", 0, "identities"), 0, r"trials\[0\].sides\[0\].identities: 0"),
    ((*TRIAL, "sides", 0, "adapter"), "demo/3", r"trials\[0\].sides: demo/3 is not"),
    ((*TRIAL, "sides", 0, "adapter"), "demo/2", r"trials\[0\].sides: demo/2 is there twice"),
    (("quiet",), {"demo/3": 1}, "quiet: demo/3 is not one of the members"),
    (("quiet",), [], "quiet: list is not a JSON object"),
    (("ranks",), [{"adapter": "demo", "rank": 8}], r"ranks\[0\].energy_rank: is missing"),
]


@pytest.mark.parametrize(("path", "value", "problem"), WRONG)
def test_what_cannot_be_right_is_refused_with_its_place(
    path: tuple[str | int, ...], value: Any, problem: str
):
    values: Any = valid()
    inner = values
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(InvalidValue, match=f"^Review.({problem})"):
        Review.from_json(values)


def test_the_valid_one_of_these_is_taken():
    assert Review.from_json(valid()).nodes[0].probes == (probe("demo/2", 0.1),)


def test_a_missing_field_is_named_and_so_is_a_value_that_is_no_object():
    values = valid()
    del values["nodes"][0]["loss"]
    with pytest.raises(InvalidValue, match=r"evidence.nodes\[0\].loss: is missing"):
        Review.from_json(values, field="evidence")
    with pytest.raises(InvalidValue, match="Review: NoneType is not a JSON object"):
        Review.from_json(None)


def test_the_root_is_never_absorbed_and_a_pair_is_tried_once():
    members = (root(), member(2))
    with pytest.raises(InvalidValue, match="never absorbed"):
        review(members=members, trials=(trial("demo/2", "demo"),))
    third = (*members, member(3))
    with pytest.raises(InvalidValue, match="demo/2 and demo/3 is there twice"):
        review(members=third, trials=(trial("demo/2", "demo/3"), trial("demo/3", "demo/2")))


def test_a_node_is_there_once():
    with pytest.raises(InvalidValue, match="nodes: ann is there twice"):
        review(novel("ann"), quiet("ann"))


def test_what_is_wrong_is_found_when_a_value_is_made_not_when_it_is_used():
    with pytest.raises(InvalidValue, match="gain: nan"):
        probe("demo/2", float("nan"))
    with pytest.raises(InvalidValue, match="probes: demo/2 is there twice"):
        quiet("ann", probes=(probe("demo/2", 0.1), probe("demo/2", 0.2)))


def compared(**values: Any) -> GateEvidence:
    first: dict[str, Any] = {"adapter": "demo", "candidate": 8, "stable": 7}
    return GateEvidence(**first | values)


def test_what_domains_say_of_a_candidate_is_sorted_and_left_out_where_there_is_none():
    domains = [
        {"name": name, "rows": 80, "identities": 1, "loss_change": 0.1, "standard_error": 0.02}
        for name in ("movies", "books")
    ]
    made = review(gates=(compared(compared=2, domains=domains),))
    assert [domain.name for domain in made.gates[0].domains] == ["books", "movies"]
    assert Review.from_json(json.loads(made.canonical())) == made
    assert "gates" not in review().to_json()
    assert "recalls" not in review().to_json()


def test_comparisons_that_cannot_be_are_refused():
    domain = {"name": "a", "rows": 1, "identities": 1, "loss_change": 0.0, "standard_error": 0.0}
    with pytest.raises(InvalidValue, match="domains: 1 of 0 that compared"):
        compared(domains=(domain,))
    with pytest.raises(InvalidValue, match="a is there twice"):
        compared(compared=2, domains=(domain, domain))
    with pytest.raises(InvalidValue, match="demo/9 is not one of the members"):
        review(gates=(compared(adapter="demo/9"),))
    with pytest.raises(InvalidValue, match="demo is there twice"):
        review(gates=(compared(), compared(candidate=9)))
