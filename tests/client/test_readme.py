"""The README's node is the one that test_node.py runs as a process."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_own_loop_of_the_readme_is_the_one_that_is_tested():
    code = (Path(__file__).with_name("own_loop.py")).read_text("utf-8").split('"""\n\n', 1)[1]
    assert f"```python\n{code}```\n" in (ROOT / "client" / "README.md").read_text("utf-8")


def test_the_trainer_of_the_own_loop_is_short_and_needs_torch_alone():
    code = (Path(__file__).with_name("own_loop.py")).read_text("utf-8")
    trainer = code[code.index("class OwnTrainer") : code.index("if __name__")]
    assert len([line for line in trainer.splitlines() if line.strip()]) <= 38
    assert "peft" not in code.split('"""')[2]
    assert "import transformers" not in code
