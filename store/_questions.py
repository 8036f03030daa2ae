"""What has to be asked before a review can be decided.

Nodes that do well are asked nothing, but for a newcomer's first window: a quiet review costs no
traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from ._decide_gate import Recall, recalls
from ._decide_scene import Scene, Signs, by_adapter, look
from ._policy import AdaptationPolicy
from ._review import MemberEvidence, RankEvidence, Review

LOST_MOVES = 2
"""Most moves within `refractory` reviews of a node that is worse off than knowing nothing."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Have a node score another stored adapter on the rows of its window, paired with its own."""

    identity: str
    adapter: str
    version: int


@dataclass(frozen=True, slots=True)
class Trial:
    """Merge two members on trial and have the nodes of both score the merge on fresh rows."""

    keep: str
    absorb: str


@dataclass(frozen=True, slots=True)
class RankTrial:
    """Train a member for one round at another rank, beside its own round, and compare the two."""

    adapter: str
    rank: int


def questions(
    review: Review, policy: AdaptationPolicy
) -> tuple[Probe | Trial | RankTrial | Recall, ...]:
    """Return what to ask before `decide`: probes, trial merges, trials of rank, recalls.

    - Each node with harm, novelty or a loss above the uninformed one scores the other members, at
      most `max_probes` of them: parent, children, then by users, then the newest. Where there are
      more, half of the places go round among the others from node to node and review to review.
      A node that cannot be moved (its window is too small, or it has just been moved) is not
      asked, nor what it has answered already.
    - A node that is new scores the other active members in the same way, once: it may belong to
      one of them; and one that was away for long, the member that it had.
    - A provisional member is tried against its parent from `provisional_age` on, other pairs of
      active members at every `merge_every`-th review; at most `max_trials` of them, those first
      that have waited longest.
    - A member whose rank is full while its loss is flat is tried at twice the rank, if one of its
      nodes can train more than it has: one member in a review, each at most once in `rank_every`
      reviews. Its judgement is for a later review: a round comes first.
    - Nodes in harm score the version that was stable before; if that is surely better for them,
      so do all others of the member.
    """
    scene = look(review, policy)
    return (*_probes(scene), *_trials(scene), *_rank_trials(scene), *recalls(scene))


def asked_first(scene: Scene, adapter: str) -> tuple[str, ...]:
    """Return the members that every node in alarm on this adapter is asked about."""
    return _split(nearest(scene, adapter), scene.policy.max_probes)[0]


def may_move(found: Signs, policy: AdaptationPolicy) -> bool:
    """Whether a node is free to move: not just moved, or lost where it is, but no more than twice.

    A node whose data alternate would otherwise move at every review, always a window too late.
    """
    since = found.node.since_move
    is_rested = since is None or since >= policy.refractory
    return is_rested or (found.lost and found.node.recent_moves < LOST_MOVES)


def nearest(scene: Scene, adapter: str) -> tuple[str, ...]:
    """Return all other members: parent, children, then most used, then newest."""
    own = scene.members[adapter]

    def distance(member: MemberEvidence) -> tuple[int, int, int, str]:
        kin = 0 if member.adapter == own.parent else 1 if member.parent == adapter else 2
        return (kin, -member.users, member.age, member.adapter)

    others = (member for member in scene.review.members if member.adapter != adapter)
    return tuple(member.adapter for member in sorted(others, key=distance))


def _split(others: Sequence[str], places: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Part those that everyone scores from those that go round."""
    first = len(others) if len(others) <= places else (places + 1) // 2
    return tuple(others[:first]), tuple(others[first:])


def _probes(scene: Scene) -> Iterator[Probe]:
    policy = scene.policy
    for adapter, group in by_adapter(scene.movable).items():
        every = nearest(scene, adapter)
        in_service = tuple(name for name in every if scene.is_active(name))
        for index, found in enumerate(group):
            if found.node.rows < policy.min_rows or not may_move(found, policy):
                continue
            answered = {probe.adapter for probe in found.node.probes}
            turn = scene.review.number + index
            others = _with(found.node.former, in_service) if found.placing else every
            for name in _asked(others, policy.max_probes, turn):
                if name not in answered:
                    yield Probe(found.node.identity, name, scene.members[name].version)


def _with(former: str | None, others: tuple[str, ...]) -> tuple[str, ...]:
    """Put the member that a node had before the others."""
    return others if former is None else (former, *(name for name in others if name != former))


def _asked(others: Sequence[str], most: int, turn: int) -> tuple[str, ...]:
    """Return whom a node scores when it is its turn: the nearest, and some of the rest."""
    first, rest = _split(others, most)
    places = min(most - len(first), len(rest))
    return (*first, *(rest[(turn * places + i) % len(rest)] for i in range(places)))


def _trials(scene: Scene) -> list[Trial]:
    """Choose among the pairs that are due: provisional ones first, then the longest untried."""
    made = {frozenset((trial.keep, trial.absorb)) for trial in scene.review.trials}
    due: list[tuple[tuple[int, int, str, str], Trial]] = []
    for x, y in combinations([m for m in scene.review.members if m.state == "active"], 2):
        newcomer = _newcomer(scene, x, y)
        if (newcomer or _in_turn(scene, x, y)) and _judged(scene, x, y) and _rested(scene, x, y):
            keep, absorb = sorted((x, y), key=lambda m: (not m.root, -m.age, m.adapter))
            order = (not newcomer, _last(x, y), keep.adapter, absorb.adapter)
            due.append((order, Trial(keep.adapter, absorb.adapter)))
    ordered = [trial for _, trial in sorted(due, key=lambda pair: pair[0])]
    open_places = max(scene.policy.max_trials - len(made), 0)
    return [t for t in ordered if frozenset((t.keep, t.absorb)) not in made][:open_places]


def _newcomer(scene: Scene, x: MemberEvidence, y: MemberEvidence) -> bool:
    """Whether one of them is provisional, old enough, and the other where it came from."""
    return any(
        young.provisional
        and young.age >= scene.policy.provisional_age
        and old.adapter == _origin(scene, young)
        for young, old in ((x, y), (y, x))
    )


def _origin(scene: Scene, member: MemberEvidence) -> str:
    """Return the member's parent if that is active, else the root."""
    parent = scene.members.get(member.parent or "")
    if parent is None or parent.state != "active":
        return scene.review.family
    return parent.adapter


def _in_turn(scene: Scene, x: MemberEvidence, y: MemberEvidence) -> bool:
    """Whether it is the review for pairs that have both found their place."""
    due = scene.review.number % scene.policy.merge_every == 0
    return due and _settled(scene, x) and _settled(scene, y)


def _settled(scene: Scene, member: MemberEvidence) -> bool:
    """Whether it has been tried where it came from, or nobody is left there to try it."""
    if not member.provisional:
        return member.age > 0
    deserted = not scene.members[_origin(scene, member)].users
    return deserted and member.age >= scene.policy.provisional_age


def _judged(scene: Scene, x: MemberEvidence, y: MemberEvidence) -> bool:
    """Whether each side has a node, and both together enough."""
    return min(x.users, y.users) > 0 and x.users + y.users >= scene.policy.min_identities


def _rested(scene: Scene, x: MemberEvidence, y: MemberEvidence) -> bool:
    last = _last(x, y)
    return last == 0 or scene.review.number - last >= scene.policy.merge_every


def _last(x: MemberEvidence, y: MemberEvidence) -> int:
    """Return the number of the review of their last trial, 0 before the first."""
    return max(x.trials.get(y.adapter, 0), y.trials.get(x.adapter, 0))


def _rank_trials(scene: Scene) -> list[RankTrial]:
    """Choose the member that has waited longest, of those that more rank may help."""
    due = [rank for rank in scene.review.ranks if _wants_rank(scene, rank)]
    due.sort(key=lambda rank: (rank.tried or 0, rank.adapter))
    return [RankTrial(rank.adapter, doubled(rank.rank, scene.policy)) for rank in due[:1]]


def _wants_rank(scene: Scene, rank: RankEvidence) -> bool:
    policy = scene.policy
    member = scene.members[rank.adapter]
    full = rank.saturated_share >= policy.rank_saturation
    flat = rank.flat_rounds >= policy.rank_flat_rounds
    room = doubled(rank.rank, policy) > rank.rank
    able = rank.trainable is None or rank.trainable > rank.rank
    rested = rank.tried is None or scene.review.number - rank.tried >= policy.rank_every
    judged = member.state == "active" and member.users >= policy.min_identities
    return full and flat and room and able and rested and judged and rank.gain is None


def doubled(rank: int, policy: AdaptationPolicy) -> int:
    """Return twice a rank, within the budget."""
    return 2 * rank if policy.max_rank is None else min(2 * rank, policy.max_rank)
