"""`polyrank registry route` and `fitting`: real references, a local registry and a served one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from polyrank.aggregation import SummarySpec, reference, summarise
from polyrank.coordinator import router
from polyrank.store import Conflict, InvalidValue, connect, open_ledger, serve
from safetensors.torch import save_file
from small_blobs import blob

SPEC = SummarySpec(7, bandwidth=1.0)
WIDTH = 24


def rows(place: int, count: int = 80, seed: int = 0) -> torch.Tensor:
    found = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))
    found[:, place] += 5.0
    return found


def summary(features: torch.Tensor, spec: SummarySpec = SPEC) -> dict[str, Any]:
    return summarise(spec, [0.0] * len(features), features=features).to_json()


@pytest.fixture
def family(template: Path, tmp_path: Path) -> Iterator[Any]:
    """Two members with inputs of their own; what the driver writes down of them."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    with open_ledger(f"sqlite:///{tmp_path}/registry.db", router=router) as ledger:
        epoch = ledger.take_epoch("test")
        ledger.create_adapter("demo/2", base_model="base", tags={"domain": "tweets"}, epoch=epoch)
        ledger.publish("demo/2", blob(rank=3, fill=5), epoch=epoch)
        ledger.put_family("demo", payload={"spec": SPEC.to_json()}, epoch=epoch)
        for place, name in enumerate(("demo", "demo/2")):
            window = summarise(SPEC, [0.0] * 80, features=rows(place, seed=place + 1))
            payload = {"reference": reference(window).to_json()}
            ledger.put_member("demo", name, state="active", payload=payload, epoch=epoch)
        yield ledger


@pytest.fixture(params=["sqlite", "grpc"])
def url(request: pytest.FixtureRequest, family: Any, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/registry.db"
        return
    server = serve(family.registry, "127.0.0.1:0")
    yield server.url
    server.stop()


def test_a_batch_is_routed_by_its_rows_or_by_its_summary(run: Any, url: str, tmp_path: Path):
    batch = torch.cat([rows(1, 30, seed=9), rows(0, 10, seed=9)])
    np.save(tmp_path / "b.npy", batch.numpy())
    save_file({"x": batch}, tmp_path / "b.safetensors")
    (tmp_path / "b.json").write_text(json.dumps({"summary": summary(batch)}))
    asked = [("--features", "b.npy"), ("--features", "b.safetensors"), ("--summary", "b.json")]
    for option, name in asked:
        where = (option, str(tmp_path / name), "--registry", url)
        found = json.loads(run("registry", "route", "demo", "--json", *where).out)["routing"]
        assert (found["adapter"], found["is_clear"], found["ties"]) == ("demo/2", True, [])
        assert [share["adapter"] for share in found["shares"]] == ["demo/2", "demo"]
        assert found["shares"][0]["share"] == pytest.approx(0.75, abs=0.08)
        shown = run("registry", "route", "demo", *where)
        assert (shown.code, "demo/2: clear" in shown.out) == (0, True)


def test_the_route_call_answers_as_the_local_registry(url: str, family: Any):
    batch = summary(rows(0, 20, seed=4))
    with connect(url, router=router) as registry:
        found = registry.route("demo", batch)
        assert found == router(registry.routes("demo"), batch)
        assert (found.adapter, found.stable, found.is_clear) == ("demo", 1, True)
        other = SummarySpec(8, bandwidth=1.0)
        bad = [summary(rows(0, 20), other), {}, summary(rows(0, 20)[:, 1:]), batch | {"count": 0}]
        for values in bad:
            with pytest.raises(InvalidValue, match=r"summary|batch"):
                registry.route("demo", values)


def test_a_family_with_nothing_to_compare_says_so(family: Any):
    epoch, registry = family.take_epoch("test"), family.registry
    family.put_member("demo", "demo/2", state="active", payload={}, epoch=epoch)
    batch = summary(rows(1, 20))
    with pytest.raises(Conflict, match="reference"):
        registry.route("demo", batch)
    family.put_member("demo", "demo/2", state="archived", payload={}, epoch=epoch)
    assert registry.route("demo", batch).adapter == "demo", "one in service: no choice"
    family.put_family("demo", payload={}, epoch=epoch)
    with pytest.raises(Conflict, match="spec"):
        registry.route("demo", batch)


def test_bad_input_is_refused_in_words(run: Any, family: Any, tmp_path: Path):
    where = ("--registry", f"sqlite:///{tmp_path}/registry.db")
    np.save(tmp_path / "narrow.npy", np.ones((2, 3), np.float32))
    np.save(tmp_path / "nan.npy", np.full((2, WIDTH), np.nan, np.float32))
    (tmp_path / "text.npy").write_text("no numbers")
    (tmp_path / "list.json").write_text("[1]")
    cases = {
        ("--features", "narrow.npy"): "width",
        ("--features", "nan.npy"): "NaN",
        ("--features", "text.npy"): "cannot be read",
        ("--features", "none.npy"): "cannot be read",
        ("--summary", "list.json"): "no JSON object",
        ("--summary", "none.json"): "cannot be read",
    }
    for (option, name), problem in cases.items():
        found = run("registry", "route", "demo", option, str(tmp_path / name), *where)
        assert found.code != 0, name
        assert problem in " ".join(found.err.split()), name
    assert run("registry", "route", "demo", *where).code != 0
    good = tmp_path / "good.npy"
    np.save(good, rows(0, 3).numpy())
    unknown = run("registry", "route", "nobody", "--features", str(good), *where)
    assert (unknown.code != 0, "nobody" in unknown.err) == (True, True)


def test_what_fits_a_node_is_listed_best_first(run: Any, url: str):
    where = ("--registry", url)
    found = json.loads(run("registry", "fitting", "--node", "ward-1", "--json", *where).out)
    refs = [fit["version"]["ref"] for fit in found["fitting"]]
    assert sorted(refs) == ["demo/2@0", "demo@1"]
    options = ("--max-rank", "2", "--memory", "1GiB", "--tag", "domain=tweets", "--family", "demo")
    found = json.loads(run("registry", "fitting", *options, "--json", *where).out)["fitting"]
    assert [(fit["version"]["ref"], fit["rank_served"]) for fit in found] == [
        ("demo/2@0", 2),
        ("demo@1", 2),
    ]
    shown = run("registry", "fitting", *options, *where)
    assert (shown.code, "demo/2@0" in shown.out) == (0, True)
    none = run("registry", "fitting", "--max-rank", "2", "--base", "0" * 64, *where)
    assert (none.code, "no adapter fits" in none.out) == (0, True)


@pytest.mark.parametrize(
    ("options", "problem"),
    [((), "--max-rank"), (("--node", "nobody"), "names 0 nodes"),
     (("--max-rank", "2", "--memory", "much"), "no size"),
     (("--max-rank", "2", "--tag", "x"), "KEY=VALUE"), (("--max-rank", "0"), "max-rank")],
)  # fmt: skip
def test_fitting_says_what_is_wrong(run: Any, family: Any, tmp_path: Path, options: Any,
                                    problem: str):  # fmt: skip
    found = run("registry", "fitting", *options, "--registry", f"sqlite:///{tmp_path}/registry.db")
    assert found.code != 0
    assert problem in " ".join(found.err.split())
