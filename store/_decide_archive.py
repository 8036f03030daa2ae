"""Rule 7: an adapter that nobody uses is put away; it stays stored, and nodes may return to it."""

from __future__ import annotations

from . import _decide_words as words
from ._decide_choice import Choice, figures
from ._decide_scene import Scene
from ._review import MemberEvidence


def archives(scene: Scene, wanted: frozenset[str]) -> list[Choice]:
    """Choose the active members to archive, never the root.

    Args:
        scene: the review under its policy.
        wanted: adapters that nodes move to, or that are merged, in this review.
    """
    return [
        _archive(member, scene)
        for member in scene.review.members
        if _unused(member, scene) and member.adapter not in wanted
    ]


def _unused(member: MemberEvidence, scene: Scene) -> bool:
    idle = not member.users and member.idle >= scene.policy.archive_after
    return idle and member.state == "active" and not member.root


def _archive(member: MemberEvidence, scene: Scene) -> Choice:
    after = scene.policy.archive_after
    return Choice(
        kind="archive",
        adapter=member.adapter,
        target=member.adapter,
        reason=f"No node has used {member.adapter} for {member.idle} "
        f"{words.verb(member.idle, 'review', 'reviews')} (threshold {after}): it is stored and no "
        "longer trained.",
        numbers=figures(idle=member.idle, archive_after=after),
    )
