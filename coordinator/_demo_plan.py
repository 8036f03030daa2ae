"""What the two demos consist of: nodes, data, settings, and the files that describe them.

Plain values and pure functions. The settings were found by trying them in one process; the
figures that they reach are in DECISIONS.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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

    @property
    def title(self) -> str:
        """Return the heading of the closing table."""
        return f"{self.metric.replace('_', ' ')} on held-out texts"


MINILM_PLAN = DemoPlan(
    base="minilm",
    base_model="all-MiniLM-L6-v2",
    task="sequence-classification",
    metric="balanced_accuracy",
    nodes=(
        NodePlan("tweets", rank=16, train_rows=1200, held_out_rows=300),
        NodePlan("movies", rank=8, train_rows=800, held_out_rows=300),
        NodePlan("nyt", rank=4, train_rows=500, held_out_rows=300),
        NodePlan("amazon", rank=2, train_rows=300, held_out_rows=300),
    ),
    rounds=4,
    training={"steps": 30, "batch_size": 16, "learning_rate": 3e-3, "class_balance": True},
    model={"num_labels": 2, "layers": "top-third", "max_length": 48, "dtype": "float32"},
    deadline_seconds=300.0,
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

    def log(self, name: str) -> Path:
        """Return the log file of `daemon` or of one domain's node."""
        return self.root / "log" / f"{name}.log"


def daemon_toml(plan: DemoPlan, layout: Layout, ports: Ports, rounds: int) -> str:
    """Write the daemon's configuration; all contributions are kept, to be looked into later."""
    section = f'adapters."{ADAPTER}"'
    nodes = len(plan.nodes)
    line: Table = {
        "base_model": plan.base_model,
        "rounds": rounds,
        "min_nodes": nodes,
        "quorum": nodes,
        "deadline_seconds": plan.deadline_seconds,
        "start": "warm",
        "seed": plan.seed,
        "keep_rounds": max(1, rounds),
    }
    return _toml(
        {
            "daemon": {"data_dir": str(layout.daemon_dir)},
            "superlink": {"port": ports.superlink},
            "registry": {"port": ports.registry},
            section: line,
            f"{section}.training": plan.training,
        }
    )


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
