"""`polyrank simulate`: a daemon and its nodes, from their own files, in this one process."""

# pyright: reportUnknownMemberType=false
# (typer's Option is declared with unknown type arguments)

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from ._cli_output import print_json, size
from ._config import CoordinatorConfig
from ._errors import ConfigError

if TYPE_CHECKING:
    from ..client._node_config import NodeConfig
    from ..client._peft_node import SharedBases
    from ..store import Version
    from ._simulation import Progress, Simulation
    from ._simulation_node import SimulatedNode


def simulate(
    config: Annotated[Path, typer.Argument(help="TOML file of the daemon.")],
    nodes: Annotated[
        list[Path] | None,
        typer.Option(
            "--nodes",
            "-n",
            help="TOML file of a node, or a folder of such files or of folders with a node.toml; "
            "more than once for more. Without it: the folder 'nodes' beside CONFIG.",
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Versions to make, instead of the lines' own.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where registry and log are kept; without it nothing is written."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="Where nodes work: in-process, one at a time; ray, several at once in Flower's "
            "Ray actors, with the same outcome (needs polyrank[ray])."
        ),
    ] = "in-process",
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Run the rounds of a daemon and its nodes in this one process: no servers, no waiting.

    Registry, ports and state directories of the files are not used and not touched. Interrupted
    with Ctrl-C it can be called again with the same --data-dir, and goes on.
    """
    settings = CoordinatorConfig.load(config)
    found = read_nodes(nodes or [config.parent / "nodes"])
    began = time.monotonic()
    with contextlib.ExitStack() as undo:
        folder = Path(undo.enter_context(TemporaryDirectory()))
        console = Console(stderr=True, highlight=False)
        simulation = undo.enter_context(
            _prepared(
                settings,
                found,
                folder,
                rounds=rounds,
                data_dir=data_dir,
                engine=engine,
                console=console,
            )
        )
        try:
            with _shown(simulation, console, began):
                simulation.run()
        except KeyboardInterrupt:
            if data_dir is not None:
                typer.echo("stopped: the same command goes on from here", err=True)
            raise
        _print(simulation, data_dir, time.monotonic() - began, as_json=as_json)


def read_nodes(places: Sequence[Path]) -> list[tuple[Path, NodeConfig]]:
    """Read the nodes' files; in a folder those of its `*.toml` and `*/node.toml`, sorted.

    Raises:
        ConfigError: no such file or folder, a folder without any, two nodes with one name.
        ConfigError (client): a file that cannot be used.
    """
    from ..client._node_config import load_node_config

    found = [(path, load_node_config(path)) for place in places for path in _files(place)]
    first: dict[str, Path] = {}
    for path, node in found:
        if node.node.name in first:
            raise ConfigError(
                f"{path}: node.name: {node.node.name!r} is the name of {first[node.node.name]} "
                "too: give each node its own",
                source=str(path),
                key="node.name",
            )
        first[node.node.name] = path
    return found


def _files(place: Path) -> list[Path]:
    if not place.exists():
        raise ConfigError(
            f"{place}: does not exist: give --nodes a file or folder", source=str(place)
        )
    if not place.is_dir():
        return [place]
    found = sorted([*place.glob("*.toml"), *place.glob("*/node.toml")])
    if not found:
        raise ConfigError(
            f"{place}: no *.toml and no */node.toml in it: write one for each node",
            source=str(place),
        )
    return found


def _prepared(
    settings: CoordinatorConfig,
    found: Sequence[tuple[Path, NodeConfig]],
    folder: Path,
    *,
    rounds: int | None,
    data_dir: Path | None,
    engine: str,
    console: Console,
) -> Simulation:
    from ..client._peft_node import SharedBases
    from ._simulation import Simulation

    bases = SharedBases()
    simulation = Simulation(settings, rounds=rounds, data_dir=data_dir, engine=engine)
    try:
        simulation.check_end()  # before minutes of loading
        for number, (_, node) in enumerate(found, start=1):
            with console.status(f"node {number} of {len(found)}: loading its model and rows"):
                simulation.join(_node(node, folder, bases))
    except BaseException:
        simulation.close()
        raise
    return simulation


def _node(config: NodeConfig, folder: Path, bases: SharedBases) -> SimulatedNode:
    """Make a node from its file; digests of its model's files are kept in `folder`."""
    from ..client._peft_node import trainer_of
    from ._simulation_node import SimulatedNode

    own = config.node.model_copy(update={"state_dir": folder})
    trainer = trainer_of(config.model_copy(update={"node": own}), bases=bases)
    given = config.client()
    return SimulatedNode(
        given.name,
        trainer,
        max_rank=given.max_rank,
        tags=given.tags,
        adapters=given.adapters,
        device=given.device,
        memory_bytes=given.memory_bytes,
        max_adapter_bytes=given.max_adapter_bytes,
    )


@contextlib.contextmanager
def _shown(simulation: Simulation, console: Console, began: float) -> Generator[None]:
    """Show on stderr what is going on: a line for each version, and on a terminal how far it is."""

    def say(adapter: str, version: Version) -> None:
        passed = time.monotonic() - began
        line = f"{passed:6.1f} s  {version.ref}: rank {version.rank}, {size(version.size_bytes)}"
        console.print(Text(line), soft_wrap=True)

    with console.status("starting") as status:

        def show(progress: Progress) -> None:
            status.update(f"{progress.answers} answers of {len(simulation.nodes)} nodes")

        simulation.on_round, simulation.on_progress = say, show
        yield


def _print(simulation: Simulation, data_dir: Path | None, seconds: float, *, as_json: bool) -> None:
    from ._simulation_report import outcome, print_outcome

    if as_json:
        print_json(simulation=outcome(simulation.registry, data_dir, seconds))
    else:
        print_outcome(simulation.registry, data_dir)
