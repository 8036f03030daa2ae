"""The choice of what a family of adapters does next: evidence in, choices out.

Pure: no clock, no randomness, nothing outside its arguments, so that replaying recorded evidence
gives the same choices, byte for byte. The rules, in order:

1. A node in alarm (harm, new data, or worse than knowing nothing) moves to the stored adapter that
   is surely better on its own rows, and so does one that is new (`_decide_routes.py`).
2. Nodes in confirmed harm that no stored adapter cures form a new one (`_decide_expand.py`).
3. New data without harm pins the version from before it (`_decide_pin.py`).
4. Moved label frequencies without harm change nothing.
5. Adapters that a trial merge did not harm become one (`_decide_merge.py`).
6. Rank grows where it is full and more helps, shrinks where it is empty (`_decide_rank.py`).
7. An adapter without users is archived (`_decide_archive.py`).
8. A candidate that costs a domain too much is held; a stable version that is surely worse than the
   one before goes back to that (`_decide_gate.py`).

What an operator has been asked already, or has vetoed lately, is not proposed again
(`_decide_proposed.py`). Whoever is in alarm and is not moved by these is kept, with the reason
(`_decide_held.py`).
"""

from __future__ import annotations

from dataclasses import replace

from ._decide_archive import archives
from ._decide_budget import budget
from ._decide_choice import Choice
from ._decide_expand import expansions
from ._decide_gate import holds, rollbacks
from ._decide_held import keeps
from ._decide_merge import merges
from ._decide_pin import pins
from ._decide_proposed import without_repeats
from ._decide_rank import ranks
from ._decide_routes import reroutes
from ._decide_scene import look
from ._policy import AdaptationPolicy
from ._review import Review


def decide(review: Review, policy: AdaptationPolicy) -> tuple[Choice, ...]:
    """Return what to do about a family, in the order in which to do it; () when nothing is.

    Each node in alarm is in exactly one choice. An answer that is missing never moves anybody: the
    node waits. One identity alone never causes a new adapter, a merge or a change of rank, whatever
    it reports; it can move itself, at most once in `refractory` reviews, twice if it is worse off
    than knowing nothing, and it can pin.
    """
    scene = look(review, policy)
    routes = reroutes(scene)
    back = rollbacks(scene, routes.moved)
    routes = replace(routes, moved=routes.moved | back.settled)
    growth = expansions(scene, routes, budget(scene, len(routes.revived)))
    settled = routes.moved | growth.settled
    held = {**routes.held, **growth.held}
    pinned = pins(scene, settled, held, growth.budget)
    stays = keeps(scene, settled | pinned.settled, {**held, **pinned.held})
    expanded = frozenset(choice.adapter for choice in growth.choices)
    gated = (*back.choices, *holds(scene))
    doubtful = frozenset(choice.adapter for choice in gated)  # its newest version is not served
    trials = merges(scene, expanded | doubtful)
    merged = frozenset(n for c in trials if c.kind == "merge" for n in (c.adapter, c.absorb))
    targets = frozenset(choice.target for choice in routes.choices)
    choices = (
        *routes.choices,
        *growth.choices,
        *pinned.choices,
        *stays,
        *trials,
        *ranks(scene, expanded | merged | doubtful, pinned.budget),
        *archives(scene, targets | merged),
        *gated,
    )
    return without_repeats(scene, choices)
