"""Run in a process of its own by test_large_rounds_ray.py: rounds in parts, in Ray's workers.

Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from polyrank.aggregation import AdapterError, Part, encode, in_parts, partition
from polyrank.coordinator._config_aggregation import AggregationConfig
from polyrank.coordinator._executors import workers
from polyrank.coordinator._flower_ray_executor import RayExecutor
from polyrank.coordinator._simulation import simulate

from .simulated import config, digests
from .test_large_rounds import LINE, SHAPES, in_memory, nodes, round_of

RAY = AggregationConfig(engine="ray")


def failing(part: Part) -> Any:
    raise AdapterError("refused", module=(*part.dense, *part.modules)[0], expected=1, got=2)


def process_of(part: Part) -> int:
    return os.getpid()


def main() -> None:
    said: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp())
    blobs = folder / "blobs"
    blobs.mkdir()
    round_sum = round_of(blobs)
    parts = partition(SHAPES, {"head": (3,)}, rank=20, max_bytes=700)
    with workers(RAY) as executor:
        said["executor"] = isinstance(executor, RayExecutor)
        result = in_parts(parts, round_sum, executor)
        whole = in_memory(round_sum)(Part(tuple(sorted(SHAPES)), ("head",)))
        said["parts"] = len(parts)
        said["same"] = encode(result.adapter) == encode(whole.adapter)
        said["elsewhere"] = os.getpid() not in set(executor.map(process_of, parts))
        try:
            in_parts(parts, failing, executor)
        except AdapterError as error:
            said["error"] = [error.module, error.expected, error.got]
    settings = config(line={**LINE, "rounds": 1})
    with simulate(settings, nodes()) as done:
        expected = digests(done.registry)
    large = AggregationConfig.model_construct(engine="ray", max_sum_bytes=600)
    settings = settings.model_copy(update={"aggregation": large})
    with simulate(settings, nodes(), data_dir=folder / "data") as done:
        said["versions"] = digests(done.registry) == expected
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
