"""Evidence of what operators have been asked already."""

from __future__ import annotations

from dataclasses import dataclass

from ._decide_fields import Checked, Count, Identity, Key, Name, Positive, Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalEvidence(Checked):
    """A proposal that waits for an operator, or that one has vetoed lately.

    Attributes:
        decision: its number.
        kind: what it proposes.
        adapter: the line that it is about.
        absorb: of a merge: the line that would end.
        nodes: the nodes that it is about.
        vetoed: reviews since it was vetoed, 0 in the first one after; None: it still waits.
    """

    decision: Positive
    kind: Key
    adapter: Name
    absorb: Sentence = ""
    nodes: tuple[Identity, ...] = ()
    vetoed: Count | None = None
