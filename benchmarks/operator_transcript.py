"""An operator at work: a proposed merge inspected, vetoed, forced, undone, by real commands.

    python benchmarks/operator_transcript.py           # writes results/operator_transcript.txt
    python benchmarks/operator_transcript.py -         # prints it

Four toy nodes in a simulated federation (the daemon's own driver and records, `mode = "propose"`)
keep their registry in a folder. Two of them turn their labels, get an adapter of their own, and
turn them back: the two adapters no longer conflict. Everything that the operator does is done with
`polyrank registry` on that folder; between the commands the driver goes on, as a daemon would.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from polyrank.aggregation import Adapter, Factors
from polyrank.client import Evaluation, ModelDescription, TrainResult, TrainTask
from polyrank.coordinator import CoordinatorConfig
from polyrank.coordinator._cli_registry import app
from polyrank.coordinator._simulation import Simulation
from polyrank.coordinator._simulation_node import SimulatedNode
from polyrank.store import Decision
from torch.nn.functional import cross_entropy
from typer.testing import CliRunner

RESULT = Path(__file__).parent / "results" / "operator_transcript.txt"
NAMES = ("ann", "bob", "cem", "dee")
TURNING = ("ann", "bob")
ROWS, WIDTH, STEPS, RATE = 120, 8, 40, 0.5


class ToyTrainer:
    """A square layer with a low-rank term and a head; each training is followed by fresh rows."""

    model_loads = 1
    description = ModelDescription("toy", {"square": (WIDTH, WIDTH)}, {"head": (2, WIDTH)})
    num_rows = ROWS

    def __init__(self, seed: int) -> None:
        self._draw = torch.Generator().manual_seed(seed)
        self.data_version = 0
        self.is_turned = False
        self.go_on()

    def go_on(self) -> None:
        """Get fresh rows, with the labels of the convention that holds now."""
        self.data_version += 1
        self._x = torch.randn(ROWS, WIDTH, generator=self._draw)
        label = self._x[:, 0] + 0.5 * self._x[:, 1] > 0
        self._y = (label != self.is_turned).long()

    def turn(self, is_turned: bool) -> None:
        """Follow the other convention, or the first one again, from fresh rows on."""
        self.is_turned = is_turned
        self.go_on()

    def train(self, task: TrainTask) -> TrainResult:
        """Take gradient steps from the task's start, then get fresh rows."""
        pair, rest = task.start.trainable.factors["square"], task.start.frozen.factors["square"]
        head = task.start.trainable.dense["head"]
        own = [value.clone().requires_grad_() for value in (pair.b, pair.a, head)]
        for _ in range(STEPS):
            logits = self._logits([(own[0], own[1]), (rest.b, rest.a)], own[2])
            grads = torch.autograd.grad(cross_entropy(logits, self._y), own)
            with torch.no_grad():
                for value, grad in zip(own, grads, strict=True):
                    value -= RATE * grad
        b, a, head = (value.detach() for value in own)
        self.go_on()
        return TrainResult(Adapter({"square": Factors(b, a)}, {"head": head}), ROWS)

    def evaluate(self, adapter: Adapter, rows: Sequence[int] | None = None) -> Evaluation:
        """Score the rows that are there now."""
        pair, places = adapter.factors["square"], slice(None) if rows is None else list(rows)
        logits, y = self._logits([(pair.b, pair.a)], adapter.dense["head"])[places], self._y[places]
        losses = cross_entropy(logits, y, reduction="none")
        return Evaluation(losses.tolist(), (logits.argmax(1) == y).tolist(), y.tolist())

    def _logits(
        self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], head: torch.Tensor
    ) -> torch.Tensor:
        return (self._x + sum(self._x @ a.T @ b.T for b, a in pairs)).tanh() @ head.T


class Office:
    """The operator's desk: says what is going on, and runs commands on the registry in a folder."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self._url = f"sqlite:///{folder / 'registry.db'}"
        self._runner = CliRunner()

    def say(self, *lines: str) -> None:
        """Write down what happens, as comments."""
        self.lines += ["", *(f"# {line}" for line in lines)]

    def run(self, *arguments: object) -> str:
        """Run one `polyrank registry` command and write down what it prints."""
        call = [str(argument) for argument in arguments]
        self.lines += ["", f"$ polyrank registry {shlex.join(call)}"]
        known = {"POLYRANK_REGISTRY": self._url, "LOGNAME": "operator", "USER": "operator"}
        with patch.dict(os.environ, known):
            done = self._runner.invoke(app, call)
        self.lines += [line.rstrip() for line in done.output.splitlines()]
        if done.exit_code:
            raise SystemExit("\n".join([*self.lines, f"exit code {done.exit_code}"]))
        return done.output


class Federation:
    """Four nodes and a family of adapters in a folder."""

    def __init__(self, folder: Path) -> None:
        self.trainers = {name: ToyTrainer(seed) for seed, name in enumerate(NAMES)}
        nodes = [SimulatedNode(name, self.trainers[name], max_rank=4) for name in NAMES]
        self.simulation = Simulation(config(), nodes, data_dir=folder)

    @property
    def reviews(self) -> int:
        """How many reviews are on record."""
        return next((family.reviews for family in self.simulation.registry.families()), 0)

    def go_on(self, reviews: int = 1) -> None:
        """Let the driver go on."""
        until = self.reviews + reviews
        self.simulation.run(until=lambda: self.reviews >= until)

    def turn(self, is_turned: bool) -> None:
        """Let the two nodes change their convention."""
        for name in TURNING:
            self.trainers[name].turn(is_turned)

    def proposed(self, kind: str, patience: int = 12) -> Decision:
        """Go on until there is a proposal of this kind."""
        return self._waited(lambda d: d.kind == kind and d.state == "proposed", patience)

    def settled(self, number: int, state: str, patience: int = 3) -> Decision:
        """Go on until a decision has come to a state."""
        return self._waited(lambda d: d.number == number and d.state == state, patience)

    def until_in_service(self, member: str, patience: int = 3) -> None:
        """Go on until a member's rounds run (an undoing asked for is not yet one done)."""
        for _ in range(patience):
            self.go_on()
            found = {m.adapter: m.state for m in self.simulation.registry.members("demo")}
            if found[member] == "active":
                return
        raise SystemExit(f"{member} is not in service after {patience} reviews")

    def _waited(self, fits: Callable[[Decision], bool], patience: int) -> Decision:
        for _ in range(patience):
            found = [d for d in self.simulation.registry.decisions(limit=1000) if fits(d)]
            if found:
                return found[-1]
            self.go_on()
        raise SystemExit(f"not decided in {patience} reviews")


def config() -> CoordinatorConfig:
    """Return the daemon's configuration."""
    policy = {"base_windows": 2, "merge_every": 2, "merge_tolerance": 0.1}
    line = {
        "base_model": "toy",
        "rounds": 60,
        "min_nodes": len(NAMES),
        "seed": 3,
        "continual": {"mode": "propose", "policy": policy},
    }
    return CoordinatorConfig.parse({"adapters": {"demo": line}})


def transcript(folder: Path) -> str:
    """Let it all happen in an empty folder, and return what the operator saw."""
    torch.set_num_threads(1)
    federation, office = Federation(folder), Office(folder)
    with federation.simulation:
        own_adapter(federation, office)
        merge = inspect(federation, office)
        vetoed(federation, office, merge)
        forced = force(federation, office)
        undo(federation, office, forced)
    return "\n".join(office.lines).lstrip("\n") + "\n"


def own_adapter(federation: Federation, office: Office) -> None:
    """Before the story: two nodes get an adapter of their own, with the operator's approval."""
    office.say(
        'A family of adapters, mode = "propose": what changes it waits for an operator.',
        "Four nodes have learned together; now ann's and bob's labels contradict the others'.",
    )
    federation.go_on(5)
    federation.turn(True)
    grown = federation.proposed("expand_adapter")
    office.run("decisions", "--since", grown.number - 1)
    office.run("approve", grown.number, "--reason", "they follow another convention")
    federation.turn(False)
    office.say("ann and bob go back to everybody's convention, on an adapter of their own.")
    federation.settled(grown.number, "carried_out")
    office.run("families")


def inspect(federation: Federation, office: Office) -> Decision:
    """A merge is proposed; what does it rest on?"""
    merge = federation.proposed("merge")
    office.say("Some reviews later both adapters know the same: the daemon proposes a merge.")
    office.run("decisions", "--since", merge.number - 1)
    office.say("What was judged? The merge was made on trial, as a version that can be looked at.")
    office.run("show", merge.payload["target"])
    office.say("By whom, with which result, and how sure? The decision holds its numbers.")
    office.run("decisions", "--since", merge.number - 1, "--limit", 1, "--json")
    office.run("decision-log", merge.number)
    return merge


def vetoed(federation: Federation, office: Office, merge: Decision) -> None:
    """The operator says no, and nothing happens."""
    office.say("Not now: bob's audit is still running.")
    office.run("veto", merge.number, "--reason", "bob's audit is still running")
    federation.go_on(2)
    office.say("Two reviews later the two adapters are still there.")
    office.run("decision-log", merge.number)
    office.run("families")


def force(federation: Federation, office: Office) -> int:
    """The operator merges after all, by force."""
    office.say("The audit is over: the operator merges them, without waiting for a new proposal.")
    office.run("force", "merge", "demo", "--absorb", "demo/2", "--reason", "the audit is over")
    forced = federation.simulation.registry.decisions(limit=1000)[-1].number
    federation.settled(forced, "carried_out")
    office.say("Before the next round the driver has carried it out.")
    office.run("decision-log", forced)
    office.run("families")
    office.run("assignments", "demo")
    office.run("versions", "demo", "--limit", 3)
    return forced


def undo(federation: Federation, office: Office, forced: int) -> None:
    """And back again."""
    office.say("ann complains: undo it.")
    office.run("undo", forced, "--reason", "ann complains")
    federation.until_in_service("demo/2")
    office.say("Each has what it had: nothing was deleted, the earlier bytes were published anew.")
    office.run("decision-log", forced)
    office.run("families")
    office.run("assignments", "demo")
    office.say("And every choice that the daemon made follows from the recorded evidence again.")
    office.run("decisions", "--replay")


def main() -> None:
    """Write the transcript, or print it."""
    with TemporaryDirectory() as folder:
        text = transcript(Path(folder))
    if sys.argv[1:] == ["-"]:
        sys.stdout.write(text)
    else:
        RESULT.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
