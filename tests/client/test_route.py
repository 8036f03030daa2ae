"""Routing on the node: the table that came with an evaluation, offline, and mixtures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from polyrank.aggregation import (
    Adapter,
    Factors,
    RouteTable,
    SummarySpec,
    reference,
    summarise,
)
from polyrank.client import (
    AdapterUnavailable,
    DataError,
    Evaluation,
    ModelDescription,
    RouteUnavailable,
    StateError,
    from_peft,
    mixture,
    route,
)
from polyrank.client._latest import LatestAdapters, VersionInfo
from polyrank.client._protocol import TaskEnvelope
from polyrank.client._routes import Routes
from polyrank.client._windows import Windows
from polyrank.client._wire_places import place_of

SPEC = SummarySpec(7, bandwidth=1.0)
WIDTH = 24


def rows(place: int, count: int = 80, seed: int = 0) -> torch.Tensor:
    found = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))
    found[:, place] += 5.0
    return found


def table(**places: int) -> dict[str, Any]:
    summaries = {
        name.replace("_", "/"): summarise(SPEC, [0.0] * 80, features=rows(place, seed=place + 1))
        for name, place in places.items()
    }
    return RouteTable.of(SPEC, {name: reference(s) for name, s in summaries.items()}).to_json()


class Rows:
    data_version = 1
    description = ModelDescription("f", {"layers.0.q": (WIDTH, WIDTH)})

    def features(self, rows_: Sequence[int] | None = None) -> torch.Tensor:
        return rows(0, 3)


def receive(state_dir: Path, routes: object, adapter: str = "line") -> None:
    """Answer an evaluation that brings a routing table, as the node does."""
    window = {"spec": SPEC.to_json(), "routes": routes}
    task = TaskEnvelope.create(
        "evaluate", adapter=adapter, start_digest="a" * 64, config={"window": window}
    )
    trainer: Any = Rows()
    windows = Windows(state_dir / "windows", Routes(state_dir / "routes"))
    assert b"summary" in windows.answer(task, Evaluation([0.1] * 3), trainer)


def test_a_node_routes_offline_by_the_table_that_reached_it(tmp_path: Path) -> None:
    receive(tmp_path, {"family": "line", "table": table(line=0, line_2=1)})
    for place, name in enumerate(("line", "line/2")):
        found = route(rows(place, 20, seed=9), state_dir=tmp_path)
        assert (found.adapter, found.is_clear) == (name, True)
        assert route(rows(place, 20, seed=9), state_dir=tmp_path, adapter="line/2") == found
    mixed = torch.cat([rows(0, 30, seed=9), rows(1, 10, seed=9)])
    assert route(mixed, state_dir=tmp_path).shares["line"] == pytest.approx(0.75, abs=0.06)


def test_the_adapter_in_use_wins_a_tie(tmp_path: Path) -> None:
    for own in ("line", "line/2"):
        receive(tmp_path, {"family": "line", "table": table(line=0, line_2=0)}, adapter=own)
        found = route(rows(0, 20, seed=9), state_dir=tmp_path)
        assert (found.adapter, found.is_clear, len(found.ties)) == (own, False, 1)


def test_a_family_that_is_one_again_routes_everything_to_it(tmp_path: Path) -> None:
    receive(tmp_path, {"family": "line", "table": table(line=0, line_2=1)})
    receive(tmp_path, {"family": "line"})
    found = route(rows(1, 4), state_dir=tmp_path)
    assert (found.adapter, found.shares, found.rows) == ("line", {"line": 1.0}, ("line",) * 4)


def test_several_families_are_kept_apart(tmp_path: Path) -> None:
    receive(tmp_path, {"family": "a/b", "table": table(a_b=0, a_c=1)}, adapter="a/b")
    receive(tmp_path, {"family": "..", "table": None}, adapter="..")
    assert route(rows(1), state_dir=tmp_path, adapter="a/c").adapter == "a/c"
    with pytest.raises(RouteUnavailable, match="say which adapter"):
        route(rows(1), state_dir=tmp_path)
    with pytest.raises(RouteUnavailable, match="not z"):
        route(rows(1), state_dir=tmp_path, adapter="z")
    with pytest.raises(RouteUnavailable, match="no references yet"):
        route(rows(1), state_dir=tmp_path, adapter="..")
    assert sorted(path.parent for path in tmp_path.rglob("*.json") if "windows" not in str(path))[
        0
    ] == (tmp_path / "routes")


def test_features_from_another_place_than_the_tables_are_refused(tmp_path: Path) -> None:
    for place, problem in (("into layer 5", "another place"), ("end", None)):
        receive(tmp_path, {"family": "line", "place": place, "table": table(line=0, line_2=1)})
        if problem is None:
            assert route(rows(0), state_dir=tmp_path).adapter == "line"
        else:
            with pytest.raises(RouteUnavailable, match=problem):
                route(rows(0), state_dir=tmp_path)


def test_a_place_is_the_lowest_layer_that_is_adapted() -> None:
    assert place_of(["enc.layer.5.query", "enc.layer.3.value", "head"]) == "into layer 3"
    assert place_of(["enc.layer.0.query", "enc.layer.3.value"]) == place_of(["hidden"]) == "end"


def test_without_a_table_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RouteUnavailable, match="take part in a round"):
        route(rows(0), state_dir=tmp_path)


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        (torch.ones(3, WIDTH - 1), "width"),
        (torch.ones(0, WIDTH), "one row"),
        (torch.full((2, WIDTH), torch.nan), "NaN"),
        (torch.ones(WIDTH), "width"),
        (torch.ones(2, WIDTH).long(), "floating"),
        ([[1.0]], "floating"),
    ],
)
def test_features_that_cannot_be_routed_are_refused(
    tmp_path: Path, features: Any, problem: str
) -> None:
    receive(tmp_path, {"family": "line", "table": table(line=0, line_2=1)})
    with pytest.raises(DataError, match=problem):
        route(features, state_dir=tmp_path)
    receive(tmp_path, {"family": "line"})
    if problem != "width" or features.dim() == 1:
        with pytest.raises(DataError):
            route(features, state_dir=tmp_path)


@pytest.mark.parametrize("routes", [7, {}, {"family": 3}, {"family": ""}, {"family": "x" * 201}])
def test_what_cannot_be_read_is_left_out_and_the_window_is_answered(
    tmp_path: Path, routes: object
) -> None:
    receive(tmp_path, {"family": "line"})
    receive(tmp_path, routes)
    assert route(rows(0), state_dir=tmp_path).adapter == "line"


def test_a_damaged_table_is_an_error_and_a_damaged_file_is_no_table(tmp_path: Path) -> None:
    receive(tmp_path, {"family": "line", "table": table(line=0, line_2=1) | {"width": -1}})
    with pytest.raises(RouteUnavailable, match="cannot be read"):
        route(rows(0), state_dir=tmp_path)
    (tmp_path / "routes" / "line.json").write_text(json.dumps({"family": "line"}))
    with pytest.raises(RouteUnavailable, match="no routing table"):
        route(rows(0), state_dir=tmp_path)


def test_a_full_disk_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "routes").write_text("in the way")
    with pytest.raises(StateError, match="routing table"):
        receive(tmp_path, {"family": "line"})


def store(state_dir: Path, name: str, value: float, rank: int) -> Adapter:
    made = Adapter(
        {"q": Factors(torch.full((6, rank), value), torch.eye(rank, 4))},
        {"head.weight": torch.full((2, 6), value)},
    )
    info = VersionInfo(
        adapter=name, number=3, digest="d" * 64, base_fingerprint="f" * 64, metrics={}
    )
    LatestAdapters(state_dir).write(made, info, options={"task_type": "SEQ_CLS", "base_model": "b"})
    return made


def test_a_mixture_is_the_exact_weighted_stack_of_what_is_stored(tmp_path: Path) -> None:
    sides = (("line", 1.0, 2), ("line/2", -3.0, 1))
    parts = {name: store(tmp_path, name, value, rank) for name, value, rank in sides}
    shares = {"line": 0.75, "line/2": 0.25, "tiny": 0.01}
    folder = mixture(shares, tmp_path / "m", state_dir=tmp_path)
    found = from_peft(folder)
    pairs = {name: part.factors["q"] for name, part in parts.items()}
    wanted = 0.75 * pairs["line"].b @ pairs["line"].a + 0.25 * pairs["line/2"].b @ pairs["line/2"].a
    assert torch.allclose(found.factors["q"].b @ found.factors["q"].a, wanted, atol=1e-6)
    assert torch.allclose(found.dense["head.weight"], torch.zeros(2, 6), atol=1e-6)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["task_type"], config["base_model_name_or_path"], config["r"]) == (
        "SEQ_CLS", "b", 3,
    )  # fmt: skip
    facts = json.loads((folder / "polyrank.json").read_text())["mixture"]
    assert facts["line"] == {"number": 3, "digest": "d" * 64, "share": 0.75}


def test_a_mixture_says_which_adapters_are_missing(tmp_path: Path) -> None:
    store(tmp_path, "line", 1.0, 2)
    with pytest.raises(AdapterUnavailable, match="line/2, line/3"):
        mixture({"line": 0.5, "line/2": 0.25, "line/3": 0.25}, tmp_path / "m", state_dir=tmp_path)
    for bad in ({}, {"line": 0.01}, {"line": float("nan")}, {"line": float("inf")}):
        with pytest.raises(DataError):
            mixture(bad, tmp_path / "m", state_dir=tmp_path)
