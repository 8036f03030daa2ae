"""What the two demos consist of: nodes, data, settings, and the files that describe them.

Plain values and pure functions. The settings were found by trying them in one process; the
figures that they reach are in DECISIONS.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ._demo_story import Data, Stage, patient

ADAPTER = "demo"
BaseName = Literal["minilm", "smollm2"]
Value = str | int | float | bool | list[str]
Table = Mapping[str, Value]


@dataclass(frozen=True)
class NodePlan:
    """One node: the domain of texts that it owns, its LoRA rank, how many rows it has."""

    domain: str
    rank: int
    train_rows: int
    held_out_rows: int

    @property
    def held_out_share(self) -> float:
        """Return the share of all its rows that the node only measures on."""
        return self.held_out_rows / (self.train_rows + self.held_out_rows)


@dataclass(frozen=True)
class DemoPlan:
    """One demo. `metric` is what the nodes report; for perplexity, lower is better."""

    base: BaseName
    base_model: str
    task: Literal["sequence-classification", "causal-lm"]
    metric: Literal["balanced_accuracy", "perplexity"]
    nodes: tuple[NodePlan, ...]
    rounds: int
    training: Table
    model: Table
    deadline_seconds: float
    seed: int = 7
    story: tuple[Stage, ...] = ()
    policy: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def stock(self) -> Mapping[str, int]:
        """Return how many rows one stock of each domain has: those of the node named after it."""
        return {node.domain: node.train_rows + node.held_out_rows for node in self.nodes}

    @property
    def title(self) -> str:
        """Return the heading of the closing table."""
        return f"{self.metric.replace('_', ' ')} on held-out texts"


_TURNED = "the labels of tweets and amazon"
_STORY = (
    Stage(
        "nyt gets texts of another kind: what customers of amazon write",
        {"nyt": Data("amazon", part=3)},
        kind="pin",
    ),
    Stage(
        f"a third of {_TURNED} are turned round",
        {"tweets": Data("tweets", 1, turned=0.35), "amazon": Data("amazon", 1, turned=0.35)},
        kind="expand_adapter",
        patience=4,
    ),
    Stage(
        f"{_TURNED} are put right: the adapters no longer conflict",
        {"tweets": Data("tweets"), "amazon": Data("amazon")},
        kind="merge",
        patience=8,
        rest=3,
    ),
    Stage(
        f"all of {_TURNED} follow the opposite convention",
        {"tweets": Data("tweets", 2, turned=1.0), "amazon": Data("amazon", 2, turned=1.0)},
        kind="expand_adapter",
        rest=3,
    ),
    Stage(
        f"{_TURNED} follow the first convention again",
        {"tweets": Data("tweets"), "amazon": Data("amazon")},
        kind="reroute",
    ),
)

MINILM_PLAN = DemoPlan(
    base="minilm",
    base_model="all-MiniLM-L6-v2",
    task="sequence-classification",
    metric="balanced_accuracy",
    nodes=(
        NodePlan("tweets", rank=16, train_rows=300, held_out_rows=200),
        NodePlan("movies", rank=8, train_rows=900, held_out_rows=200),
        NodePlan("nyt", rank=4, train_rows=600, held_out_rows=200),
        NodePlan("amazon", rank=2, train_rows=250, held_out_rows=200),
    ),
    rounds=5,
    training={"steps": 20, "batch_size": 16, "learning_rate": 3e-3, "class_balance": True},
    model={"num_labels": 2, "layers": "top-1", "max_length": 48, "dtype": "float32"},
    deadline_seconds=300.0,
    story=_STORY,
    policy={
        "base_windows": 3,
        "refractory": 2,
        "merge_every": 2,
        "merge_tolerance": 0.1,
        "z_pair": 3.085,
    },
)

SMOLLM2_PLAN = DemoPlan(
    base="smollm2",
    base_model="SmolLM2-135M-Instruct",
    task="causal-lm",
    metric="perplexity",
    nodes=(
        NodePlan("dialogue", rank=8, train_rows=300, held_out_rows=60),
        NodePlan("movies", rank=4, train_rows=600, held_out_rows=60),
    ),
    rounds=3,
    training={"steps": 25, "batch_size": 8, "learning_rate": 4e-3},
    model={"layers": "top-third", "max_length": 64, "dtype": "bfloat16"},
    deadline_seconds=900.0,
)

PLANS: Mapping[BaseName, DemoPlan] = {"minilm": MINILM_PLAN, "smollm2": SMOLLM2_PLAN}


@dataclass(frozen=True)
class Ports:
    """Loopback ports of one demo."""

    superlink: int
    registry: int


@dataclass(frozen=True)
class Layout:
    """Where one demo keeps its files: everything is below `root`, an absolute path."""

    root: Path

    @property
    def daemon_config(self) -> Path:
        """Return the daemon's configuration file."""
        return self.root / "daemon.toml"

    @property
    def daemon_dir(self) -> Path:
        """Return the daemon's data directory: database, blobs, logs."""
        return self.root / "daemon"

    @property
    def database(self) -> str:
        """Return the registry's URL when no daemon runs."""
        return f"sqlite:///{self.daemon_dir / 'registry.db'}"

    @property
    def blobs(self) -> Path:
        """Return the folder of blobs, where `connect` looks by itself too."""
        return self.daemon_dir / "blobs"

    def node(self, domain: str) -> Path:
        """Return one node's folder."""
        return self.root / "nodes" / domain

    def node_config(self, domain: str) -> Path:
        """Return one node's configuration file."""
        return self.node(domain) / "node.toml"

    def node_data(self, domain: str) -> Path:
        """Return one node's data file."""
        return self.node(domain) / "data.csv"

    def node_state(self, domain: str) -> Path:
        """Return one node's state directory: its key, its cache, its newest adapter."""
        return self.node(domain) / "state"

    @property
    def report(self) -> Path:
        """Return the report that is written at the end of the story."""
        return self.root / "report.html"

    def log(self, name: str) -> Path:
        """Return the log file of `daemon` or of one domain's node."""
        return self.root / "log" / f"{name}.log"


def daemon_toml(
    plan: DemoPlan, layout: Layout, ports: Ports, rounds: int, *, story: bool = False
) -> str:
    """Write the daemon's configuration; all contributions are kept, to be looked into later.

    With the story the family is watched, and there are more rounds than it can take.
    """
    section = f'adapters."{ADAPTER}"'
    nodes = len(plan.nodes)
    most = rounds + quiet_reviews(plan) + patient(plan.story) if story else rounds
    line: Table = {
        "base_model": plan.base_model,
        "rounds": most,
        "min_nodes": nodes,
        "quorum": nodes,
        "deadline_seconds": plan.deadline_seconds,
        "start": "warm",
        "seed": plan.seed,
        "keep_rounds": max(1, most),
    }
    watched: Mapping[str, Table] = {
        f"{section}.continual": {"mode": "act"},
        f"{section}.continual.policy": plan.policy,
    }
    return _toml(
        {
            "daemon": {"data_dir": str(layout.daemon_dir)},
            "superlink": {"port": ports.superlink},
            "registry": {"port": ports.registry},
            section: line,
            f"{section}.training": plan.training,
            **(watched if story else {}),
        }
    )


def quiet_reviews(plan: DemoPlan) -> int:
    """Return how many reviews must have passed before drift can be told: one, then a base."""
    return 1 + int(plan.policy.get("base_windows", 4))


def node_toml(plan: DemoPlan, node: NodePlan, layout: Layout, ports: Ports, model_dir: Path) -> str:
    """Write one node's configuration."""
    data: Table = {
        "file": str(layout.node_data(node.domain)),
        "text": "text",
        **({"label": "label"} if plan.task == "sequence-classification" else {}),
        "held_out": round(node.held_out_share, 6),
    }
    return _toml(
        {
            "node": {
                "name": node.domain,
                "server": f"127.0.0.1:{ports.superlink}",
                "state_dir": str(layout.node_state(node.domain)),
                "max_rank": node.rank,
                "adapters": [ADAPTER],
            },
            "model": {"dir": str(model_dir), "task": plan.task, **plan.model},
            "data": data,
        }
    )


def _toml(tables: Mapping[str, Table]) -> str:
    """Write tables as TOML: JSON's strings, numbers, booleans and lists are TOML's too."""
    parts = [
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    ]
    return "# Written by `polyrank demo`.\n\n" + "\n".join(parts)
