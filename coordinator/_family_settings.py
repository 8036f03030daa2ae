"""Settings that a family took over when it began, and that cannot change any more."""

from __future__ import annotations

from ._errors import StoreMismatch
from ._families import Family


def ignored_settings(family: Family) -> list[str]:
    """Compare the configuration with what the family began with.

    Returns:
        One line for each setting that has changed and changes nothing.

    Raises:
        StoreMismatch: labels are to be counted in another number of classes than the windows on
            record are: nothing could be compared with them.
    """
    if not family.exists:
        return []
    spec, config = family.spec, family.config
    wanted, counted = config.continual.classes, spec.get("classes")
    if wanted is not None and wanted != counted:
        raise StoreMismatch(
            f"adapters.{family.root}.continual.classes is {wanted}, but this family's windows are "
            f"counted in {counted} classes since its first review: set it to {counted} or remove "
            "it, or begin a new line",
            adapter=family.root,
        )
    if config.seed == spec.get("seed"):
        return []
    return [
        f"adapters.{family.root}.seed is {config.seed} now: later rounds draw from it, but the "
        f"summaries of this family go on with {spec.get('seed')}, so that windows can be compared"
    ]
