"""What drift is called on the benchmark's streams: a table of kinds, and the rate of false alarms.

    python benchmarks/drift_kinds.py [--seeds 4]     # a minute or two for each seed

For each seed an adapter is trained for six rounds on a quiet stream of another seed, and stays as
it is: what changes is the data alone. Every window of every stream is summed up under it, and
looked at node by node as a review does: the tests of `observe`, a pin (a new reference) where new
data do no harm, and what is remembered from window to window. No stored adapter is asked, so a
conflict that comes again is a concept drift here. Counted is what windows are called, by what had
happened to their node: nothing yet or ever (quiet), the first window of a change, the second to
fourth, later ones; and for each change its windows named right, wrongly and not at all, and the
windows that went by before the first right name. `results/drift_kinds.json` has the counts, how
often a quiet window passes each threshold, and any of the three, and how often quiet windows that a
made-up step or slope moves are taken for the other: what the limits of the path's shape promise.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from continual import LINE, RESULTS, Cell, Run, sentiment, thresholds
from continual_data import DRIFT, NODES, ROUNDS, STREAMS, Stream, Window, stream
from continual_trainer import Ground
from polyrank.aggregation import (
    Adapter,
    Summary,
    SummarySpec,
    add,
    decode,
    drift_path,
    mean_bandwidth,
    summarise,
)
from polyrank.aggregation._drift_kind import JUMP_LIMIT, RISE_LIMIT
from polyrank.coordinator import _observe as observing
from polyrank.coordinator._drift_names import Past
from polyrank.coordinator._watch import PATH_WINDOWS, Watch
from polyrank.store import AdaptationPolicy, NodeEvidence
from torch.nn import functional

KINDS = ("", "label_prior", "concept", "sudden", "gradual", "recurring")
STAGES = ("quiet", "first", "second to fourth", "later")
TRAINING_SEEDS = 2000
END = ROUNDS + 1 - DRIFT
CHANGES = {
    "prior_shift": ((0, END, "label_prior"),),
    "sudden": ((0, END, "sudden"),),
    "gradual": ((0, 6, "gradual"), (6, END, "")),
    "recurring": ((0, 4, "sudden"), (4, 7, "recurring"), (7, END, "recurring")),
    "every_node_moves": ((0, END, "sudden"),),
    "conflict_full": ((0, END, "concept"),),
    "conflict_moderate": ((0, END, "concept"),),
    "conflict_recurring": ((0, 4, "concept"), (4, 7, "recurring"), (7, END, "concept")),
}
"""From which window after the drift to which one what is true of a node; "": all is over."""


def trained(ground: Ground, seed: int, policy: dict[str, Any]) -> Adapter:
    """Return the adapter that six rounds of a quiet stream make."""
    run = Run(sentiment(ground), Cell("quiet", "one", TRAINING_SEEDS + seed), {"policy": policy})
    with run.simulation as simulation:
        simulation.run(until=lambda: run.reviews > DRIFT)
        return decode(bytearray(simulation.registry.read(f"{LINE}@latest")))


def summed(ground: Ground, adapter: Adapter, spec: SummarySpec, window: Window) -> Summary:
    """Sum up a window as a node does."""
    labels = torch.tensor(window.labels)
    logits = ground.logits(adapter, window.rows)
    losses = functional.cross_entropy(logits, labels, reduction="none")
    right = (logits.argmax(1) == labels).tolist()
    features = ground.features(window.rows)
    return summarise(spec, losses, labels=window.labels, correct=right, features=features)


def looked_at(
    windows: Sequence[Summary], policy: AdaptationPolicy, references: Mapping[str, Summary]
) -> list[NodeEvidence]:
    """Test one node's windows one after the other, as reviews do that pin what is new."""
    watch, found = Watch(), list[NodeEvidence]()
    for number, summary in enumerate(windows, 1):
        keys = watch.reference
        known = pooled(references, keys) if len(keys) >= policy.base_windows else None
        window = observing.Window(str(number), "node", LINE, summary)
        past = Past(
            [pooled(references, one) for one in watch.earlier],
            [[references[key] for key in stretch] for stretch in watch.path],
        )
        finding = observing.observe(
            window, watch, known, policy, is_reference=True, review=number,
            past=lambda past=past: past,
        )  # fmt: skip
        one = finding.evidence
        found.append(one)
        is_new = (one.novelty_z or 0.0) > policy.z_novelty
        is_harmful = (one.harm_z or 0.0) > policy.z_loss
        watch = finding.watch.pinned() if is_new and not is_harmful else finding.watch
    return found


def pooled(references: Mapping[str, Summary], keys: Sequence[str]) -> Summary:
    return add(references[key] for key in keys)


def stage_of(drifts: Stream, node: int, number: int) -> str:
    """Say how long ago the node's data changed last; `number` counts windows from 0."""
    if node not in drifts.concerned or number < DRIFT:
        return "quiet"
    age = number - DRIFT
    if "recurring" in drifts.name:
        age = age if age < 4 else age - 4 if age < 7 else age - 7
    return "first" if age == 0 else "second to fourth" if age < 4 else "later"


def gather(ground: Ground, seed: int, values: dict[str, Any], found: dict[str, Any]) -> None:
    """Look at all streams of one seed."""
    policy = AdaptationPolicy.from_json(values)
    adapter = trained(ground, seed, values)
    for name in STREAMS:
        drifts = stream(name, ground.pool, seed)
        plain = SummarySpec(seed, classes=2)
        first = [summed(ground, adapter, plain, window) for window in drifts.windows[0]]
        spec = SummarySpec(seed, classes=2, bandwidth=mean_bandwidth(add(first)))
        for node in range(NODES):
            own = [summed(ground, adapter, spec, row[node]) for row in drifts.windows]
            keys = {str(number): summary for number, summary in enumerate(own, 1)}
            looks = looked_at(own, policy, keys)
            for number, one in enumerate(looks):
                if number < policy.base_windows:
                    continue
                stage = stage_of(drifts, node, number)
                row = "any stream" if stage == "quiet" else name
                found["kinds"][row, stage][one.drift] += 1
                if stage == "quiet":
                    found["alarms"].update(alarms(one, policy))
            if node in drifts.concerned:
                count_changes(name, [one.drift for one in looks[DRIFT:]], found["changes"])
            if name == "quiet":
                found["shapes"].update(mistaken(own, ground, spec))
        print(f"seed {seed}: {name}", file=sys.stderr)


def count_changes(name: str, called: Sequence[str], changes: dict[Any, Any]) -> None:
    """Count right, wrong and no names of a node's windows, and how late the first right one is."""
    for start, end, truth in CHANGES[name]:
        row = changes.setdefault((name, start, truth), {"windows": Counter[str](), "delays": []})
        names = called[start:end]
        row["windows"].update(
            "right" if one == truth else "wrong" if one else "unnamed" for one in names
        )
        row["delays"].append(names.index(truth) if truth in names else None)


def mistaken(quiet: Sequence[Summary], ground: Ground, spec: SummarySpec) -> list[str]:
    """Move quiet windows by a step or a slope of one domain's size, and test which of them it was.

    Only the means move, so the truth is known; a change that large leaves no doubt where it is.
    """
    change = way(ground, spec)
    found: list[str] = []
    for begin in range(len(quiet) - PATH_WINDOWS + 1):
        path = quiet[begin : begin + PATH_WINDOWS]
        for at in range(1, PATH_WINDOWS):
            step = [shifted(one, change * float(i >= at)) for i, one in enumerate(path)]
            found.append("steps")
            if (drift_path(step).rise or 0.0) > RISE_LIMIT:
                found.append("steps taken for slopes")
        slope = [0.0] * (PATH_WINDOWS - 2) + [0.5, 1.0]
        risen = [shifted(one, change * part) for one, part in zip(path, slope, strict=True)]
        found.append("slopes")
        if (drift_path(risen).jump or 0.0) > JUMP_LIMIT:
            found.append("slopes taken for steps")
    return found


def way(ground: Ground, spec: SummarySpec) -> torch.Tensor:
    """Return how far apart two domains' mean projected features are."""
    rows = [i for i, domain in enumerate(ground.pool.domains) if domain in ("movies", "amazon")]
    means: list[torch.Tensor] = []
    for domain in ("movies", "amazon"):
        own = [i for i in rows if ground.pool.domains[i] == domain][:400]
        plain = SummarySpec(spec.seed)
        sums = summarise(plain, [0.0] * len(own), features=ground.features(own))
        means.append(sums.projected_sum.double() / sums.count)
    return means[1] - means[0]


def shifted(window: Summary, by: torch.Tensor) -> Summary:
    """Move the projected features of all rows."""
    total = window.projected_sum.double()
    cross = torch.outer(total, by)
    products = window.projected_products.double() + cross + cross.T
    products += window.count * torch.outer(by, by)
    return replace(window, projected_sum=total + window.count * by, projected_products=products)


def alarms(one: NodeEvidence, policy: AdaptationPolicy) -> list[str]:
    """Return which thresholds a quiet window passes; those that were not tested are not counted."""
    passed = {
        "loss": one.harm_z is not None and one.harm_z > policy.z_loss,
        "novelty": one.novelty_z is not None and one.novelty_z > policy.z_novelty,
        "prior": one.prior_z is not None and one.prior_z > policy.z_prior,
    }
    if None in (one.harm_z, one.novelty_z, one.prior_z):
        return []
    return ["windows", *(name for name in passed if passed[name]), *["any"] * any(passed.values())]


def table(result: Mapping[str, Any]) -> str:
    """Return counts as text, one row for each stream and stage."""
    titles = ["none", *KINDS[1:]]
    lines = [f"{'stream':<20}{'window':<18}" + "".join(f"{t:>13}" for t in titles)]
    for row in result["kinds"]:
        counts = "".join(f"{row['called'].get(kind, 0):>13}" for kind in KINDS)
        lines.append(f"{row['stream']:<20}{row['window']:<18}{counts}")
    tested = result["alarms"].get("windows", 0)
    rates = ", ".join(
        f"{name} {100 * result['alarms'].get(name, 0) / max(tested, 1):.1f} %"
        for name in ("loss", "novelty", "prior", "any")
    )
    lines.append(f"of {tested} quiet windows pass: {rates}")
    lines.append(f"\n{'change':<20}{'after':>6}  {'is':<13}{'right':>7}{'wrong':>7}{'unnamed':>9}"
                 "  windows before the first right name")  # fmt: skip
    for row in result["changes"]:
        delays = Counter("never" if d is None else str(d) for d in row["delays"])
        counts = (row["windows"].get(word, 0) for word in ("right", "wrong", "unnamed"))
        right, wrong, unnamed = counts
        lines.append(f"{row['stream']:<20}{row['after']:>6}  {row['is'] or 'over':<13}"
                     f"{right:>7}{wrong:>7}{unnamed:>9}  "
                     + ", ".join(f"{k}: {n}" for k, n in sorted(delays.items())))  # fmt: skip
    shapes = result["shapes"]
    for kind, other in (("steps", "slopes"), ("slopes", "steps")):
        wrong = shapes.get(f"{kind} taken for {other}", 0)
        lines.append(f"of {shapes[kind]} quiet windows with made-up {kind}, "
                     f"{100 * wrong / shapes[kind]:.2f} % are taken for {other}")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Measure, write and print."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=4)
    given = parser.parse_args()
    ground = Ground.load(lambda text: print(text, file=sys.stderr))
    values = thresholds().get("policy", {})
    found: dict[str, Any] = {
        "kinds": defaultdict(Counter), "alarms": Counter(), "changes": {}, "shapes": Counter(),
    }  # fmt: skip
    for seed in range(given.seeds):
        gather(ground, seed, values, found)
        order = [(s, w) for s in ("any stream", *STREAMS) for w in STAGES]
        result = {
            "command": f"python benchmarks/drift_kinds.py --seeds {given.seeds}",
            "seeds": seed + 1,
            "kinds": [
                {"stream": s, "window": w, "called": dict(found["kinds"][s, w])}
                for s, w in order
                if (s, w) in found["kinds"]
            ],
            "alarms": dict(found["alarms"]),
            "changes": [
                {"stream": s, "after": after, "is": truth, **row}
                for (s, after, truth), row in found["changes"].items()
            ],
            "shapes": dict(found["shapes"]),
        }
        (RESULTS / "drift_kinds.json").write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
