"""The registry behind a port: what only a server can get wrong."""

import inspect
import socket
import subprocess
import sys
import threading
import time

import pytest
from polyrank.store import (
    AddressInUse,
    AddressRefused,
    BlobDamaged,
    Closed,
    DeadlineExceeded,
    FilterError,
    InvalidValue,
    NotFound,
    RefError,
    Registry,
    RemoteFailure,
    Unauthenticated,
    Unavailable,
    Unsupported,
    UrlError,
    connect,
    serve,
)
from polyrank.store import _grpc_channel as channel
from polyrank.store import _grpc_server as grpc_server
from polyrank.store._grpc_calls import BATCH_BYTES
from small_blobs import blob, write_blob


def opened(url: str) -> Registry:
    registry = connect(url)
    registry.register_base_model("base", fingerprint="f" * 64)
    registry.create_adapter("demo", base_model="base", tags={"team": "a"})
    return registry


@pytest.fixture
def local():
    with opened("memory://") as registry:
        yield registry


@pytest.fixture
def server(local):
    running = serve(local, "127.0.0.1:0")
    yield running
    running.stop()


@pytest.fixture
def remote(server):
    with connect(server.url) as registry:
        yield registry


def within(seconds: float, condition) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


# ---- addresses


def test_a_port_in_use_is_an_error_that_names_it(server, local):
    with pytest.raises(AddressInUse) as caught:
        serve(local, f"127.0.0.1:{server.port}")
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", server.port)


def test_a_port_held_by_another_program_is_in_use_too(local):
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(AddressInUse):
        serve(local, f"127.0.0.1:{other.getsockname()[1]}")


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:0", "[::]:0", "10.0.0.1:9093", "example.com:9093", "127.0.0.1", "nonsense",
     ":9093", "127.0.0.1:99999", "user@127.0.0.1:1"],
)  # fmt: skip
def test_only_loopback_is_served(local, address):
    with pytest.raises(AddressRefused) as caught:
        serve(local, address)
    assert address in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_localhost_means_the_loopback_address(local):
    server = serve(local, "localhost:0")
    assert server.host == "127.0.0.1"
    server.stop()


@pytest.mark.parametrize(
    "url",
    ["grpc://", "grpc://host", "grpc://host:0", "grpc://host:1/path", "grpc://h:x",
     "grpcs://h:1"],
)  # fmt: skip
def test_an_address_that_cannot_be_called_is_refused(url):
    with pytest.raises(UrlError):
        connect(url)


def test_nobody_there_is_one_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        connect(f"grpc://127.0.0.1:{port}")
    assert time.monotonic() - began < 5
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "polyrank up" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_went_is_noticed_and_one_that_came_back_is_found(local):
    server = serve(local, "127.0.0.1:0")
    with connect(server.url) as remote:
        server.stop()
        with pytest.raises(Unavailable):
            remote.adapters()
        server = serve(local, f"127.0.0.1:{server.port}")

        def answers() -> bool:
            try:
                return len(remote.adapters()) == 1
            except Unavailable:
                return False

        assert within(5, answers)
        server.stop()


def test_a_token_must_be_the_servers(local):
    server = serve(local, "127.0.0.1:0", token="s3cret")
    try:
        for token in (None, "", "other", "s3cret "):
            with pytest.raises(Unauthenticated):
                connect(server.url, token=token)
        with connect(server.url, token="s3cret") as remote:
            assert [line.name for line in remote.adapters()] == ["demo"]
            assert list(remote.watch(timeout_seconds=0.05))
    finally:
        server.stop()


@pytest.mark.parametrize("token", ["schlüssel", "two\nlines", "\0"])
def test_a_token_that_cannot_travel_is_refused_on_both_sides(local, server, token):
    with pytest.raises(InvalidValue, match="token"):
        serve(local, "127.0.0.1:0", token=token)
    with pytest.raises(InvalidValue, match="token"):
        connect(server.url, token=token)


def test_a_token_never_leaves_the_machine_in_the_clear():
    with pytest.raises(UrlError, match="unencrypted"):
        connect("grpc://10.0.0.1:9093", token="s3cret")


# ---- what is not served


WRITES = {
    "register_base_model": {"name": "b", "fingerprint": "f" * 64},
    "create_adapter": {"name": "x", "base_model": "base"},
    "publish": {"adapter": "demo", "data": b""},
    "retire": {"ref": "demo@0"},
    "retire_adapter": {"name": "demo"},
    "prune": {},
    "record_evidence": {"kind": "k", "payload": {}},
    "record_decision": {"kind": "k", "reason": "r"},
}


@pytest.mark.parametrize("call", WRITES)
def test_writes_of_the_owner_are_refused_by_name(remote, call):
    with pytest.raises(Unsupported) as caught:
        getattr(remote, call)(**WRITES[call])
    assert caught.value.call == call


def test_every_call_of_the_contract_is_served_or_refused(remote):
    served = {*grpc_server.CALLS, "read", "open", "watch", "close"}
    abstract = {
        name for name, _ in inspect.getmembers(Registry, inspect.isfunction)
        if not name.startswith("_")
    }  # fmt: skip
    assert abstract == served | set(WRITES)


# ---- large answers, slow answers, broken servers


def test_an_answer_larger_than_a_message_arrives_whole(local, server, monkeypatch):
    small = [("grpc.max_receive_message_length", 2 * BATCH_BYTES)]
    monkeypatch.setattr(channel, "_OPTIONS", small)
    text = "x" * 100_000
    for _ in range(30):
        local.record_evidence("big", payload={"text": text})
    with connect(server.url) as remote:
        found = remote.evidence(limit=100)
    assert found == local.evidence(limit=100)
    assert len(found) * len(text) > 4 * BATCH_BYTES


def test_a_page_that_takes_several_batches_keeps_its_token(local, remote):
    tags = {f"k{i}": "v" * 200 for i in range(60)}
    for number in range(30):
        local.publish("demo", blob(fill=number), tags=tags)
    page = remote.versions("demo", limit=29)
    assert page == local.versions("demo", limit=29)
    assert sum(len(str(v.tags)) for v in page.items) > BATCH_BYTES
    rest = remote.versions("demo", limit=29, page_token=page.next_page_token)
    assert [v.number for v in rest.items] == [0]
    assert rest.next_page_token is None


class Slow:
    """A registry that takes its time for one call; the rest is the real one."""

    def __init__(self, inner: Registry, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def nodes(self):
        time.sleep(self._seconds)
        return self._inner.nodes()


def test_a_call_has_a_deadline(local, monkeypatch):
    monkeypatch.setattr(channel, "CALL_SECONDS", 0.1)
    server = serve(Slow(local, 0.6), "127.0.0.1:0")
    with connect(server.url) as remote:
        with pytest.raises(DeadlineExceeded) as caught:
            remote.nodes()
        assert (caught.value.call, caught.value.seconds) == ("nodes", 0.1)
    server.stop()


class Broken(Slow):
    """A registry with a bug, and with bytes that change on their way."""

    def nodes(self):
        raise RuntimeError("password=hunter2")

    def open(self, ref):
        import io

        return io.BytesIO(blob(fill=9))


def test_a_bug_in_the_server_is_reported_without_its_secrets(local, caplog):
    server = serve(Broken(local, 0), "127.0.0.1:0")
    with connect(server.url) as remote, pytest.raises(RemoteFailure) as caught:
        remote.nodes()
    assert "hunter2" not in str(caught.value)
    assert "hunter2" in caplog.text
    server.stop()


def test_bytes_that_changed_on_the_way_are_refused_at_the_end(local):
    local.publish("demo", blob())
    server = serve(Broken(local, 0), "127.0.0.1:0")
    with connect(server.url) as remote:
        with pytest.raises(BlobDamaged):
            remote.read("demo")
        with remote.open("demo") as stream:
            assert stream.read(10) == blob(fill=9)[:10]
            with pytest.raises(BlobDamaged):
                stream.read()
    server.stop()


def test_an_argument_that_the_wire_cannot_carry_is_refused_here(remote):
    with pytest.raises(InvalidValue) as caught:
        remote.set_alias("demo", "stable", 2**70)
    assert caught.value.field == "number"


def test_a_huge_mistake_still_comes_back_as_what_it_is(remote):
    name = "ü" * 100_000
    with pytest.raises(FilterError):
        remote.search(f'adapter ~ "{name}"')
    with pytest.raises((RefError, NotFound)):
        remote.version(f"{name}@1")


# ---- streams


MEMORY = """
import resource, sys
from polyrank.store import connect, serve
local = connect("sqlite:///" + sys.argv[1])
server = serve(local, "127.0.0.1:0")
remote = connect(server.url)
with remote.open("demo@0") as stream:
    stream.read(1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = 0
with remote.open("demo@1") as stream:
    while data := stream.read(1 << 20):
        count += len(data)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(count, (after - before) // 1024)
remote.close(); server.stop(); local.close()
"""


def test_a_large_blob_goes_through_server_and_client_in_constant_memory(tmp_path):
    size = write_blob(tmp_path / "large", rank=1024, m=16384, n=16384)
    assert size > 128 << 20
    with opened(f"sqlite:///{tmp_path}/registry.db") as local:
        local.publish("demo", blob())
        local.publish("demo", tmp_path / "large")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "registry.db")],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    count, grown_mib = map(int, done.stdout.split())
    assert count == size
    assert grown_mib < 48


def test_a_stream_knows_at_once_that_there_is_no_such_version(remote):
    with pytest.raises(NotFound):
        remote.open("demo@7")


def test_half_read_streams_leave_no_thread_behind_in_the_server(local, server, tmp_path):
    write_blob(tmp_path / "large", rank=16, m=65536, n=65536)
    local.publish("demo", tmp_path / "large")
    with connect(server.url) as remote:
        for _ in range(grpc_server.MAX_CALLS + 10):  # more than the server has threads
            with remote.open("demo") as stream:
                stream.read(10)
        assert remote.adapter("demo").head == 0


def test_calls_after_close_say_so_and_close_ends_streams(server, local):
    local.publish("demo", blob())
    remote = connect(server.url)
    watch = remote.watch()
    stream = remote.open("demo")
    remote.close()
    remote.close()
    assert list(watch) == []
    for call in (remote.nodes, lambda: remote.publish("demo", b""), remote.watch):
        with pytest.raises(Closed):
            call()
    stream.close()


# ---- watches


def test_a_watch_sees_what_was_and_what_comes(local, remote):
    before = local.events(limit=1000)
    with remote.watch() as watch:
        assert [next(watch) for _ in before] == before
        local.publish("demo", blob())
        assert next(watch) == local.events(since=before[-1].number)[0]


def test_closing_a_watch_frees_its_place_in_the_server(server, remote):
    for _ in range(grpc_server.MAX_WATCHES + 5):
        watch = remote.watch()
        watch.close()
        assert next(watch, None) is None
    assert within(5, lambda: not server._service._watches)


def test_watchers_never_starve_readers(remote):
    watches = [remote.watch() for _ in range(grpc_server.MAX_WATCHES)]
    with pytest.raises(RemoteFailure, match="watches are open"):
        remote.watch()
    assert remote.adapters()
    for watch in watches:
        watch.close()


def test_a_watch_ends_from_another_thread_while_it_waits(local, remote):
    watch = remote.watch(since=local.events(limit=1000)[-1].number)
    timer = threading.Timer(0.1, watch.close)
    timer.start()
    assert list(watch) == []
    timer.join()


def test_a_watch_that_loses_its_server_says_so_instead_of_ending(local):
    server = serve(local, "127.0.0.1:0")
    with connect(server.url) as remote:
        watch = remote.watch(since=local.events(limit=1000)[-1].number)
        threading.Timer(0.1, server.stop).start()
        with pytest.raises(Unavailable):
            next(watch)


def test_stopping_with_open_watches_is_quick(local):
    server = serve(local, "127.0.0.1:0")
    with connect(server.url) as remote:
        _watches = [remote.watch() for _ in range(3)]
        began = time.monotonic()
        server.stop(grace_seconds=60)
        assert time.monotonic() - began < 10
