import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Let flwr and peft be used: both call names that a library beneath them deprecates."""
    # The typer that flwr pins uses names that click 8.3 deprecates.
    config.addinivalue_line("filterwarnings", "ignore:'click:DeprecationWarning")
    # peft 0.21 asks a transformers 5.23 model for a property that is going away.
    config.addinivalue_line("filterwarnings", "ignore:.is_gradient_checkpointing:FutureWarning")
