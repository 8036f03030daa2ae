"""`polyrank registry` commands that find an adapter: for a batch, and for a node."""

# pyright: reportUnknownMemberType=false
# (typer's Option and Argument mention a generic click type without its argument)

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ._cli_connect import JsonOption, UrlOption, open_registry
from ._cli_output import print_json, print_table, size
from ._cli_registry_families import FamilyName

if TYPE_CHECKING:
    from torch import Tensor

    from ..store import Registry, Routing

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def add_routes(app: typer.Typer) -> None:
    """Add these commands to `polyrank registry`."""
    app.command()(route)
    app.command()(fitting)


def route(
    family: FamilyName,
    features: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Features of the frozen base model, (rows, width): .npy, or .safetensors with one "
            "tensor. They stay here: only the family's references are fetched.",
        ),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A summary of them instead, as JSON: it is sent."),
    ] = None,
    own: Annotated[
        str | None, typer.Option(help="The adapter in use: preferred if the batch cannot tell.")
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which adapters of a family fit a batch of data, and in which shares."""
    if (features is None) == (summary is None):
        raise typer.BadParameter("give one of --features and --summary")
    with open_registry(url) as source:
        if features is not None:
            found = _by_rows(source, family, _features(features), own)
        else:
            assert summary is not None
            found = source.route(family, _summary(summary), own=own)
    if as_json:
        print_json(routing=found)
        return
    tied = f"; cannot be told from {', '.join(found.ties)}" if found.ties else ""
    print_table(
        ["adapter", "share", "distance"],
        ([share.adapter, share.share, share.distance] for share in found.shares),
        title=f"{found.adapter}{'' if found.stable is None else f'@{found.stable}'}: "
        f"{'clear' if found.is_clear else 'not clear'}{tied}",
    )


def fitting(
    node: Annotated[
        str | None, typer.Option(help="A node on record, by name or beginning of its identity.")
    ] = None,
    max_rank: Annotated[int | None, typer.Option(min=1, help="The largest rank it serves.")] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Most bytes of an adapter: 512MiB, 2GiB.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Preferred; may be repeated.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="FINGERPRINT", help="Only adapters of this base model.")
    ] = None,
    family: Annotated[str | None, typer.Option(help="Only members of this family.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the adapters that fit a node: by base model, rank, memory and tags, the best first."""
    given: dict[str, Any] = {"max_rank": max_rank, "fingerprint": base}
    given["memory_bytes"] = None if memory is None else _bytes(memory)
    given = {name: value for name, value in given.items() if value is not None}
    with open_registry(url) as source:
        card = _card(source, node) | given
        if tag:
            card["tags"] = dict(_pair(one) for one in tag)
        if "max_rank" not in card:
            raise typer.BadParameter("give --node, or at least --max-rank")
        found = source.fitting(card, family=family, limit=limit)
    if as_json:
        print_json(fitting=found)
        return
    print_table(
        ["version", "rank", "served", "bytes", "tags", "quality", "measure", "nodes"],
        (
            [fit.version.ref, fit.version.rank, fit.rank_served, size(fit.size_bytes),
             fit.tag_score, fit.quality, fit.quality_name, fit.users]
            for fit in found
        ),
        empty="no adapter fits: see `polyrank registry list`, and the base model of the node",
    )  # fmt: skip


def _by_rows(source: Registry, family: str, features: Tensor, own: str | None) -> Routing:
    from ._router import answer

    return answer(source.routes(family), features, own)


def _features(path: Path) -> Tensor:
    import torch

    try:
        if path.suffix == ".npy":
            import numpy as np

            return torch.from_numpy(np.load(path, allow_pickle=False))
        from safetensors.torch import load

        tensors = load(path.read_bytes())
    except Exception as error:  # whatever such a file does to its reader
        raise typer.BadParameter(f"{path} cannot be read: {error}") from error
    if len(tensors) != 1 and "features" not in tensors:
        raise typer.BadParameter(f"{path} holds {len(tensors)} tensors and none named features")
    return tensors["features"] if "features" in tensors else next(iter(tensors.values()))


def _summary(path: Path) -> dict[str, Any]:
    try:
        values: object = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise typer.BadParameter(f"{path} holds no JSON object")
    found = cast("dict[str, Any]", values)
    inner = found.get("summary")  # as a node's answer has it
    return cast("dict[str, Any]", inner) if isinstance(inner, dict) else found


def _card(source: Registry, node: str | None) -> dict[str, Any]:
    if node is None:
        return {}
    found = [n for n in source.nodes() if node == n.name or n.identity.startswith(node)]
    if len(found) != 1:
        raise typer.BadParameter(
            f"{node!r} names {len(found)} nodes: `polyrank registry nodes` lists them",
            param_hint="--node",
        )
    return dict(found[0].card)


def _pair(text: str) -> tuple[str, str]:
    key, mark, value = text.partition("=")
    if not key or not mark:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--tag")
    return key, value


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if found is None or not (count := int(float(found[1]) * _UNITS[found[2].upper()])):
        raise typer.BadParameter(f"{text!r} is no size: 512MiB, 2GiB", param_hint="--memory")
    return count
