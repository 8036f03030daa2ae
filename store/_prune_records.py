"""What a pruning did, or would do: a frozen value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was let go of; of a dry run: what would be.

    Attributes:
        retired: references of the versions that were retired.
        collected: references of the retired versions whose bytes went.
        size_bytes: of these bytes, each counted once.
        unnamed: blobs that nothing names, such as a crash leaves; of a whole registry only.
    """

    retired: tuple[str, ...] = ()
    collected: tuple[str, ...] = ()
    size_bytes: int = 0
    unnamed: int = 0
