"""The tables of `benchmarks/quality.py`: quality, traffic, paired comparisons, goals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from statistics import fmean, stdev
from typing import Any

from paired import holm, not_worse
from quality_data import SCENARIOS, Scenario
from quality_methods import (
    CENTRAL,
    CENTRAL_EVEN,
    DEFAULT,
    EVEN,
    STOPPED,
    VARIANTS,
    Variant,
)
from quality_plan import Done, Row, Scope, chosen, results

MARGINS = {"score": 0.015, "loss": 0.02}
GOALS = {"score": 0.01, "loss": 0.02}
FLORA = "flora"
LEAST_SHARE = {"base": 1 / 4, "twenty": 1 / 10}
"""Of FLoRA's download: the most that the default's may be."""
UNITS = {"score": "balanced accuracy", "loss": "nats"}
Found = Mapping[str, Mapping[int, Row]]
CUTS = """
how to read it, and what was cut to fit four hours on two cores
- Runs are paired by seed: rows, ranks of nodes, version 0, starts and batches are the same for all.
  Means with standard errors over the seeds. Gaps and differences: positive is better.
- Learning rates: each variant's own, by validation loss on two seeds, each twice the one below.
- "stopped": the version with the lowest validation loss in place of the last one.
- "even": batches are drawn at random with the classes in proportion; elsewhere as PeftTrainer
  draws them, rows of like length together, so that a node that takes one to three steps a round
  has seen rows of few lengths. The two "even" rows are held against one another.
- "balanced": nodes train with `class_balance`, each class weighted by the inverse of its frequency
  on the node.
- Bytes are real encodings in float32, means over nodes and rounds; a download that has only b or a,
  or the first slots, is counted as such. "of FLoRA": of the last round's download.
- Sentiment: 1,920 rows in training, 1,200 in the test, 320 for validation, of 19,410; 48 tokens;
  frozen products of one of the two layers in bfloat16, for all alike.
- Texts: 5 seeds, fewer methods; 24 tokens, the last 16 scored over the 2,048 most frequent ones;
  four kinds (movie and product reviews, editorials, dialogues); the dictionary FOLDOC, which is not
  among the assets of this repository, is left out.
- Methods that are far behind in base, and variants of one method, do not run everywhere.
"""


def print_tables(scope: Scope, done: Done) -> None:
    """Print everything that has been measured."""
    found = {
        scenario: {v.name: rows for v in VARIANTS.values() if (rows := results(scenario, v, done))}
        for scenario in scope.scenarios
    }
    wanted = sum(1 for _ in scope.pairs())
    complete = sum(
        len(found[scenario].get(variant.name, {})) >= scope.seeds_of(scenario)
        and chosen(scenario, variant, done) is not None
        for scenario, variant in scope.pairs()
    )
    print(f"{len(done)} cells; {complete} of {wanted} rows have all seeds"
          f"{'' if complete == wanted else ': THIS IS PARTIAL'}")  # fmt: skip
    for scenario, rows in found.items():
        if rows:
            _print_scenario(SCENARIOS[scenario], rows, _open(scenario, done))
    for metric in ("score", "loss"):
        _print_pairs(found, metric)
    _print_goals(found)
    print(CUTS.rstrip())


# --- one scenario ---------------------------------------------------------------------------------


def _open(scenario: str, done: Done) -> set[str]:
    """Return the variants whose learning rate is not chosen yet."""
    return {v.name for v in VARIANTS.values() if chosen(scenario, v, done) is None}


def _print_scenario(scenario: Scenario, found: Found, searching: Set[str]) -> None:
    ranks = ",".join(map(str, sorted(scenario.ranks)))
    print(f"\n{scenario.name}: {len(scenario.sizes)} nodes of {min(scenario.sizes)} to "
          f"{max(scenario.sizes)} rows, ranks {ranks}; {scenario.rounds} rounds, a round "
          f"{scenario.passes:.2g} of a pass")  # fmt: skip
    print(f"{'':22}{'rate':>8}{'score':>13}{'loss':>13}{'gap to centralised':>20}"
          f"{'kB up':>8}{'kB down':>9}{'of FLoRA':>10}{'server ms':>10}{'seeds':>7}")  # fmt: skip
    for name, rows in found.items():
        stops = VARIANTS[name].stops
        scores = [value for row in rows.values() if (value := metric_of(row, "score", stops))]
        losses = [_number(metric_of(row, "loss", stops)) for row in rows.values()]
        gaps = [_mean_gap(found, name, metric) for metric in ("score", "loss")]
        rate = next(iter(rows.values()))["rate"]
        mark = "~" if name in searching else " "
        print(f"{name:22}{rate:7.2g}{mark}{_spread(scores):>13}{_spread(losses):>13}"
              f"{' '.join(gaps):>20}{_kilobytes(rows, 'up'):>8}{_kilobytes(rows, 'down'):>9}"
              f"{_of_flora(found, name):>10}{_server(rows):>10}{len(rows):7}")  # fmt: skip
    if searching & found.keys():
        print("~ the best learning rate so far: the search for it goes on")


def metric_of(row: Row, metric: str, stops: bool = False) -> float | None:
    """Return a run's score or loss on the test rows."""
    value: float | None = row["stopped" if stops else "test"][metric]
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _spread(values: Sequence[float]) -> str:
    """Tell a mean with its standard error."""
    if not values:
        return "-"
    error = f"±{stdev(values) / math.sqrt(len(values)):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{error}"


def _mean_gap(found: Found, name: str, metric: str) -> str:
    """Tell how far a variant is from the centralised run: points of score, nats."""
    if name == CENTRAL or not (gaps := differences(found, name, CENTRAL, metric)):
        return "-"
    return f"{100 * fmean(gaps):+.1f}" if metric == "score" else f"{fmean(gaps):+.3f}"


def differences(found: Found, ours: str, other: str, metric: str) -> list[float]:
    """Return ours minus the other by seed, turned so that positive is better for ours."""
    sign = 1 if metric == "score" else -1
    pairs = sorted(found.get(ours, {}).keys() & found.get(other, {}).keys())
    values = [
        [metric_of(found[name][seed], metric, VARIANTS[name].stops) for name in (ours, other)]
        for seed in pairs
    ]
    return [sign * (mine - its) for mine, its in values if mine is not None and its is not None]


def _kilobytes(rows: Mapping[int, Row], way: str) -> str:
    values = [scores[way] for row in rows.values() for scores in row["curve"] if way in scores]
    return f"{fmean(values) / 1000:.0f}" if values else "-"


def last_download(rows: Mapping[int, Row]) -> float | None:
    """Return the bytes of a node's last download; None for what downloads nothing."""
    values = [row["curve"][-1]["down"] for row in rows.values() if "down" in row["curve"][-1]]
    return fmean(values) if values else None


def _of_flora(found: Found, name: str) -> str:
    ours, its = last_download(found[name]), last_download(found.get(FLORA, {}))
    return f"{ours / its:.3f}" if ours and its else "-"


def _server(rows: Mapping[int, Row]) -> str:
    values = [
        scores["server_seconds"]
        for row in rows.values()
        for scores in row["curve"]
        if "server_seconds" in scores
    ]
    return f"{1000 * fmean(values):.0f}" if values else "-"


# --- comparisons ----------------------------------------------------------------------------------


def _rivals(found: Mapping[str, Found]) -> Iterator[tuple[str, Variant]]:
    for scenario, rows in found.items():
        for name in rows:
            if name != DEFAULT and not VARIANTS[name].is_bound:
                yield scenario, VARIANTS[name]


def _print_pairs(found: Mapping[str, Found], metric: str) -> None:
    margin = MARGINS[metric]
    each = {
        (scenario, rival.name): values
        for scenario, rival in _rivals(found)
        if (values := differences(found[scenario], DEFAULT, rival.name, metric))
    }
    tested = {key: p for key, values in each.items()
              if (p := not_worse(values, margin)) is not None}  # fmt: skip
    shown = holm(tested)
    if each:
        print(f"\n{DEFAULT} against each other method, {UNITS[metric]}, by seed; positive: better")
        print(f"not worse: above -{margin} (one-sided 95 %, Holm over these {len(tested)})")
    for (scenario, rival), values in each.items():
        key = (scenario, rival)
        said = "not worse" if key in shown else "not resolved"
        p = f"p {tested[key]:.4f}" if key in tested else "one pair"
        told = " ".join(f"{value:+.3f}" for value in values)
        print(f"{scenario:9}{rival:22}{fmean(values):+.4f}  {said:13}{p:10} {told}")


# --- goals ----------------------------------------------------------------------------------------


def _print_goals(found: Mapping[str, Found]) -> None:
    print(
        f"\ngoals for the default ({DEFAULT}), on mean differences by seed; met: the one-sided "
        "95 % bound is within"
    )
    for scenario, rows in found.items():
        for ours, bound in ((DEFAULT, CENTRAL), (DEFAULT, STOPPED), (EVEN, CENTRAL_EVEN)):
            if ours in rows:
                told = [_goal(rows, (ours, bound), metric) for metric in ("score", "loss")]
                if any(told):
                    print(f"{scenario:9}within 1 point and .02 nats of {bound:22}"
                          + "   ".join(filter(None, told)))  # fmt: skip
    for scenario, most in LEAST_SHARE.items():
        rows = found.get(scenario, {})
        its = last_download(rows.get(FLORA, {}))
        for name in rows:
            ours = last_download(rows[name]) if VARIANTS[name].method == "stacking" else None
            if ours and its and name != FLORA:
                verdict = "met" if ours / its <= most else "missed"
                print(f"{scenario:9}download of FLoRA's, {name:22}{ours / its:.3f} of at most "
                      f"{most:.3f}: {verdict}")  # fmt: skip
    downloads = {
        scenario: last_download(found[scenario][DEFAULT])
        for scenario in LEAST_SHARE
        if DEFAULT in found.get(scenario, {})
    }
    told = ", ".join(
        f"{size / 1000:.1f} kB with {len(SCENARIOS[name].sizes)} nodes"
        for name, size in downloads.items()
        if size
    )
    if told:
        print(f"download of the default: {told}")


def _goal(found: Found, pair: tuple[str, str], metric: str) -> str:
    """Tell whether a variant is as near to a bound as it should be; both stop, or neither."""
    name, bound = pair
    stops = VARIANTS[bound].stops
    pick: Callable[[Row], Any] = lambda row: metric_of(row, metric, stops)  # noqa: E731
    ours, its = found[name], found.get(bound, {})
    sign = 1 if metric == "score" else -1
    gaps = [sign * (pick(ours[seed]) - pick(its[seed])) for seed in sorted(ours.keys() & its.keys())
            if pick(ours[seed]) is not None]  # fmt: skip
    if not gaps:
        return ""
    p = not_worse(gaps, GOALS[metric])
    is_sure = p is not None and p < 0.05
    said = "met" if is_sure else "met on average" if fmean(gaps) >= -GOALS[metric] else "missed"
    return f"{metric} {fmean(gaps):+.4f} ({said}{'' if p is None else f', p {p:.3f}'})"
