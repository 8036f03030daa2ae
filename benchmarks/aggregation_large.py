"""A round of a large model on the server: all-linear 7B, rank 64, ten nodes, from mapped blobs.

``python benchmarks/aggregation_large.py [--layers 32] [--nodes 10] [--rank 64] [--json FILE]``

Blobs are written to disk first, some 0.6 GB each. Then one process after the other:

- parts: as the coordinator does it where the sums do not fit (`RoundSum` over `BlobFile`s, in the
  parts of `partition`, in threads): check each blob's digest, aggregate, cut to the rank, write the
  next version to a file. Its memory is the peak of the process (VmHWM: what it ever had in memory
  at once, pages of mapped files included) above what it had after its imports; its time is divided
  by that of hashing all blobs once, in the same process, which the time includes.
- at once: the same in one part, with the sums of all modules in memory, one update after the other.
  Its version has to have the same digest. It needs some 11 GB; `--no-compare` leaves it out.

Updates are warm: T'_k is the state, moved. So the starts cancel, and R is nodes times rank.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aggregation_measure import Row, in_process, memory

BAR_GB = 4.0
GIB = 1024**3
HIDDEN, INNER = 4096, 11008
LINEAR = {
    **{f"self_attn.{name}_proj": (HIDDEN, HIDDEN) for name in "qkvo"},
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}


def shapes_of(layers: int) -> dict[str, tuple[int, int]]:
    return {f"model.layers.{i}.{n}": shape for i in range(layers) for n, shape in LINEAR.items()}


# --------------------------------------------------------------------- the blobs
def write_blobs(folder: Path, *, layers: int, nodes: int, rank: int) -> None:
    """Write `state` and one blob for each node; a seed fills them."""
    import torch
    from polyrank.aggregation import Adapter, Factors, encode_to

    draw = torch.Generator().manual_seed(4)

    def normal(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=draw)

    def moved(factors: Factors) -> Factors:
        rows, columns = factors.shape
        b, a = normal(rows, rank), normal(rank, columns)
        return Factors(b.mul_(0.01).add_(factors.b), a.mul_(0.01).add_(factors.a))

    state = Adapter(
        {name: Factors(normal(m, rank) / 64, normal(rank, n) / 64)
         for name, (m, n) in shapes_of(layers).items()}
    )  # fmt: skip
    for name in ("state", *(f"node-{number}" for number in range(nodes))):
        value = state if name == "state" else Adapter(
            {module: moved(factors) for module, factors in state.factors.items()}
        )  # fmt: skip
        with (folder / name).open("wb") as sink:
            encode_to(sink, value)


# --------------------------------------------------------------------- one process
def digest_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def work(folder: Path, *, rank: int, max_sum_bytes: int, threads: int) -> dict[str, Any]:
    """Aggregate what is in the folder; prints nothing, leaves `next` there for a moment."""
    import torch

    torch.set_num_threads(threads)
    from polyrank.aggregation import Limits, encode_to, in_parts, method
    from polyrank.coordinator._config_aggregation import AggregationConfig
    from polyrank.coordinator._executors import parts_of, workers
    from polyrank.coordinator._round_sum import RoundSum, Term
    from polyrank.coordinator._sources import BlobFile, checked

    limits = Limits(max_bytes=64 * GIB)
    settings = AggregationConfig(max_sum_bytes=max_sum_bytes)
    blobs = sorted(path for path in folder.iterdir() if path.name.startswith("node-"))
    torch.linalg.svd(torch.ones(8, 8, dtype=torch.float64))  # loads what it needs
    baseline = memory("VmRSS")

    def source(path: Path) -> BlobFile:
        verified = checked(path.open("rb"), digest_of(path), limits)
        assert isinstance(verified, BlobFile)
        return verified

    began = time.perf_counter()
    state, updates = source(folder / "state"), [source(path) for path in blobs]
    hashed = time.perf_counter()
    with state.reader() as reader:
        shapes = reader.shapes
    weight = 1.0 / len(updates)
    terms = tuple(Term(state, rank, "warm", update, weight) for update in updates)
    round_sum = RoundSum(state, terms, rank, method("stacking"), step=1)
    parts = parts_of(shapes, {}, rank=rank * (len(updates) + 1), settings=settings)
    with workers(settings) as executor:
        if len(parts) > 1:
            result = in_parts(parts, round_sum, executor)
        else:
            result = round_sum(parts[0], executor)
    with (folder / "next").open("wb") as sink:
        encode_to(sink, result.adapter)
    digest = digest_of(folder / "next")
    ended = time.perf_counter()
    (folder / "next").unlink()
    return {
        "parts": len(parts),
        "threads": threads,
        "baseline_bytes": baseline,
        "peak_bytes": memory("VmHWM") - baseline,
        "seconds": ended - began,
        "hash_seconds": hashed - began,
        "ratio_to_hashing": (ended - began) / (hashed - began),
        "digest": digest,
        "discarded": result.error.overall,
    }


# --------------------------------------------------------------------- the table
@dataclass(frozen=True)
class Asked:
    """What is measured.

    Attributes:
        compare: also at once, in memory, for the digest.
        folder: where blobs are written for a while.
    """

    layers: int = 32
    nodes: int = 10
    rank: int = 64
    threads: int = os.cpu_count() or 1
    max_sum_bytes: int = GIB
    compare: bool = True
    folder: str | None = None

    @property
    def blob_bytes(self) -> int:
        return 4 * self.rank * sum(m + n for m, n in shapes_of(self.layers).values())


def measure(asked: Asked) -> dict[str, Any]:
    """Write the blobs, let fresh processes aggregate them, and return what these say."""
    needed = (asked.nodes + 2) * asked.blob_bytes
    base = Path(asked.folder or tempfile.gettempdir())
    if shutil.disk_usage(base).free < 1.2 * needed:
        raise SystemExit(f"{base} needs {needed / GIB:.0f} GiB for the blobs: give --folder")
    shared = [f"--layers={asked.layers}", f"--nodes={asked.nodes}", f"--rank={asked.rank}",
              f"--threads={asked.threads}"]  # fmt: skip
    with tempfile.TemporaryDirectory(dir=base, prefix="aggregation-large-") as folder:
        in_process(Path(__file__).name, *shared, "--write", folder)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        found: dict[str, Any] = {**asdict(asked), "blob_bytes": size}
        bound = f"--max-sum-bytes={asked.max_sum_bytes}"
        found["parts"] = in_process(Path(__file__).name, *shared, "--work", folder, bound)
        print(f"in parts: {json.dumps(found['parts'])}", file=sys.stderr)  # the rest takes long
        if asked.compare:
            found["at_once"] = in_process(
                Path(__file__).name, *shared, "--work", folder, f"--max-sum-bytes={1 << 50}"
            )
    return found


def rows_of(found: Mapping[str, Any]) -> list[Row]:
    """Return lines for the table of `aggregation.py`."""
    parts, once = found["parts"], found.get("at_once")
    note = (
        f"{found['layers']} of 32 layers, {found['nodes']} nodes, {found['blob_bytes'] / GIB:.2g} "
        f"GiB of blobs; {parts['parts']} parts, {parts['threads']} threads, "
        f"{parts['ratio_to_hashing']:.1f} x hashing the blobs"
    )
    name = f"all-linear 7B, rank {found['rank']}, from mapped blobs: peak memory"
    table = [Row(f"{name}, GB", BAR_GB, parts["peak_bytes"] / 1e9, note)]
    if once is not None:
        is_same = parts["digest"] == once["digest"]
        note = f"at once: {once['peak_bytes'] / 1e9:.2f} GB, {once['ratio_to_hashing']:.1f} x"
        table.append(Row("the same: digests that differ from the round at once", 0.0,
                         float(not is_same), note))  # fmt: skip
    return table


def rows(is_quick: bool) -> list[Row]:
    """Return the rows for `make bench`; only a small one is also done at once."""
    quick = Asked(layers=1, max_sum_bytes=1 << 24)
    return rows_of(measure(quick if is_quick else Asked(compare=False)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = Asked()
    for name in ("layers", "nodes", "rank", "threads", "max_sum_bytes"):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=getattr(default, name))
    parser.add_argument("--folder", help="where the blobs are written; default: the temporary one")
    parser.add_argument("--no-compare", dest="compare", action="store_false")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = vars(parser.parse_args())
    json_path, write, read = (given.pop(name) for name in ("json", "write", "work"))
    asked = Asked(**given)
    if write is not None:
        write_blobs(write, layers=asked.layers, nodes=asked.nodes, rank=asked.rank)
        return
    if read is not None:
        sizes = {"max_sum_bytes": asked.max_sum_bytes, "threads": asked.threads}
        print(json.dumps(work(read, rank=asked.rank, **sizes)))
        return
    found = measure(asked)
    table = rows_of(found)
    for row in table:
        print(f"{row.work}: bar {row.bar:g}, seen {row.seen:.3g}, "
              f"{'pass' if row.passed else 'FAIL'}; {row.note}")  # fmt: skip
    if json_path is not None:
        found["rows"] = [{**asdict(row), "passed": row.passed} for row in table]
        json_path.write_text(json.dumps(found, indent=1) + "\n")
    if not all(row.passed for row in table):
        sys.exit(1)


if __name__ == "__main__":
    main()
