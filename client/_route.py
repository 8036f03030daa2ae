"""Which adapter fits a batch, said on the node and offline, and a mixture of several as one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._errors import AdapterUnavailable, ClientError, DataError, RouteUnavailable
from ._latest import LatestAdapters
from ._routes import KnownFamily, Routes

if TYPE_CHECKING:
    from torch import Tensor

    from ..aggregation import Adapter, Routing

LEAST_SHARE = 0.05


def route(features: Tensor, *, state_dir: Path | str, adapter: str | None = None) -> Routing:
    """Say which adapters of a family fit a batch, and in which shares; nothing leaves the node.

    The batch is compared with the newest routing table that reached this node, by
    `polyrank.aggregation.route`. Where the table cannot tell adapters apart, the one that this node
    uses is preferred. Any process may ask, whether the node runs or not.

    Args:
        features: (rows, width) of the frozen base model, as the trainer's ``features`` gives them.
        state_dir: the node's state directory.
        adapter: of the family that is meant; None: the only one that the node knows.

    Raises:
        RouteUnavailable: no table has arrived, none of this adapter, or the family's members have
            sent no features yet.
        DataError: features without rows, of another width, or with NaN or infinity.
    """
    return answer(Routes(Path(state_dir) / "routes").find(adapter), features)


def answer(known: KnownFamily, features: Tensor) -> Routing:
    """Route a batch by what is known of a family; see `route`."""
    from ..aggregation import AdapterError, RouteTable, Routing, SummaryError
    from ..aggregation import route as route_batch

    if known.is_alone:
        _check(features)
        rows = (known.own,) * features.shape[0]
        return Routing(known.own, True, {known.own: 1.0}, {}, (), rows)
    if known.table is None:
        raise RouteUnavailable(
            f"the adapters of {known.family} have no references yet: its nodes' trainers give no "
            "features, or the first reviews are still to come"
        )
    if known.place and known.own_place and known.place != known.own_place:
        raise RouteUnavailable(
            f"this node's features come from another place of the model ({known.own_place}) than "
            f"those that the adapters of {known.family} are known by ({known.place}): adapt the "
            "same layers"
        )
    try:
        table = RouteTable.from_json(known.table)
    except SummaryError as error:
        raise RouteUnavailable(f"the table of {known.family} cannot be read: {error}") from error
    try:
        return route_batch(features, table, own=known.own)
    except AdapterError as error:
        raise DataError(f"these features cannot be routed: {error}") from error


def mixture(
    shares: Mapping[str, float],
    folder: Path | str,
    *,
    state_dir: Path | str,
    least_share: float = LEAST_SHARE,
) -> Path:
    """Write one adapter for mixed data: the exact stack of stored ones, weighed by their shares.

    Its delta is the weighted sum of theirs, so its rank is the sum of their ranks; heads are
    averaged by the same weights. The adapters are this node's newest stable versions.

    Args:
        shares: adapter -> weight, such as `Routing.shares`; those below `least_share` are left out,
            and the others are scaled to sum to 1.
        folder: where PEFT's files are written.
        state_dir: the node's state directory.
        least_share: in [0, 1).

    Returns:
        The folder.

    Raises:
        AdapterUnavailable: an adapter of the mixture has not reached this node; names all that are
            missing.
        DataError: no share is left, or one is not a finite number >= 0.
        ExportError: a stored adapter cannot be read, or the folder cannot be written.
        ClientError: the adapters do not fit together.
    """
    from ..aggregation import AdapterError, normalise, stack
    from ._peft_files import from_peft, to_peft

    chosen = {name: share for name, share in shares.items() if share and share >= least_share}
    try:
        weights = dict(zip(chosen, normalise(list(chosen.values())), strict=True))
    except AdapterError as error:
        raise DataError(f"no mixture can be made of these shares: {error}") from error
    paths = _stored(list(chosen), Path(state_dir))
    parts: list[tuple[Adapter, float]] = [(from_peft(paths[n]), weights[n]) for n in chosen]
    try:
        mixed = stack(parts)
    except AdapterError as error:
        raise ClientError(f"these adapters do not fit together: {error}") from error
    facts: dict[str, Any] = {
        "mixture": {n: _facts(paths[n]) | {"share": weights[n]} for n in chosen}
    }
    return to_peft(mixed, folder, metadata=facts, **_options(paths[next(iter(chosen))]))


def _stored(names: list[str], state_dir: Path) -> dict[str, Path]:
    latest = LatestAdapters(state_dir)
    found: dict[str, Path] = {}
    missing: list[str] = []
    for name in names:
        try:
            found[name] = latest.path(name)
        except AdapterUnavailable:
            missing.append(name)
    if missing:
        raise AdapterUnavailable(
            f"no stable version of {', '.join(missing)} has reached this node: export it from the "
            "registry (`polyrank registry export`), or use the largest part that is here",
            path=state_dir,
        )
    return found


def _facts(path: Path) -> dict[str, Any]:
    try:
        values = json.loads((path / "polyrank.json").read_bytes())
        return {"number": int(values["number"]), "digest": str(values["digest"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _options(path: Path) -> dict[str, Any]:
    """Return what PEFT's configuration of a stored adapter says of the model."""
    values = json.loads((path / "adapter_config.json").read_bytes())
    return {
        "task_type": values.get("task_type"),
        "base_model": values.get("base_model_name_or_path") or "",
        "fan_in_fan_out": bool(values.get("fan_in_fan_out", False)),
    }


def _check(features: Tensor) -> None:
    import torch

    if not isinstance(features, torch.Tensor) or not features.is_floating_point():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DataError("features are a floating tensor (rows, width)")
    if features.dim() != 2 or not features.shape[0]:
        raise DataError(f"features are (rows, width), got {tuple(features.shape)}")
    if not bool(torch.isfinite(features).all()):
        raise DataError("the features hold NaN or infinity")
