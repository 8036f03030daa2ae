"""The coordinator suite's toy node, with a gate before each training and a diary of trainings.

A training of round 2 waits while the file `GATES/NAME-2` exists. The diary, `trainings.jsonl` in
the state directory, says what the trainer itself began and finished, over all starts: it is an
account of trainings that owes nothing to the code under test.

With `--flipped FIRST:END` its data are a stream, whose windows from FIRST to before END contradict
all others. There the gate `GATES/NAME-window-2` is before each evaluation on the third window.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pause
import torch
from polyrank.aggregation import Adapter
from polyrank.client import (
    AdaptationClient,
    ClientConfig,
    Evaluation,
    Trainer,
    TrainResult,
    TrainTask,
)
from toy_node import ToyTrainer, arguments

from tests.coordinator.toy_stream import ToyStream


class GatedTrainer(ToyTrainer):
    def __init__(self, name: str, gates: Path, diary: Path) -> None:
        super().__init__(name)
        self._name, self._gates, self._diary = name, gates, diary

    def train(self, task: TrainTask) -> TrainResult:
        self._note("began", task)
        gate = self._gates / f"{self._name}-{task.round}"
        while gate.exists():
            task.progress(0, 1, 0.0)  # raises when the node is told to stop
            time.sleep(0.02)
        result = super().train(task)
        self._note("finished", task)
        return result

    def _note(self, what: str, task: TrainTask) -> None:
        entry = {
            "what": what,
            "adapter": task.adapter_name,
            "round": task.round,
            "process": os.getpid(),
        }
        with self._diary.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())


class KeptStream(ToyStream):
    """A stream that a killed process's successor goes on with.

    Which window a training uses follows from the trainings that were finished before it: one that
    is asked for again, because its reply was never kept, uses the same window again.
    """

    def __init__(self, name: str, gates: Path, diary: Path, flipped: range) -> None:
        super().__init__(name, flipped=flipped)
        self._gates, self._diary = gates, diary
        lines = diary.read_text().splitlines() if diary.exists() else ()
        self._finished = [tuple(json.loads(line)) for line in lines]
        self.go_to(len(self._finished))

    def train(self, task: TrainTask) -> TrainResult:
        entry = (task.adapter_name, task.round)
        if entry in self._finished:
            self.go_to(self._finished.index(entry))
        result = super().train(task)
        if entry not in self._finished:
            self._finished.append(entry)
            with self._diary.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
                file.flush()
                os.fsync(file.fileno())
        self.go_to(len(self._finished))
        return result

    def evaluate(self, adapter: Adapter, rows: Sequence[int] | None = None) -> Evaluation:
        gate = self._gates / f"{self.name}-window-{self.window}"
        if gate.exists():
            gate.with_suffix(".reached").touch()
        while gate.exists():
            time.sleep(0.02)
        return super().evaluate(adapter, rows)


def trainer_of(name: str, gates: Path, state_dir: Path, flipped: str) -> Trainer:
    if not flipped:
        return GatedTrainer(name, gates, state_dir / "trainings.jsonl")
    windows = range(*(int(number) for number in flipped.split(":")))
    return KeptStream(name, gates, state_dir / "stream.jsonl", windows)


def main() -> None:
    torch.set_num_threads(1)
    parser = arguments()
    parser.add_argument("--gates", type=Path, required=True)
    parser.add_argument("--flipped", default="", help="FIRST:END, windows of a stream")
    given = parser.parse_args()
    given.state_dir.mkdir(parents=True, exist_ok=True)
    trainer = trainer_of(given.name, given.gates, given.state_dir, given.flipped)
    config = ClientConfig(
        state_dir=given.state_dir,
        name=given.name,
        max_rank=given.rank,
        server=given.server,
        adapters=tuple(given.adapters.split(",")),
    )
    pause.arm()
    AdaptationClient(config, trainer).run()


if __name__ == "__main__":
    main()
