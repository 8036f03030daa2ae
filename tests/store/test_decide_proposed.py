"""What an operator has been asked already, or has vetoed, is not proposed again."""

from dataclasses import replace

import pytest
from polyrank.store import ProposalEvidence, Review, decide, replay
from store_reviews import POLICY, contradicted, member, review, root, side, trial

PAIR = (contradicted("ann"), contradicted("bob"))


def asked(**values: object) -> ProposalEvidence:
    first = {"decision": 7, "kind": "expand_adapter", "adapter": "demo", "nodes": ("ann", "bob")}
    return ProposalEvidence(**first | values)


def expanded(*proposals: ProposalEvidence, nodes: object = PAIR) -> list[str]:
    found = decide(review(*nodes, proposals=proposals), POLICY)
    assert sorted(i for choice in found for i in choice.nodes) == sorted(n.identity for n in nodes)
    return [choice.kind for choice in found]


def test_an_open_proposal_about_some_of_the_nodes_is_not_made_again():
    assert expanded() == ["expand_adapter"]
    assert expanded(asked()) == ["keep"]
    assert expanded(asked(nodes=("bob", "cyd"))) == ["keep"]
    assert expanded(asked(), nodes=(*PAIR, contradicted("cyd"))) == ["keep"]
    (choice,) = decide(review(*PAIR, proposals=(asked(),)), POLICY)
    assert choice.reason.startswith("2 nodes of demo ")
    assert choice.reason.endswith(
        "; but decision 7 proposes that already, and waits for an operator."
    )
    assert choice.numbers["decision"] == 7
    assert choice.numbers["nodes"] == 2


def test_one_about_other_nodes_adapters_or_kinds_changes_nothing():
    for other in (asked(nodes=("cyd",)), asked(adapter="demo/2"), asked(kind="merge")):
        assert expanded(other) == ["expand_adapter"]


@pytest.mark.parametrize(("since", "kind"), [(0, "keep"), (7, "keep"), (8, "expand_adapter")])
def test_a_veto_rests_for_some_reviews_for_the_nodes_it_was_about(since: int, kind: str):
    assert expanded(asked(vetoed=since, nodes=("bob", "cyd"))) == [kind]
    assert expanded(asked(vetoed=since, nodes=("cyd",))) == ["expand_adapter"]
    none = replace(POLICY, veto_rest=0)
    found = decide(review(*PAIR, proposals=(asked(vetoed=since),)), none)
    assert found[0].kind == "expand_adapter"


def test_merges_and_archiving_are_not_asked_twice_either():
    members = (root(), member(2), member(3, users=0, idle=5))
    tried = trial("demo", "demo/2", side("demo", 0.0), side("demo/2", 0.0))
    made = review(members=members, trials=(tried,))
    assert [choice.kind for choice in decide(made, POLICY)] == ["merge", "archive"]
    both = (
        asked(decision=9, kind="merge", absorb="demo/2", nodes=()),
        asked(decision=8, kind="archive", adapter="demo/3", nodes=()),
    )
    kept = decide(replace(made, proposals=both), POLICY)
    assert [(c.kind, c.adapter, c.absorb) for c in kept] == [
        ("keep", "demo", "demo/2"),
        ("keep", "demo/3", ""),
    ]
    other = replace(both[0], absorb="demo/3")
    assert decide(replace(made, proposals=(other,)), POLICY)[0].kind == "merge"


def test_proposals_are_evidence_that_can_be_replayed():
    made = review(*PAIR, proposals=(asked(decision=12), asked(decision=9, vetoed=3)))
    assert [p.decision for p in made.proposals] == [9, 12]
    again = Review.from_json(made.to_json())
    assert again == made
    assert b"but decision 9 proposed that" in replay(
        {"review": made.to_json(), "policy": POLICY.to_json()}
    )
