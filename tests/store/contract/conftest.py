"""The contract suite runs on every registry: set up through `local`, ask `registry`.

For a local registry they are one object; a remote one is asked over its wire while the setup,
which no remote registry serves, writes to the database behind it. To add an implementation, add
a name to BACKENDS and say in `pair` what to ask.
"""

from dataclasses import dataclass

import pytest
from polyrank.store import Ledger, Registry, connect, serve

BACKENDS = ("memory", "sqlite", "postgresql", "grpc")


@dataclass(frozen=True)
class Pair:
    """A writable local registry and the one under test, on the same database."""

    ledger: Ledger
    registry: Registry
    remote: bool

    @property
    def local(self) -> Registry:
        return self.ledger.registry


@pytest.fixture(params=BACKENDS)
def pair(request, open_local):
    if request.param != "grpc":
        ledger = open_local(request.param)
        yield Pair(ledger, ledger.registry, remote=False)
        return
    ledger = open_local("sqlite")
    server = serve(ledger.registry, "127.0.0.1:0")
    try:
        with connect(server.url) as registry:
            yield Pair(ledger, registry, remote=True)
    finally:
        server.stop()


@pytest.fixture
def registry(pair):
    return pair.registry


@pytest.fixture
def local(pair):
    """The local registry, with one base model and one adapter "support/en"."""
    pair.local.register_base_model("base", fingerprint="f" * 64, metadata={"layers": 2})
    pair.local.create_adapter("support/en", base_model="base", tags={"team": "nlp"})
    return pair.local
