"""Stacking, cutting, reading and summing up, each beside what it is judged against."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import torch
from aggregation_measure import RANKS, Row, in_process, in_turns, median, peak_of, spread, update
from polyrank.aggregation import (
    Adapter,
    Factors,
    check_update,
    decode,
    digest,
    encode,
    stack,
    truncate,
)
from torch import Tensor

SIZE, RING, PROCESSES = 4096, 16, 5


def stacking(repeats: int) -> list[Row]:
    """Stack ten updates; the reference copies a result of that size into new memory.

    Where memory falls differs by process, and with it the ratio: several take part.
    """
    script, threads = Path(__file__).name, str(torch.get_num_threads())
    found = sorted(
        in_process(script, repeats, OMP_NUM_THREADS=threads)["ratio"] for _ in range(PROCESSES)
    )
    mib = sum(RANKS) * 2 * SIZE * 4 / 2**20
    note = f"{mib:.1f} MiB; the median of {PROCESSES} processes, {found[0]:.3g}-{found[-1]:.3g}"
    return [Row("stack 10 updates / copy of the result", 2.0, median(found), note)]


def stacking_here(repeats: int) -> float:
    """Return the ratio for stacking in this process, on several sets in turn."""
    worlds = [[(x, 0.1) for x in update(RANKS, SIZE, seed)] for seed in range(RING)]
    results = [stack(world).factors["q"] for world in worlds]
    kept: list[object] = [None] * RING

    def work(i: int) -> None:
        kept[i % RING] = stack(worlds[i % RING])

    def copy(i: int) -> None:
        one = results[i % RING]
        kept[i % RING] = (one.b.clone(), one.a.clone())

    return median(in_turns(work, copy, repeats))


def truncation(svds: int, repeats: int) -> list[Row]:
    """Cut the stack to rank 64; the reference is torch's own SVD of the dense float32 sum."""
    summed = stack([(x, 0.1) for x in update(RANKS, SIZE, 0)])
    dense = summed.factors["q"].delta()
    ratios: list[float] = []
    values = torch.empty(0)
    for _ in range(svds):
        began = time.perf_counter()
        _, values, _ = torch.linalg.svd(dense, full_matrices=False)
        middle = time.perf_counter()
        for _ in range(repeats):
            truncate(summed, 64)
        ratios.append((middle - began) * repeats / (time.perf_counter() - middle))
    cut = truncate(summed, 64).adapter.factors["q"]
    best = float(values[64:].double().norm())
    found = residual(summed.factors["q"], cut)
    note = f"one SVD of 4096 x 4096 took {middle - began:.1f} s"
    return [
        Row("SVD of the dense sum / truncate to rank 64", 500.0, median(ratios), note, True),
        Row("its error over the optimum's, less 1", 1e-4, abs(found / best - 1.0)),
    ]


def residual(whole: Factors, part: Factors) -> float:
    """Return the Frobenius norm of the difference of two deltas, in float64, by rows."""
    total = 0.0
    for rows in torch.arange(whole.shape[0]).split(256):
        gap = product(whole, rows) - product(part, rows)
        total += float((gap * gap).sum())
    return total**0.5


def product(factors: Factors, rows: Tensor) -> Tensor:
    return factors.b[rows].double() @ factors.a.double()


def reading(repeats: int, megabytes: int) -> list[Row]:
    """Read, verify, decode and check a blob; the reference reads and hashes it."""
    modules = max(1, megabytes // 4)
    one = update((128,), SIZE, 0)[0].factors["q"]
    adapter = Adapter({f"m{i}": Factors(one.b.clone(), one.a.clone()) for i in range(modules)})
    shapes = dict.fromkeys(adapter.factors, (SIZE, SIZE))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "update.safetensors"
        path.write_bytes(encode(adapter))

        def work(_: int) -> None:
            data = path.read_bytes()
            digest(data)
            check_update(decode(data), expected_shapes=shapes, expected_dense={}, max_rank=128)

        def reference(_: int) -> None:
            sha256(path.read_bytes()).digest()

        ratios = in_turns(work, reference, repeats)
        size = path.stat().st_size / 1e6
    note = f"{size:.0f} MB, {modules} modules; {spread(ratios)}"
    return [Row("read, verify, decode, check a blob / read and hash", 2.0, median(ratios), note)]


def accumulating(is_quick: bool) -> list[Row]:
    """Peak memory of a running sum, over the bar; cost of the last hundred adds over the first."""
    size, rank, cap = SIZE, 16, 64
    found: list[Row] = []
    update_bytes = 2 * size * rank * 4
    for nodes in (200,) if is_quick else (1_000, 10_000):
        facts = peak_of("aggregation_memory.py", "lossless", nodes, size)
        bar = size * size * 4 + update_bytes
        note = f"peak {facts['peak_bytes'] / 2**20:.2f} of {bar / 2**20:.2f} MiB"
        work = f"lossless sum of {nodes:,} updates: peak / one dense delta and one update"
        found.append(Row(work, 1.0, facts["peak_bytes"] / bar, note))
        found.append(flat(f"lossless sum of {nodes:,}", facts))
        facts = peak_of("aggregation_memory.py", "capped", nodes, size, cap)
        bar = 2 * (cap + rank) * 2 * size * 4
        note = f"peak {facts['peak_bytes'] / 2**20:.2f} of {bar / 2**20:.2f} MiB, cap {cap}"
        work = f"capped sum of {nodes:,} updates: peak / 2 (cap + r_max)(m + n) values"
        found.append(Row(work, 1.0, facts["peak_bytes"] / bar, note))
        found.append(flat(f"capped sum of {nodes:,}", facts))
    return found


def flat(what: str, facts: dict[str, float]) -> Row:
    first, last = facts["first_hundred_seconds"], facts["last_hundred_seconds"]
    note = f"{last * 1e3:.1f} ms an update"
    return Row(f"{what}: last hundred adds / first hundred", 1.5, last / first, note)


if __name__ == "__main__":
    print(json.dumps({"ratio": stacking_here(int(sys.argv[1]))}))
