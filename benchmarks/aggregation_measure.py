"""How the aggregation benchmarks measure: ratios taken in turns, memory of a fresh process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from polyrank.aggregation import Adapter, Factors

RANKS = (64, 32, 16, 16, 8, 8, 4, 4, 4, 4)
"""The ten ranks of FLoRA's heterogeneous experiments (arXiv 2409.05976, section 4)."""


@dataclass(frozen=True)
class Row:
    """One line of the table: passed if `seen` is at most `bar`, or at least, if `at_least`."""

    work: str
    bar: float
    seen: float
    note: str = ""
    at_least: bool = False

    @property
    def passed(self) -> bool:
        return self.seen >= self.bar if self.at_least else self.seen <= self.bar


def in_turns(
    work: Callable[[int], object], reference: Callable[[int], object], repeats: int
) -> list[float]:
    """Return time of work(i) / time of reference(i), taken next to each other, i = 0, 1, …"""
    work(0)
    reference(0)
    found: list[float] = []
    for i in range(repeats):
        began = time.perf_counter()
        reference(i)
        middle = time.perf_counter()
        work(i)
        found.append((time.perf_counter() - middle) / (middle - began))
    return found


def median(ratios: Sequence[float]) -> float:
    return statistics.median(ratios)


def spread(ratios: Sequence[float]) -> str:
    """Say between which ratios the middle half of them lies."""
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return f"half of {len(ratios)} within {low:.3g}-{high:.3g}"


def update(ranks: Sequence[int], size: int, seed: int) -> list[Adapter]:
    """Return one module `q` of size x size for each rank, as LoRA leaves it after training."""
    generator = torch.Generator().manual_seed(seed)
    return [
        Adapter(
            {
                "q": Factors(
                    torch.randn(size, rank, generator=generator).mul_(1e-2),
                    torch.randn(rank, size, generator=generator).mul_(size**-0.5),
                )
            }
        )
        for rank in ranks
    ]


def peak_of(script: str, *arguments: object) -> dict[str, float]:
    """Run a script as `in_process` does, for the memory that it takes.

    The allocator is told to give pieces of 32 KiB and more back to the system at once, so that the
    peak is what was in use at one time, not what the heap had kept (glibc).
    """
    return in_process(script, *arguments, MALLOC_MMAP_THRESHOLD_="32768")


def in_process(script: str, *arguments: object, **environment: str) -> dict[str, Any]:
    """Run a script of this folder in a fresh process; return the facts that it prints as JSON.

    One that prints nothing has no facts.
    """
    path = Path(__file__).with_name(script)
    command = [sys.executable, str(path), *map(str, arguments)]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{ended.stderr}")
    return json.loads(ended.stdout.splitlines()[-1]) if ended.stdout else {}


def memory(field: str) -> int:
    """Return VmRSS or VmHWM of this process, in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {field}")


def resident() -> int:
    """Return what this process has in memory, in bytes, page by page (VmRSS is an estimate)."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/smaps_rollup has no Rss")


def forget_peak() -> None:
    """Set VmHWM to the present VmRSS (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
