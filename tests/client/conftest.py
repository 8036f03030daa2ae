import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Let flwr be imported: the typer that it pins uses names that click 8.3 deprecates."""
    config.addinivalue_line("filterwarnings", "ignore:'click:DeprecationWarning")
