"""The coordinator suite's toy node, with a gate before each training and a diary of trainings.

A training of round 2 waits while the file `GATES/NAME-2` exists. The diary, `trainings.jsonl` in
the state directory, says what the trainer itself began and finished, over all starts: it is an
account of trainings that owes nothing to the code under test.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pause
import torch
from polyrank.client import AdaptationClient, ClientConfig, TrainResult, TrainTask
from toy_node import ToyTrainer, arguments


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


def main() -> None:
    torch.set_num_threads(1)
    parser = arguments()
    parser.add_argument("--gates", type=Path, required=True)
    given = parser.parse_args()
    given.state_dir.mkdir(parents=True, exist_ok=True)
    trainer = GatedTrainer(given.name, given.gates, given.state_dir / "trainings.jsonl")
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
