"""What a round costs outside training: polyrank against plain Flower, same payload, same machine.

``python benchmarks/round_overhead.py [--nodes 4] [--payload tiny|64mb] [--rounds 5] [--json FILE]``

Both sides run as they would be deployed, one after the other: a SuperLink, one SuperNode for each
node, one server. "Training" adds noise to each tensor (some 0.1 s for 64 MB; so the aggregate has
full rank and goes back in full), and what is measured is nearly all of the rest: start-up of
processes, transport, aggregation, and, for polyrank alone, checks, durable contributions and the
commit of a version.

- plain: an app with Flower's FedAvg strategy and one tensor per array, in Flower's default mode.
- polyrank: the daemon and its nodes, one blob for each update.

The time of a round is the time between the ends of two rounds; the first one, which has the
start-up in it, is left out. The median is compared.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

LINE = "bench/line"
TARGETS = {"tiny": 0.6, "64mb": 0.4}
PATIENCE_SECONDS = 900.0


@dataclass(frozen=True)
class Payload:
    """Square modules and the rank of all nodes."""

    modules: int
    size: int
    rank: int

    @property
    def megabytes(self) -> float:
        return self.modules * 2 * self.size * self.rank * 4 / 2**20

    def shapes(self) -> dict[str, tuple[int, int]]:
        return {f"layers.{i}": (self.size, self.size) for i in range(self.modules)}


PAYLOADS = {"tiny": Payload(2, 8, 2), "64mb": Payload(64, 4096, 32)}


@dataclass(frozen=True)
class Measured:
    """Seconds between the ends of rounds, and the server's largest memory in MB."""

    rounds: tuple[float, ...]
    server_megabytes: float

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


# --- plain Flower ---------------------------------------------------------------------------------

PLAIN_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "plain"
version = "1.0.0"
description = "Flower as it comes"
license = "Apache-2.0"
dependencies = []
[tool.hatch.build.targets.wheel]
packages = ["."]
[tool.flwr.app]
publisher = "bench"
[tool.flwr.app.components]
serverapp = "plain.app:server"
clientapp = "plain.app:client"
[tool.flwr.app.config]
modules = 1
size = 8
rank = 2
nodes = 2
rounds = 2
ends = ""
"""

PLAIN_APP = """\
import os
import resource
import time

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()


@client.train()
def train(message, context):
    arrays = message.content["arrays"]
    noise = np.random.default_rng(os.getpid())
    trained = {}
    for name, array in arrays.items():
        step = np.float32(0.001) * noise.standard_normal(array.shape, np.float32)
        trained[name] = Array(array.numpy() + step)
    metrics = MetricRecord({"num-examples": 10, "loss": 0.5})
    content = RecordDict({"arrays": ArrayRecord(trained), "metrics": metrics})
    return Message(content, reply_to=message)


class Timed(FedAvg):
    def aggregate_train(self, server_round, replies):
        result = super().aggregate_train(server_round, replies)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        with open(self.ends, "a") as sink:
            sink.write(f"{time.time()} {peak}\\n")
        return result


@server.main()
def main(grid, context):
    wish = context.run_config
    shape_b, shape_a = (wish["size"], wish["rank"]), (wish["rank"], wish["size"])
    start = {}
    for index in range(wish["modules"]):
        start[f"layers.{index}.b"] = Array(np.zeros(shape_b, np.float32))
        start[f"layers.{index}.a"] = Array(np.random.default_rng(index).random(shape_a, np.float32))
    nodes = wish["nodes"]
    strategy = Timed(
        fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes
    )
    strategy.ends = wish["ends"]
    strategy.start(grid=grid, initial_arrays=ArrayRecord(start), num_rounds=wish["rounds"])
"""


def plain(payload: Payload, nodes: int, rounds: int, folder: Path) -> Measured:
    """Run Flower's own FedAvg in its default mode."""
    app, ends, port = folder / "plain-app", folder / "ends.txt", free_ports(1)[0]
    (app / "plain").mkdir(parents=True)
    (app / "pyproject.toml").write_text(PLAIN_PROJECT)
    (app / "plain" / "__init__.py").write_text("")
    (app / "plain" / "app.py").write_text(PLAIN_APP)
    home = folder / "flower"
    home.mkdir()
    address = f"127.0.0.1:{port}"
    connection = f'[superlink]\ndefault = "bench"\n[superlink.bench]\naddress = "{address}"\n'
    (home / "config.toml").write_text(connection + "insecure = true\n")
    environment = {"FLWR_HOME": str(home)}
    link = ["flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(port)]
    node_ports = free_ports(nodes)
    with contextlib.ExitStack() as stack:
        start = stack.enter_context(programs(folder / "plain-logs", environment))
        start([*link, "--disable-runtime-dependency-installation"])
        await_port(port)
        for node_port in node_ports:
            node = ["flower-supernode", "--insecure", "--superlink", address]
            start([*node, "--port", str(node_port)], is_node=True)
        wish = f"modules={payload.modules} size={payload.size} rank={payload.rank} "
        wish += f'nodes={nodes} rounds={rounds + 1} ends="{ends}"'
        start(["flwr", "run", str(app), "bench", "--run-config", wish])
        await_lines(ends, rounds + 1, start)
    rows = [line.split() for line in ends.read_text().splitlines()]
    return measured([float(end) for end, _ in rows], max(float(peak) for _, peak in rows))


# --- polyrank -------------------------------------------------------------------------------------


def polyrank(payload: Payload, nodes: int, rounds: int, folder: Path) -> Measured:
    """Run the daemon and its nodes; the ends of rounds are read from the registry."""
    from polyrank.store import StoreError, connect

    data, (port, registry_port) = folder / "daemon", free_ports(2)
    folder.mkdir()
    config = folder / "polyrank.toml"
    config.write_text(
        f"[daemon]\ndata_dir = {json.dumps(str(data))}\n"
        f"[superlink]\nport = {port}\n[registry]\nport = {registry_port}\n"
        f'[adapters."{LINE}"]\nbase_model = "bench"\nrounds = {rounds + 1}\n'
        f"min_nodes = {nodes}\nstate_rank = {payload.rank}\nevaluate_every = 0\n"
    )
    with contextlib.ExitStack() as stack:
        start = stack.enter_context(programs(folder / "polyrank-logs", {}))
        daemon = start(["polyrank", "up", "--config", str(config)])
        await_port(registry_port)
        for index in range(nodes):
            role = [sys.executable, __file__, "--node", f"127.0.0.1:{port}"]
            shape = [f"{payload.modules},{payload.size},{payload.rank}"]
            start([*role, str(folder / f"node-{index}"), *shape], is_node=True)
        registry = connect(f"grpc://127.0.0.1:{registry_port}")
        stack.callback(registry.close)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(StoreError):
                versions = [v for v in registry.versions(LINE).items if v.round]
                if len(versions) > rounds:
                    break
            check(start, deadline)
            time.sleep(1.0)
        peak = peak_megabytes(daemon.pid)
        full = versions[0].rank == payload.rank
    if not full:
        sys.exit(f"the state has rank {versions[0].rank}, not {payload.rank}: less was sent back")
    return measured(sorted(v.created_at.timestamp() for v in versions), peak)


def node(server: str, folder: Path, payload: Payload) -> None:
    """Be a node of polyrank whose training adds noise."""
    import torch
    from polyrank.aggregation import Adapter, Factors
    from polyrank.client import (
        AdaptationClient,
        ClientConfig,
        Evaluation,
        ModelDescription,
        TrainResult,
        TrainTask,
    )

    class Noise:
        num_rows = 10
        model_loads = 1
        description = ModelDescription(hashlib.sha256(b"bench").hexdigest(), payload.shapes())

        def train(self, task: TrainTask) -> TrainResult:
            factors = task.start.trainable.factors
            noise = torch.Generator().manual_seed(os.getpid() + task.round)
            moved = {
                name: Factors(
                    f.b + 0.001 * torch.randn(f.b.shape, generator=noise),
                    f.a + 0.001 * torch.randn(f.a.shape, generator=noise),
                )
                for name, f in factors.items()
            }
            return TrainResult(Adapter(moved), self.num_rows, {"loss": 0.5})

        def evaluate(self, adapter: Adapter, rows: Sequence[int] | None = None) -> Evaluation:
            return Evaluation([0.5] * self.num_rows)

    config = ClientConfig(
        state_dir=folder, name=folder.name, max_rank=payload.rank, server=server, kept_tasks=2
    )
    AdaptationClient(config, Noise()).run()


# --- both -----------------------------------------------------------------------------------------


class Starter:
    """Starts programs of this environment; each leads a session of its own."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        logs.mkdir(parents=True)
        quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        inherited = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        self._environment = {**inherited, **quiet, "PATH": path, **environment}
        self._logs = logs
        self.running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def __call__(self, command: Sequence[str], *, is_node: bool = False) -> subprocess.Popen[bytes]:
        """Start a program; the nodes share the cores, so each gets one thread, on both sides."""
        log = self._logs / f"{len(self.running)}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command,
                stdout=sink,
                stderr=sink,
                stdin=subprocess.DEVNULL,
                env=self._environment | ({"OMP_NUM_THREADS": "1"} if is_node else {}),
                start_new_session=True,
            )
        self.running.append((process, log))
        return process


@contextlib.contextmanager
def programs(logs: Path, environment: Mapping[str, str]) -> Iterator[Starter]:
    """Start programs and end them, with all that they started, at the end."""
    starter = Starter(logs, environment)
    try:
        yield starter
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process, _ in reversed(starter.running):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            for process, _ in starter.running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)


def check(starter: Starter, deadline: float) -> None:
    """Give up when a program failed or the time is over."""
    for process, log in starter.running:
        if process.poll():
            sys.exit(f"{process.args} failed:\n{log.read_text()[-3000:]}")
    if time.monotonic() > deadline:
        sys.exit(f"no result within {PATIENCE_SECONDS:.0f} s")


def await_lines(path: Path, count: int, starter: Starter) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists() or len(path.read_text().splitlines()) < count:
        check(starter, deadline)
        time.sleep(0.5)


def await_port(port: int) -> None:
    import socket

    deadline = time.monotonic() + 120
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            sys.exit(f"nobody listens on port {port}")
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    import socket

    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def peak_megabytes(pid: int) -> float:
    """Return the largest resident size of a running process (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def measured(ends: Sequence[float], peak: float) -> Measured:
    pairs = itertools.pairwise(ends)
    return Measured(tuple(round(after - before, 3) for before, after in pairs), round(peak, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--payload", choices=PAYLOADS, action="append")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--node", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.node:
        modules, size, rank = map(int, given.node[2].split(","))
        node(given.node[0], Path(given.node[1]), Payload(modules, size, rank))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    results = {}
    for name in given.payload or list(PAYLOADS):
        payload = PAYLOADS[name]
        with tempfile.TemporaryDirectory() as folder:
            ours = polyrank(payload, given.nodes, given.rounds, Path(folder) / "ours")
            theirs = plain(payload, given.nodes, given.rounds, Path(folder) / "theirs")
        ratio = ours.median / theirs.median
        results[name] = {"polyrank": asdict(ours), "plain": asdict(theirs), "ratio": ratio}
        print(f"{name}: {given.nodes} nodes, {payload.megabytes:.3g} MB each way")
        for side, result in (("polyrank", ours), ("plain Flower", theirs)):
            rounds = " ".join(f"{seconds:.2f}" for seconds in result.rounds)
            print(
                f"  {side:13} median {result.median:6.2f} s a round ({rounds}), "
                f"server peak {result.server_megabytes:.0f} MB"
            )
        print(f"  ratio {ratio:.2f}, target at most {TARGETS[name]}")
    if given.json:
        given.json.write_text(json.dumps(results, indent=2))
    if any(result["ratio"] > TARGETS[name] for name, result in results.items()):
        sys.exit("a target was missed")


if __name__ == "__main__":
    main()
