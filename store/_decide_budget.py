"""What a family may still grow by in one review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ._decide_choice import figures
from ._decide_scene import Scene
from ._policy import AdaptationPolicy


@dataclass(frozen=True, slots=True)
class Budget:
    """Active adapters and bytes that are in use, those chosen in this review included."""

    policy: AdaptationPolicy
    adapters: int
    total_bytes: int

    def with_adapter(self, size_bytes: int) -> Budget:
        """Return the budget with one more active adapter of this size."""
        return replace(self, adapters=self.adapters + 1, total_bytes=self.total_bytes + size_bytes)

    def with_bytes(self, size_bytes: int) -> Budget:
        """Return the budget with so many bytes more."""
        return replace(self, total_bytes=self.total_bytes + size_bytes)

    @property
    def problem(self) -> str:
        """What is over the limit, as the end of a sentence; "" if nothing is."""
        most, limit = self.policy.max_adapters, self.policy.max_total_bytes
        if self.adapters > most:
            return f"there would be {self.adapters} active adapters (at most {most})"
        if limit is not None and self.total_bytes > limit:
            return f"the family would keep {self.total_bytes} bytes (at most {limit})"
        return ""

    @property
    def numbers(self) -> Mapping[str, float]:
        """Use and limits."""
        return figures(
            adapters=self.adapters,
            max_adapters=self.policy.max_adapters,
            total_bytes=self.total_bytes,
            max_total_bytes=self.policy.max_total_bytes,
        )


def budget(scene: Scene, revived: int) -> Budget:
    """Return what a family uses, with so many archived members returned to service."""
    return Budget(scene.policy, scene.active + revived, scene.total_bytes)
