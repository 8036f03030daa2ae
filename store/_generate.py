"""Write `_registry_pb2.py` and its type stub from `registry.proto` (run by `make proto`).

The generated files are committed, so only who changes the service needs grpcio-tools. The file is
compiled under the virtual path `polyrank/registry/v1/`, which makes its name in protobuf's global
pool our own; its only imports are protobuf's.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
VIRTUAL = "polyrank/registry/v1"


def generate(target: Path = HERE) -> list[Path]:
    """Compile `registry.proto` into `target` and return the files written.

    Raises `subprocess.CalledProcessError` when protoc refuses the file (it says why on stderr).
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(_command(Path(folder)), check=True)
        made = Path(folder) / VIRTUAL
        return [
            Path(shutil.copyfile(made / f"registry_pb2{suffix}", target / f"_registry_pb2{suffix}"))
            for suffix in (".py", ".pyi")
        ]


def _command(output: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{VIRTUAL}={HERE}",
        f"-I{_well_known_types()}",
        f"--python_out={output}",
        f"--pyi_out={output}",
        f"{VIRTUAL}/registry.proto",
    ]


def _well_known_types() -> Path:
    # grpc_tools is a tool, not a dependency: found by path, never imported here.
    spec = find_spec("grpc_tools")
    if spec is None or spec.origin is None:
        raise SystemExit("grpcio-tools is not installed; run: pip install 'polyrank[dev]'")
    return Path(spec.origin).parent / "_proto"


if __name__ == "__main__":
    for path in generate():
        print(path.name)
