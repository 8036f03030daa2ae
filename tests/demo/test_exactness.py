"""What a federation saved is exact: against PEFT's own merge, dense algebra, and a plain loader.

Real MiniLM (its two lowest layers), real texts, four nodes with ranks 8, 4, 2, 1 and unequal data.
"""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from demo.small_world import SmallWorld
from polyrank import aggregation
from polyrank.aggregation import Adapter, Factors
from polyrank.client._peft_trainer import PeftSettings, PeftTrainer
from polyrank.client._text_rows import TextRows
from polyrank.coordinator._assets_texts import DOMAINS, sentiment, split
from polyrank.coordinator._demo_plan import Layout
from polyrank.store import open_ledger

# Raised by peft, about what it calls in transformers.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "demo_exactness.py"
RANKS = dict(zip(DOMAINS, (8, 4, 2, 1), strict=True))
ROWS = dict(zip(DOMAINS, (64, 48, 32, 16), strict=True))
SETTINGS = {"steps": 6, "batch_size": 8, "learning_rate": 2e-2}
ROUNDS = 2


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_exactness", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo_exactness"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory, minilm_dir: Path, sentiment_dir: Path):
    """Two committed rounds: the second one starts from a state of full rank."""
    layout = Layout(tmp_path_factory.mktemp("demo"))
    layout.daemon_dir.mkdir()
    settings = PeftSettings(
        model_dir=minilm_dir, num_labels=2, num_hidden_layers=2, layers="top-1", max_length=24
    )
    trainers: dict[str, PeftTrainer] = {}
    for domain in DOMAINS:
        parts = split(sentiment(sentiment_dir, domain), held_out=8, train=ROWS[domain])
        rows = parts.held_out + parts.train
        texts, labels = [row.text for row in rows], [row.label or 0 for row in rows]
        trainers[domain] = PeftTrainer(settings, TextRows(texts, labels, range(8)))
    described = trainers["tweets"].description
    with open_ledger(layout.database, blobs=layout.blobs) as ledger:
        world = SmallWorld(ledger, trainers, RANKS)
        dense = aggregation.initial_dense(described.dense, seed=3)
        world.begin(aggregation.empty(described.modules, dense))
        for number in range(1, ROUNDS + 1):
            assert world.open_round(number - 1) == number
            world.train(number, number - 1, SETTINGS)
            world.commit(number, number - 1, state_rank=8)
    return layout


@pytest.fixture(scope="module")
def model(check: ModuleType, minilm_dir: Path):
    return check.Model(minilm_dir, "top-1", 24, num_hidden_layers=2)


@pytest.fixture(scope="module")
def saved(check: ModuleType, layout: Layout):
    return check.read_saved(layout.database, layout.blobs)


def test_the_newest_version_is_read_with_all_its_contributions(saved):
    assert saved.number == ROUNDS
    assert sorted(update.ranks["bert.encoder.layer.1.attention.self.query"] for _, update, _
                  in saved.updates) == [1, 2, 4, 8]  # fmt: skip
    assert sum(weight for _, _, weight in saved.updates) == pytest.approx(1.0)


def test_the_stack_of_the_four_saved_adapters_is_pefts_cat_merge(
    check: ModuleType, saved, model, tmp_path: Path
):
    assert check.stack_error(saved, model, tmp_path) <= check.BOUNDS["stack"]


def test_the_committed_version_is_the_best_cut_of_the_dense_sum(check: ModuleType, saved):
    assert check.commit_error(saved) <= check.BOUNDS["commit"]


def test_an_exported_version_gives_the_same_logits_in_plain_peft(
    check: ModuleType, layout: Layout, saved, model, tmp_path: Path
):
    check.run_export(layout.database, saved.number, tmp_path / "exported")
    texts = ["a good film", "the worst meal of my life, and the longest", "fine"]
    error = check.export_error(saved, model, tmp_path / "exported", texts)
    assert error <= check.BOUNDS["export"]
    older = replace(saved, state_after=saved.state_before)
    assert (
        check.export_error(older, model, tmp_path / "exported", texts) > 10 * check.BOUNDS["export"]
    )


def test_the_check_notices_an_update_that_was_changed(
    check: ModuleType, saved, model, tmp_path: Path
):
    start, update, weight = saved.updates[0]
    changed = _shifted(update, 1e-3)
    other = replace(saved, updates=[(start, changed, weight), *saved.updates[1:]])
    assert check.commit_error(other) > check.BOUNDS["commit"]


def test_the_check_notices_weights_that_do_not_belong_together(check: ModuleType, saved):
    turned = [weight for _, _, weight in saved.updates]
    turned = turned[1:] + turned[:1]
    updates = [(s, u, w) for (s, u, _), w in zip(saved.updates, turned, strict=True)]
    assert check.commit_error(replace(saved, updates=updates)) > check.BOUNDS["commit"]


def _shifted(adapter: Adapter, by: float) -> Adapter:
    factors = {
        name: Factors(pair.b + by * torch.ones_like(pair.b), pair.a)
        for name, pair in adapter.factors.items()
    }
    return Adapter(factors, adapter.dense)
