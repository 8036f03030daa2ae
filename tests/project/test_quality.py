"""The quality benchmark: two layers against PeftTrainer, who gets which rows, what is sent, what is
run next, and a federation of a few steps."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from polyrank.aggregation import Adapter, Factors, encode, spectral, warm_start
from polyrank.client import PeftSettings, PeftTrainer, TextRows, TrainTask
from polyrank.client._base_model import SharedBase

from ..client.models import random_adapter, save_bert, texts_of

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # as when it is run

from continual_data import DOMAINS, Pool
from continual_states import write_states
from continual_trainer import as_peft_trainer, train_on
from quality_courses import Sentiment, evenly
from quality_data import SCENARIOS, Share, partition
from quality_federation import BATCH, Job, run
from quality_methods import CENTRAL, CENTRAL_EVEN, EVEN, LOCAL, VARIANTS
from quality_picture import picture
from quality_plan import (
    Cell,
    Scope,
    chosen,
    pending,
    read,
    recipe,
    results,
    validation,
    variants_of,
    wanted_rungs,
)
from quality_states import TopGround, TopLayers
from quality_tables import print_tables
from quality_traffic import Sent, download, upload

ROWS = 160
SMALL = replace(
    SCENARIOS["base"],
    sizes=(8, 4) * 4,
    ranks=(1, 2, 3, 4) * 2,
    positive=(0.5, 0.25) * 4,
    rounds=2,
    kept=(3, 4),
)


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = save_bert(tmp_path_factory.mktemp("bert"), layers=3)
    base = SharedBase(PeftSettings(model_dir=folder, num_labels=2, layers="top-2"))
    texts, labels = texts_of(ROWS)
    domains = tuple(DOMAINS[row // 2 % 4] for row in range(ROWS))
    pool, states = Pool(tuple(texts), tuple(labels), domains), tmp_path_factory.mktemp("states")
    write_states(base, pool, states)
    found = TopGround(pool, base, states, TopLayers(base, torch.float32))
    found.base = base
    return found


@pytest.fixture(scope="module")
def course(ground):
    return Sentiment(ground)


def peft(ground, rows):
    texts, labels = (
        [each[row] for row in rows] for each in (ground.pool.texts, ground.pool.labels)
    )
    return PeftTrainer(ground.base.settings, TextRows(texts, labels), base=ground.base)


def test_two_layers_give_the_models_own_logits(ground):
    adapter, rows = random_adapter(ground.description, 3), [5, 80, 3, 41, 2]
    expected = peft(ground, rows).logits(adapter, range(5))
    torch.testing.assert_close(ground.logits(adapter, rows), expected, atol=1e-3, rtol=1e-3)
    low = TopGround.logits(_in_bfloat16(ground), adapter, rows)
    torch.testing.assert_close(low, expected, atol=1e-2, rtol=1e-2)
    assert len(ground.layer.names) == 4


def _in_bfloat16(ground):
    class Same(TopGround):
        def __init__(self):
            vars(self).update(vars(ground), layer=TopLayers(ground.base))

    return Same()


def task_of(ground, trains):
    state = spectral(random_adapter(ground.description, 6, scale=0.1)).adapter
    start = replace(warm_start(state, 4, seed=1), trains=trains)  # of 6: a part lies beneath
    return TrainTask("q", 1, start, 4, 1, {"steps": 6, "batch_size": 8, "learning_rate": 0.02})


def trained(ground, task):
    return train_on(ground, range(24), ground.pool.labels[:24], task).adapter


def test_a_training_is_that_of_peft_trainer(ground):
    task = task_of(ground, "both")
    expected, found = peft(ground, range(24)).train(task).adapter, trained(ground, task)
    for name, pair in expected.factors.items():
        moved = (pair.delta() - task.start.trainable.factors[name].delta()).norm()
        assert (found.factors[name].delta() - pair.delta()).norm() < 0.05 * moved  # float16 states
    for name, value in expected.dense.items():
        torch.testing.assert_close(found.dense[name], value, atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize("trains", ["both", "b", "a"])
def test_only_what_is_to_be_trained_moves(ground, trains):
    task = task_of(ground, trains)
    for name, pair in trained(ground, task).factors.items():
        begun = task.start.trainable.factors[name]
        assert torch.equal(pair.b, begun.b) == (trains == "a")
        assert torch.equal(pair.a, begun.a) == (trains == "b")


def test_even_batches_have_the_classes_in_proportion_and_a_pass_has_every_row_once():
    labels = [0] * 12 + [1] * 36
    batches = evenly([9] * 48, labels, 16, seed=3)
    first, second = ([next(batches) for _ in range(3)] for _ in range(2))
    for batch in (*first, *second):
        assert sum(labels[row] for row in batch) == 12
    for each in (first, second):
        assert sorted(row for batch in each for row in batch) == list(range(48))
    assert first != second
    again = evenly([9] * 48, labels, 16, seed=3)
    assert [next(again) for _ in range(3)] == first


def test_the_even_variants_train_on_even_batches(ground):
    task = task_of(ground, "both")
    share = Share(tuple(range(24)), tuple(ground.pool.labels[:24]), "tweets", 4)
    usual, even = (
        Sentiment(ground, draw).train(share, task).adapter for draw in (as_peft_trainer, evenly)
    )
    same = trained(ground, task)
    for name, pair in same.factors.items():
        assert torch.equal(pair.delta(), usual.factors[name].delta())
        assert not torch.equal(pair.delta(), even.factors[name].delta())
    assert VARIANTS[EVEN].evenly_drawn
    assert VARIANTS[CENTRAL_EVEN].evenly_drawn


# --- rows -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool():
    """Rows without texts, as many as the real domains have; the label is the row's parity."""
    sizes = {"tweets": 2100, "movies": 10000, "nyt": 2300, "amazon": 2400}
    domains = [domain for domain in DOMAINS for _ in range(sizes[domain])]
    labels = tuple(row % 2 for row in range(len(domains)))
    return Pool(("",) * len(domains), labels, tuple(domains))


CLASSIFIED = [name for name in SCENARIOS if name != "texts"]


@pytest.mark.parametrize("name", CLASSIFIED)
def test_no_row_is_with_two_nodes_or_kept_for_two_things(pool, name):
    found = partition(SCENARIOS[name], pool, 3)
    shares = [node.rows for node in found.nodes]
    kept = [test.rows for tests in (found.validation, found.test) for test in tests.values()]
    every = [row for rows in [*shares, *kept] for row in rows]
    assert len(set(every)) == len(every)
    assert [len(rows) for rows in shares] == list(SCENARIOS[name].sizes)
    assert sorted(node.rank for node in found.nodes) == sorted(SCENARIOS[name].ranks)


def test_rows_are_of_the_nodes_domain_and_classes_as_the_scenario_says(pool):
    for name in ("base", "skewed"):
        scenario, found = SCENARIOS[name], partition(SCENARIOS[name], pool, 0)
        for node, domain, positive in zip(
            found.nodes, scenario.domains, scenario.positive, strict=True
        ):
            assert {pool.domains[row] for row in node.rows} == {domain} == {node.domain}
            assert [pool.labels[row] for row in node.rows] == list(node.labels)
            assert sum(node.labels) == round(positive * len(node.rows))
        for tests, count in zip((found.validation, found.test), scenario.kept, strict=True):
            assert {d: (len(t.rows), sum(t.labels)) for d, t in tests.items()} == dict.fromkeys(
                DOMAINS, (2 * count, count)
            )


def test_a_partition_follows_from_the_seed_and_ranks_move_between_nodes(pool):
    base = SCENARIOS["base"]
    assert partition(base, pool, 1) == partition(base, pool, 1)
    one, other = (partition(base, pool, seed) for seed in (1, 2))
    assert one.test != other.test
    assert [node.rank for node in one.nodes] != [node.rank for node in other.nodes]
    spread = partition(SCENARIOS["spread"], pool, 1)
    assert [n.rows for n in spread.nodes] == [n.rows for n in one.nodes], "paired with base"


def test_the_union_is_all_nodes_rows_with_the_largest_rank(pool):
    found = partition(SCENARIOS["base"], pool, 1)
    assert (len(found.union.rows), found.union.rank) == (1920, 32)
    assert [pool.labels[row] for row in found.union.rows] == list(found.union.labels)


# --- traffic --------------------------------------------------------------------------------------


def adapter_of(rank, fill=1.0):
    factors = Factors(torch.full((6, rank), fill), torch.full((rank, 4), fill))
    return Adapter({"q": factors}, {"head": torch.ones(2)})


def values_in(size, blob):
    """Bytes of data in a blob of this size, its header left out."""
    return size - 8 - int.from_bytes(blob[:8], "little")


def test_only_what_is_trained_goes_up():
    update = adapter_of(3)
    assert upload(update, "both") == len(encode(update))
    for trains, data in (("b", 4 * (18 + 2)), ("a", 4 * (12 + 2))):
        half = Adapter(
            {}, {"head": torch.ones(2), f"q.{trains}": getattr(update.factors["q"], trains)}
        )
        blob = encode(half)
        assert upload(update, trains) == len(blob)
        assert values_in(len(blob), blob) == data


def test_a_download_is_the_state_a_slice_of_it_all_updates_or_the_change():
    state = Adapter({"q": Factors(torch.eye(6, 4), torch.eye(4))}, {"head": torch.ones(2)})
    before = Adapter({"q": Factors(torch.eye(6, 4)[:, :3], torch.eye(4)[:3])}, state.dense)
    updates = [(adapter_of(rank), 0.5) for rank in (2, 3)]
    sent = Sent.of_round("both", updates, (before, state))
    sizes = {}
    for name in ("stacking", "fedit", "flora", "florist"):
        sizes[name] = download(VARIANTS[name], state, sent, 2)
    assert sizes["stacking"] == len(encode(state))
    sliced = Adapter({"q": Factors(torch.eye(6, 4)[:, :2], torch.eye(4)[:2])}, state.dense)
    assert sizes["fedit"] == len(encode(sliced))
    assert sizes["flora"] == len(encode(adapter_of(2 + 3))), "all ranks side by side"
    assert sizes["florist"] == len(encode(adapter_of(1))), "one direction is new"
    one_factor = Sent.of_round("b", updates, (before, state))
    half = Adapter({}, {**state.dense, "q.b": torch.eye(6, 4)[:, :2]})
    assert download(VARIANTS["ffa"], state, one_factor, 2) == len(encode(half))


# --- a run ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stacking", "flora", "ffa", "florist", CENTRAL, LOCAL])
def test_a_run_has_a_curve_and_repeats_itself(course, name):
    row = run(Job(course, SMALL, 0.01, 1), VARIANTS[name])
    assert 0 < row["test"]["loss"] < 2
    assert 0 <= row["test"]["score"] <= 1
    assert len(row["curve"]) == (1 if name == LOCAL else SMALL.rounds)
    if not VARIANTS[name].is_bound:
        assert row["curve"][0]["down"] == len(encode(Job(course, SMALL, 0.01, 1).version_0))
        assert row["curve"][0]["up"] > 0
    if name == "stacking":
        assert run(Job(course, SMALL, 0.01, 1), VARIANTS[name])["test"] == row["test"]
        assert run(Job(course, SMALL, 0.02, 1), VARIANTS[name])["test"] != row["test"]


def test_a_variants_own_settings_reach_every_training(ground):
    found = []

    class Watched(Sentiment):
        def train(self, share, task, watch=None):
            found.append(task.config)
            return super().train(share, task, watch)

    for name in ("stacking", "stacking, balanced"):
        run(Job(Watched(ground), SMALL, 0.01, 1), VARIANTS[name])
    trainings = len(SMALL.sizes) * SMALL.rounds
    said = [config.get("class_balance") for config in found]
    assert said == [None] * trainings + [True] * trainings


def test_a_score_is_the_mean_over_domains_and_classes(course):
    rows = course.partition(SMALL, 0)
    adapter = random_adapter(course.description, 2)
    found = course.score(adapter, rows.test)
    by_hand = []
    for test in rows.test.values():
        right = course.ground.logits(adapter, test.rows).argmax(1) == torch.tensor(test.labels)
        by_hand.append(right.double().mean().item())  # as many of each class
    assert found["score"] == pytest.approx(sum(by_hand) / 4)


# --- the plan -------------------------------------------------------------------------------------


def row_of(cell, loss, **more):
    curve = [{"loss": loss + 0.2, "score": 0.5}, {"loss": loss, "score": 0.6}]
    told = {"scenario": cell.scenario, "variant": cell.variant, "rate": cell.rate}
    told |= {"seed": cell.seed, "recipe": recipe(cell.scenario, cell.variant)}
    test = {"loss": -loss, "score": 1.0}
    return {**told, "curve": curve, "test": test, "seconds": 1.0, **more}


def measured_all(scope, loss_of, more=lambda cell: {}):
    done, order = {}, []
    while (cell := next(pending(scope, done), None)) is not None:
        done[cell] = row_of(cell, loss_of(cell), **more(cell))
        order.append(cell)
    return done, order


def test_the_search_goes_on_beyond_an_end_that_is_best():
    assert wanted_rungs({}, 0) == [-1, 0, 1]
    assert wanted_rungs({-1: 3.0, 0: 2.0, 1: 1.0}, 0) == [2]
    assert wanted_rungs({-1: 3.0, 0: 2.0, 1: 1.0, 2: 4.0}, 0) == []
    assert wanted_rungs({2: 1.0, 3: 2.0}, 3) == [4]


def test_the_rate_with_the_lowest_validation_loss_gets_all_seeds():
    scope = Scope(["base", "equal"], ["stacking", "fedit"], 4)
    best = {"stacking": 0.01, "fedit": 0.0025}
    done, order = measured_all(scope, lambda cell: abs(cell.rate - best[cell.variant]))
    for name, rate in best.items():
        for scenario in scope.scenarios:
            assert chosen(scenario, VARIANTS[name], done) == rate
            assert sorted(results(scenario, VARIANTS[name], done)) == [0, 1, 2, 3]
    assert [cell.seed for cell in order[:6]] == [0] * 6, "the first seed of all comes first"
    elsewhere = [cell for cell in order if cell.scenario == "equal"]
    assert len(order) == len(set(order))
    assert len(elsewhere) == 2 * (3 * 2 + 2), "it begins where base was best"


def test_a_run_that_was_cut_off_goes_on_where_it_was(tmp_path):
    scope = Scope(["base"], ["stacking"], 2)
    _, order = measured_all(scope, lambda cell: cell.rate)
    path = tmp_path / "quality.jsonl"
    lines = [json.dumps(row_of(cell, cell.rate)) for cell in order[:3]]
    other = json.dumps(row_of(order[3], 0.0) | {"recipe": "another"})
    path.write_text("\n".join([*lines, other, lines[0][:40]]))
    done = read(path)
    assert set(done) == set(order[:3])
    assert next(pending(scope, done)) == order[3]


def test_what_is_tested_has_no_part_in_the_choice():
    cell, variant = Cell("base", "stacking", 0.005, 0), VARIANTS["stacking"]
    assert validation(row_of(cell, 0.4), variant) == 0.4
    assert validation(row_of(cell, 0.4, test={"loss": 9.0, "score": 0.0}), variant) == 0.4
    assert validation(row_of(cell, 0.4, failed="diverged"), variant) == float("inf")


def test_tables_and_picture_say_what_is_there_and_that_it_is_partial(capsys):
    scope = Scope(["base"], ["stacking", "fedit", CENTRAL], 3)
    losses = {"stacking": 0.4, "fedit": 0.44, CENTRAL: 0.39}

    def more(cell):
        sizes = {"up": 1000, "down": 2000, "server_seconds": 0.01}
        score = {"loss": losses[cell.variant] + cell.seed / 1000, "score": 0.8, "domains": {}}
        curve = [{"loss": abs(cell.rate - 0.005) + 0.1 * i, "score": 0.7, **sizes} for i in (1, 0)]
        return {"curve": curve, "test": score, "stopped": score}

    done, _ = measured_all(scope, lambda cell: 0.0, more)
    print_tables(scope, done)
    said = capsys.readouterr().out
    assert "PARTIAL" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("base     fedit")][-1:]
    assert "+0.0400" in line
    assert "not worse" in line
    assert "loss -0.0100 (met, p" in said
    fewer = {cell: row for cell, row in done.items() if cell.variant != "fedit"}
    print_tables(scope, fewer)
    assert "PARTIAL" in capsys.readouterr().out
    drawn = ElementTree.fromstring(picture(done))
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"stacking", "fedit", CENTRAL, "nats"} <= set(texts)


def test_fedex_runs_where_ranks_are_equal_alone():
    where = [name for name in CLASSIFIED if VARIANTS["fedex"] in variants_of(name)]
    assert where == ["equal"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_federation_takes_as_many_steps_as_a_centralised_run(name):
    scenario = SCENARIOS[name]
    steps = [size * scenario.passes / BATCH for size in scenario.sizes]
    assert all(abs(count - round(count)) < 1e-9 for count in steps)
