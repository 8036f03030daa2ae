"""The table error <-> status is complete, and errors cross the wire with their facts."""

import inspect

import grpc
import pytest
from polyrank.store import StoreError, _errors
from polyrank.store._grpc_errors import (
    DETAILS_KEY,
    MAX_METADATA_BYTES,
    STATUS,
    from_status,
    to_status,
)


def every_kind() -> list[type[StoreError]]:
    found, queue = [], [StoreError]
    while queue:
        kind = queue.pop()
        found.append(kind)
        queue += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == _errors.__name__]


KINDS = [kind for kind in every_kind() if kind is not StoreError]


def example(kind: type[StoreError], text: str = "ü\n'x'") -> StoreError:
    """An error of a kind, each fact of the type that its constructor names."""
    values = {"int": 7, "float": 1.5, "str": text}
    parameters = inspect.signature(kind).parameters.values()
    return kind(**{p.name: values[str(p.annotation)] for p in parameters})


class Failed(grpc.RpcError):
    """A finished call, as grpc raises it."""

    def __init__(self, code, details="", trailers=()):
        self._state = code, details, trailers

    def code(self):
        return self._state[0]

    def details(self):
        return self._state[1]

    def trailing_metadata(self):
        return self._state[2]


def crossed(error: StoreError) -> StoreError:
    code, text, details = to_status(error)
    failed = Failed(code, text, [("other", "x"), (DETAILS_KEY, details)])
    return from_status(failed, address="grpc://h:1", call="version", deadline_seconds=1)


def test_the_table_names_every_error_of_the_package():
    assert set(STATUS) == set(every_kind())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_crosses_with_its_class_its_facts_and_its_words(kind: type[StoreError]):
    sent = example(kind)
    received = crossed(sent)
    assert type(received) is kind
    assert received.facts == sent.facts
    assert str(received) == str(sent)
    assert vars(received) == vars(sent)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_huge_facts_still_fit_into_the_trailers(kind: type[StoreError]):
    _, text, details = to_status(example(kind, "ü" * 1_000_000))
    assert len(text.encode()) * 3 + len(details) < MAX_METADATA_BYTES
    assert type(crossed(example(kind, "ü" * 1_000_000))) is kind


def test_an_older_client_finds_the_base_that_it_knows():
    class Newer(_errors.NotFound):
        pass

    assert type(crossed(Newer("adapter", "a"))) is _errors.NotFound


def test_facts_that_this_version_does_not_know_leave_the_status():
    class Newer(_errors.NotFound):
        def __init__(self) -> None:
            super().__init__("adapter", "a")
            self.facts = {"planet": "Mars"}

    received = crossed(Newer())
    assert isinstance(received, _errors.RemoteFailure)
    assert received.status == "NOT_FOUND"


WITHOUT_DETAILS = {
    grpc.StatusCode.UNAVAILABLE: _errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: _errors.DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: _errors.Unauthenticated,
    grpc.StatusCode.UNIMPLEMENTED: _errors.Unsupported,
    grpc.StatusCode.CANCELLED: _errors.Closed,
}


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c is not grpc.StatusCode.OK])
def test_every_status_of_grpcs_own_becomes_one_of_our_errors(code: grpc.StatusCode):
    received = from_status(
        Failed(code, "why\nso"), address="grpc://h:1", call="nodes", deadline_seconds=2
    )
    assert type(received) is WITHOUT_DETAILS.get(code, _errors.RemoteFailure)
    assert "\n" not in str(received)


def test_damaged_details_leave_the_status():
    failed = Failed(grpc.StatusCode.NOT_FOUND, "gone", [(DETAILS_KEY, b"\xff\xff")])
    received = from_status(failed, address="a", call="c", deadline_seconds=1)
    assert isinstance(received, _errors.RemoteFailure)
