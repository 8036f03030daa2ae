"""What an operator has been asked already is not proposed again, nor for a while what was vetoed.

The newer evidence is not lost: the choice is recorded as a keep, with the reason and the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import _decide_words as words
from ._decide_choice import Choice, figures
from ._decide_scene import Scene
from ._proposal_evidence import ProposalEvidence


def without_repeats(scene: Scene, choices: Iterable[Choice]) -> tuple[Choice, ...]:
    """Return the choices, with those that repeat a proposal turned into keeps."""
    return tuple(_unless_repeated(scene, choice) for choice in choices)


def _unless_repeated(scene: Scene, choice: Choice) -> Choice:
    if choice.kind == "keep":
        return choice
    rest = scene.policy.veto_rest
    for proposal in scene.review.proposals:
        if (proposal.kind, proposal.adapter, proposal.absorb) != (
            choice.kind,
            choice.adapter,
            choice.absorb,
        ) or not _shared(choice, proposal):
            continue
        if proposal.vetoed is None:
            return _kept(choice, proposal, "proposes that already, and waits for an operator")
        if proposal.vetoed < rest:
            ago = f"{proposal.vetoed} {words.verb(proposal.vetoed, 'review', 'reviews')} ago"
            return _kept(choice, proposal, f"proposed that, and was vetoed {ago} (rest {rest})")
    return choice


def _shared(choice: Choice, proposal: ProposalEvidence) -> bool:
    """Whether both are about some of the same nodes: a group changes while an operator thinks.

    Whoever else is concerned follows by a re-route, once the first ones have their adapter.
    """
    return not choice.nodes or not set(choice.nodes).isdisjoint(proposal.nodes)


def _kept(choice: Choice, proposal: ProposalEvidence, why: str) -> Choice:
    return Choice(
        kind="keep",
        adapter=choice.adapter,
        target=choice.adapter,
        absorb=choice.absorb,
        nodes=choice.nodes,
        reason=f"{choice.reason.removesuffix('.')}; but decision {proposal.decision} {why}.",
        numbers={
            **choice.numbers,
            **figures(decision=proposal.decision, reviews_since_veto=proposal.vetoed),
        },
    )
