"""Check a finished demo's arithmetic against PEFT and against dense float64 algebra.

    python benchmarks/demo_exactness.py DATA_DIR [--version N] [--json]

DATA_DIR is the folder that `polyrank demo` names (a demo with MiniLM). Three checks:

- stack:  the saved adapters of the nodes, stacked by polyrank, against PEFT's own merge of them,
          `add_weighted_adapter(combination_type="cat")`: at most 1e-5, relative;
- commit: the committed version against S + sum_k w_k (T'_k - T_k), computed densely in float64 and
          cut to the version's rank by an SVD: at most 1e-5, relative;
- export: the version written by `polyrank registry export` and loaded by
          `PeftModel.from_pretrained`, against the registry's bytes in polyrank's model: logits
          differ by at most 1e-4.

The exit code is 1 when a bound is passed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import peft
import torch
import transformers
from polyrank import aggregation
from polyrank.aggregation import Adapter
from polyrank.client import to_peft
from polyrank.client._peft_trainer import PeftSettings, PeftTrainer
from polyrank.client._text_rows import TextRows
from polyrank.coordinator._demo_plan import ADAPTER, Layout
from polyrank.store import open_ledger

transformers.utils.logging.set_verbosity_error()
BOUNDS = {"stack": 1e-5, "commit": 1e-5, "export": 1e-4}
TEXTS = 16


@dataclass(frozen=True)
class Saved:
    """What a demo's data directory holds about one version.

    `updates` are (start that the coordinator subtracted, cumulative update, weight) by node.
    """

    number: int
    state_before: Adapter
    state_after: Adapter
    updates: list[tuple[Adapter, Adapter, float]]


@dataclass(frozen=True)
class Model:
    """The base model as the demo's nodes use it."""

    folder: Path
    layers: str
    max_length: int
    num_labels: int = 2
    num_hidden_layers: int | None = None

    def plain(self) -> transformers.PreTrainedModel:
        """Load it with transformers alone, as a user of the exported adapter would."""
        extra = (
            {} if self.num_hidden_layers is None else {"num_hidden_layers": self.num_hidden_layers}
        )
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            str(self.folder), num_labels=self.num_labels, **extra
        )
        return model.eval()


def read_saved(database: str, blobs: Path, number: int | None = None) -> Saved:
    """Read one version (the newest if None) with the contributions that it counted."""
    with open_ledger(database, blobs=blobs) as ledger:
        registry = ledger.registry
        version = registry.version(f"{ADAPTER}@{number if number is not None else 'latest'}")
        counted = [
            each
            for each in ledger.contributions(ADAPTER, status="accepted")
            if each.counted_in == version.number
        ]
        weights = aggregation.normalise([each.num_examples for each in counted])
        updates: list[tuple[Adapter, Adapter, float]] = []
        for each, weight in zip(counted, weights, strict=True):
            start = aggregation.decode(registry.read(f"{ADAPTER}@{each.start_number}"))
            leading = aggregation.leading(start, each.rank)
            updates.append((leading, aggregation.decode(ledger.read_blob(each.digest)), weight))
        (parent,) = [each for each in version.parents if each.role == "start"]
        return Saved(
            number=version.number,
            state_before=aggregation.decode(registry.read(f"{ADAPTER}@{parent.number}")),
            state_after=aggregation.decode(registry.read(version.ref)),
            updates=updates,
        )


def stack_error(saved: Saved, model: Model, scratch: Path) -> float:
    """Return the largest relative difference, over the modules, to PEFT's `cat` merge."""
    stacked = aggregation.stack((update, weight) for _, update, weight in saved.updates)
    names = [f"node{place}" for place in range(len(saved.updates))]
    for name, (_, update, _) in zip(names, saved.updates, strict=True):
        # Without a task type: PEFT would look for a saved head, which cannot be merged.
        to_peft(Adapter(update.factors), scratch / name)
    merged = peft.PeftModel.from_pretrained(
        model.plain(), str(scratch / names[0]), adapter_name=names[0]
    )
    for name in names[1:]:
        merged.load_adapter(str(scratch / name), adapter_name=name)
    weights = [weight for _, _, weight in saved.updates]
    merged.add_weighted_adapter(names, weights, "merged", combination_type="cat")
    layers = dict(merged.base_model.model.named_modules())
    return max(
        _relative(_delta(factors.b, factors.a), layers[name].get_delta_weight("merged").double())
        for name, factors in stacked.factors.items()
    )


def commit_error(saved: Saved) -> float:
    """Return how far the committed version is from the best cut of the dense sum, relative."""
    worst = 0.0
    for name, after in saved.state_after.factors.items():
        before = saved.state_before.factors[name]
        wanted = _delta(before.b, before.a)
        for start, update, weight in saved.updates:
            wanted = wanted + weight * (
                _delta(update.factors[name].b, update.factors[name].a)
                - _delta(start.factors[name].b, start.factors[name].a)
            )
        left, values, right = torch.linalg.svd(wanted)
        rank = after.b.shape[1]
        best = (left[:, :rank] * values[:rank]) @ right[:rank]
        worst = max(worst, _relative(_delta(after.b, after.a), best))
    for name, after in saved.state_after.dense.items():
        wanted = saved.state_before.dense[name].double()
        for start, update, weight in saved.updates:
            wanted = wanted + weight * (update.dense[name].double() - start.dense[name].double())
        worst = max(worst, _relative(after.double(), wanted))
    return worst


def export_error(saved: Saved, model: Model, exported: Path, texts: list[str]) -> float:
    """Return the largest logit difference between the exported and the registered version."""
    settings = PeftSettings(
        model_dir=model.folder,
        num_labels=model.num_labels,
        layers=model.layers,
        max_length=model.max_length,
        num_hidden_layers=model.num_hidden_layers,
    )
    ours = PeftTrainer(settings, TextRows(texts, [0] * len(texts)))
    expected = ours.logits(saved.state_after, range(len(texts)))
    loaded = peft.PeftModel.from_pretrained(model.plain(), str(exported)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(model.folder))
    batch = tokenizer(
        texts, padding=True, truncation=True, max_length=model.max_length, return_tensors="pt"
    )
    with torch.no_grad():
        got = loaded(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return float((got - expected).abs().max())


def _delta(b: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    return b.double() @ a.double()


def _relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def check_demo(root: Path, number: int | None = None) -> dict[str, float]:
    """Run the three checks on a demo's data directory; the daemon may run or not."""
    layout = Layout(root.absolute())
    node = sorted((layout.root / "nodes").iterdir())[0].name
    settings = tomllib.loads(layout.node_config(node).read_text("utf-8"))["model"]
    if settings["task"] != "sequence-classification":
        raise SystemExit(f"{root}: this checks demos of the default base; run one without --base")
    model = Model(Path(settings["dir"]), settings["layers"], settings["max_length"])
    saved = read_saved(layout.database, layout.blobs, number)
    with layout.node_data(node).open(encoding="utf-8", newline="") as source:
        texts = [row["text"] for row in csv.DictReader(source)][:TEXTS]
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch) / "exported"
        run_export(layout.database, saved.number, exported)
        return {
            "stack": stack_error(saved, model, Path(scratch)),
            "commit": commit_error(saved),
            "export": export_error(saved, model, exported, texts),
        }


def run_export(database: str, number: int, target: Path) -> None:
    """Let the command line write a version for PEFT, as a user would."""
    command = [sys.executable, "-m", "polyrank.coordinator._cli", "registry", "export"]
    command += [f"{ADAPTER}@{number}", str(target), "--registry", database]
    subprocess.run(command, check=True, capture_output=True)


def main() -> int:
    """Parse the command line, print the errors beside their bounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--version", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = check_demo(arguments.data_dir, arguments.version)
    if arguments.json:
        print(json.dumps({"errors": found, "bounds": BOUNDS}))
    else:
        for name, error in found.items():
            verdict = "ok" if error <= BOUNDS[name] else "TOO LARGE"
            print(f"{name:<8} {error:.2e}   bound {BOUNDS[name]:.0e}   {verdict}")
    return int(any(error > BOUNDS[name] for name, error in found.items()))


if __name__ == "__main__":
    sys.exit(main())
