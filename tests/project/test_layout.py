"""What the tree must and must not contain."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("aggregation", "store", "client", "coordinator")
SOURCES = [
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "_pb2" not in path.name and "migrations" not in path.parts
]


def _imported(path: Path) -> set[str]:
    """Absolute top-level names imported by a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("folder", [*PACKAGES, "tests", "benchmarks"])
def test_no_file_imports_a_package_by_its_folder_name(folder: str):
    files = [path for path in (ROOT / folder).rglob("*.py") if "_pb2" not in path.name]
    guilty = [path for path in files if _imported(path) & set(PACKAGES)]
    assert not guilty, "from the root this loads a second copy: use polyrank.<package>"


def test_the_import_contracts_hold():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


def test_of_the_client_the_coordinator_loads_the_wire_only():
    """The node command, demo, simulation and export run client code: their modules are named."""
    allowed = re.compile(r"_cli_node|_cli_demo|_demo|_cli_simulate|_simulation|_cli_export")
    guilty: list[str] = []
    for path in (ROOT / "coordinator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                module = node.module or ""
                names = [alias.name for alias in node.names]
                wire = re.fullmatch(r"client\._(wire[a-z_]*|protocol)", module)
                of_client = module.split(".")[0] == "client" or module.startswith("polyrank.client")
                if of_client and not wire and not allowed.search(path.name):
                    guilty.append(f"{path.name}: {module} {names}")
    assert not guilty


EDGES = {
    "flwr": r"^(client|coordinator)/_(flower|wire)[a-z_]*\.py$",
    "transformers": r"^(client/_(transformers|peft)[a-z_]*|coordinator/_assets_smollm2)\.py$",
}


@pytest.mark.parametrize("library", EDGES)
def test_untyped_libraries_are_touched_in_named_edge_modules_only(library: str):
    found = {str(path.relative_to(ROOT)) for path in SOURCES if library in _imported(path)}
    assert found, f"{library} is imported nowhere: drop the dependency"
    assert not {name for name in found if not re.match(EDGES[library], name)}


def test_peft_is_needed_by_who_loads_an_adapter_and_by_no_code_of_ours():
    assert not [path for path in SOURCES if "peft" in _imported(path)]


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_says_what_lives_in_it(package: str):
    text = (ROOT / package / "README.md").read_text()
    assert len(text.splitlines()) > 20
    for private in re.findall(r"`(_[a-z_]+\.py)`", text):
        assert (ROOT / package / private).is_file(), f"{package}/README.md names {private}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_stay_short(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "migrations" not in str(
            path
        ):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert length <= 50, f"{path.name}:{node.lineno} {node.name} has {length} lines"
