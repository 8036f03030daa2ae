"""What the README shows, runs."""

import re
import subprocess
import sys
from pathlib import Path

from ..coordinator.federation import Federation

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SNIPPETS = dict(re.findall(r"<!-- test: ([a-z-]+) -->\n```python\n(.*?)```", README, re.S))


def test_every_python_block_is_tested_here():
    assert README.count("```python") == len(SNIPPETS) == 2


def test_every_file_that_the_readme_links_to_exists():
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_the_registry_snippet_runs(tmp_path: Path):
    subprocess.run([sys.executable, "-c", SNIPPETS["registry"]], cwd=tmp_path, check=True)


def test_a_users_own_loop_of_30_lines_joins_a_federation(tmp_path: Path):
    snippet = SNIPPETS["own-loop"]
    assert len([line for line in snippet.splitlines() if line.strip()]) <= 30
    settings = {
        "base_model": "own",
        "rounds": 2,
        "training": {"steps": 5, "learning_rate": 0.05},
        "deadline_seconds": 60,
    }
    with Federation(tmp_path, {"own": settings}) as federation:
        federation.start_daemon()
        for name in ("one", "two"):
            script = tmp_path / f"{name}.py"
            mine = snippet.replace("127.0.0.1:9092", f"127.0.0.1:{federation.port}")
            script.write_text(mine.replace('"my-node"', f'"{tmp_path / name}"'))
            federation.start(name, [str(script)])
        federation.wait_event("version_evaluated", number=2, count=2)
        with federation.registry(remote=True) as registry:
            versions = registry.versions("own").items
            metrics = registry.metrics("own@latest")
    assert [version.number for version in versions] == [2, 1, 0]
    assert max(version.rank for version in versions) == 4
    assert {metric.identity for metric in metrics if metric.name == "loss"}
