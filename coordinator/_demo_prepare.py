"""Lay out a demo's folder: fetched model, one CSV and one configuration a node, the daemon's."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ._assets import DIALOGUE, MINILM, SENTIMENT
from ._assets_fetch import Report, ensure, silent
from ._assets_smollm2 import ensure_smollm2
from ._assets_texts import Row, balanced, dialogue_texts, movie_texts, sentiment, split, write_csv
from ._demo_plan import DemoPlan, Layout, NodePlan, Ports, daemon_toml, node_toml
from ._demo_processes import DemoError
from ._demo_story import Data, Stage
from ._paths import default_data_dir

_TURNING_SEED = 1


def choose_folder(asked: Path | None, stamp: str) -> Layout:
    """Return the demo's folder, made and empty.

    Without `asked` it is a new one, named by `stamp` (the time), below the default data
    directory: nothing of an earlier demo is ever removed.

    Raises:
        DemoError: `asked` has something in it, or cannot be made.
    """
    root = asked or default_data_dir() / "demos" / stamp
    root = root.expanduser().absolute()
    try:
        root.mkdir(parents=True, exist_ok=True)
        used = any(root.iterdir())
    except OSError as error:
        raise DemoError(
            f"the demo's folder {root} cannot be used ({error.strerror}): choose another one with "
            "--data-dir"
        ) from error
    if used:
        raise DemoError(
            f"the folder {root} is not empty: give --data-dir a new one, or remove what is in it"
        )
    return Layout(root)


def prepare(
    plan: DemoPlan,
    layout: Layout,
    ports: Ports,
    rounds: int,
    report: Report,
    *,
    story: bool = False,
) -> None:
    """Fetch what is missing and write every file of the demo.

    Raises:
        AssetError: a model or text cannot be fetched.
    """
    model_dir = _model(plan, report)
    for node in plan.nodes:
        layout.node(node.domain).mkdir(parents=True)
        write_rows(plan, layout, node, Data(node.domain), report)
        layout.node_config(node.domain).write_text(
            node_toml(plan, node, layout, ports, model_dir), "utf-8"
        )
    layout.daemon_config.write_text(daemon_toml(plan, layout, ports, rounds, story=story), "utf-8")


def write_rows(
    plan: DemoPlan, layout: Layout, node: NodePlan, data: Data, report: Report = silent
) -> None:
    """Write a node's data file, in place of the one that is there.

    Another name first, then a rename: a node that reads it meanwhile has the one file or the other.
    """
    stock = plan.stock[data.domain] * data.part
    rows = _rows(plan, data.domain, report)[stock:]
    parts = split(rows, held_out=node.held_out_rows, train=node.train_rows)
    path = layout.node_data(node.domain)
    fresh = path.with_suffix(".new")
    write_csv(fresh, turned(parts.held_out + parts.train, data.turned))
    fresh.replace(path)


def turned(rows: Sequence[Row], share: float) -> list[Row]:
    """Turn the labels of a share of the rows round; which ones depends on the share alone."""
    draw = random.Random(_TURNING_SEED)
    return [
        replace(row, label=1 - row.label)
        if row.label is not None and draw.random() < share
        else row
        for row in rows
    ]


def begin_stage(plan: DemoPlan, layout: Layout, stage: Stage) -> None:
    """Replace the data files of a stage's nodes."""
    for node in plan.nodes:
        if node.domain in stage.data:
            write_rows(plan, layout, node, stage.data[node.domain])


def _model(plan: DemoPlan, report: Report) -> Path:
    if plan.base == "minilm":
        return ensure(MINILM, report=report)
    return ensure_smollm2(report=report)


def _rows(plan: DemoPlan, domain: str, report: Report) -> list[Row]:
    if plan.task == "sequence-classification":
        return balanced(sentiment(ensure(SENTIMENT, report=report), domain))
    texts: dict[str, Callable[[], list[Row]]] = {
        "dialogue": lambda: dialogue_texts(ensure(DIALOGUE, report=report)),
        "movies": lambda: movie_texts(ensure(SENTIMENT, report=report)),
    }
    return texts[domain]()
