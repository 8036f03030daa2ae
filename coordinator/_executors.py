"""Where a round is aggregated: in this process's threads, or in Ray's workers, by one interface."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import torch

from ..aggregation import Part, partition
from ._config_aggregation import AggregationConfig


def parts_of(
    shapes: Mapping[str, tuple[int, int]],
    dense_shapes: Mapping[str, tuple[int, ...]],
    *,
    rank: int,
    settings: AggregationConfig,
) -> list[Part]:
    """Split a round so that its sums fit in `max_sum_bytes`; one part where all do.

    Args:
        shapes, dense_shapes, rank: as `partition`.
        settings: how much is in memory at once, and where the work is done.
    """
    split = partial(partition, shapes, dense_shapes, rank=rank)
    parts = split(max_bytes=settings.max_sum_bytes)
    return parts if len(parts) == 1 else split(max_bytes=_part_bytes(settings))


def _part_bytes(settings: AggregationConfig) -> int:
    """Return the budget of one part: as many are worked on at once as a machine has workers."""
    threads = torch.get_num_threads()
    workers = threads if settings.engine == "threads" else max(threads, os.cpu_count() or 1)
    return max(settings.max_sum_bytes // workers, 1)


@contextmanager
def threads() -> Generator[Executor]:
    """Give torch's threads to modules or parts: as many at once as there are, with one thread each.

    `OMP_NUM_THREADS` bounds both. A thread's number is its own, but what is set last is also what
    later threads of the process begin with, hence the last line.
    """
    count = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            count, "aggregation", initializer=torch.set_num_threads, initargs=(1,)
        ) as executor:
            yield executor
    finally:
        torch.set_num_threads(count)


@contextmanager
def workers(settings: AggregationConfig) -> Generator[Executor]:
    """Open what works on the parts of a large round; with Ray, for as long as it takes.

    Raises:
        EngineError: Ray cannot be started, or no cluster answers.
    """
    if settings.engine == "threads":
        with threads() as executor:
            yield executor
        return
    from ._flower_ray_executor import ray_executor

    with ray_executor() as executor:
        yield executor
