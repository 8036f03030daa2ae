"""Calls to Flower: limits and errors, against a real HTTP server."""

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.runtime import RuntimeHttpClient
from polyrank.client import _wire_http
from polyrank.client._wire import LinkError, LinkLost, WireError
from polyrank.client._wire_http import MAX_ANSWER_BYTES, LocalTransport
from polyrank.client._wire_process import free_port
from polyrank.client._wire_runtime import Acquirer, call, connect


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers each call with what the test set."""

    status = 200
    body = b""
    length: int | str | None = None
    seen: list[dict[str, str]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        self.seen.append(dict(self.headers))
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        if self.length != "unsaid":
            self.send_header("content-length", str(self.length or len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def answers() -> Iterator[type[Answers]]:
    class Mine(Answers):
        seen: list[dict[str, str]] = []  # noqa: RUF012

    server = http.server.HTTPServer(("127.0.0.1", 0), Mine)
    Mine.address = f"127.0.0.1:{server.server_address[1]}"  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Mine
    server.shutdown()
    thread.join()
    server.server_close()


def _ask(answers: type[Answers], token: str = "", *, patience_seconds: float = 0.0) -> object:
    client = connect(RuntimeHttpClient, answers.address, "polyrank", token)  # type: ignore[attr-defined]
    try:
        request = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
        return call(client.AcquireTask, request, patience_seconds=patience_seconds)
    finally:
        client.close()


def test_a_call_carries_version_and_token_and_no_proxy_sees_it(
    answers: type[Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    _ask(answers, "secret")
    (headers,) = answers.seen
    assert headers["flwr-task-token"] == "secret"
    assert headers["flwr-package-version"] == "1.41.0"


def test_an_answer_that_is_too_large_is_refused_unread(answers: type[Answers]) -> None:
    answers.length = MAX_ANSWER_BYTES + 1  # and no byte of it ever comes
    with pytest.raises(WireError) as caught:
        _ask(answers)
    assert caught.value.reason == "object_too_large"


def test_an_answer_of_unsaid_length_is_read_no_further_than_allowed(
    answers: type[Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers.length = "unsaid"
    _ask(answers)
    monkeypatch.setattr(_wire_http, "MAX_ANSWER_BYTES", 1000)
    answers.body = bytes(1001)
    with pytest.raises(WireError) as caught:
        _ask(answers)
    assert caught.value.reason == "object_too_large"


@pytest.mark.parametrize("length", ["5, 6", "-3", "abc"])
def test_a_length_that_is_none_is_an_error_of_the_link(answers: type[Answers], length: str) -> None:
    answers.length, answers.body = length, b"\xff\xff"
    with pytest.raises(LinkError):
        _ask(answers)


@pytest.mark.parametrize("status", [401, 403])
def test_an_unknown_task_is_lost_and_this_process_lives_on(
    answers: type[Answers], status: int
) -> None:
    """Flower's own client sends SIGINT to its process on a 401."""
    answers.status = status
    with pytest.raises(LinkLost):
        _ask(answers)


def test_an_overloaded_server_is_asked_again(answers: type[Answers]) -> None:
    answers.status = 503
    with pytest.raises(LinkError, match="503"):
        _ask(answers, patience_seconds=0.25)
    assert len(answers.seen) > 1


def test_another_error_is_told_at_once(answers: type[Answers]) -> None:
    answers.status, answers.body = 500, b"it broke"
    with pytest.raises(LinkError, match="acquire-task was answered 500: it broke") as caught:
        _ask(answers, patience_seconds=5)
    assert not isinstance(caught.value, LinkLost)
    assert len(answers.seen) == 1


def test_an_answer_that_is_not_protobuf_is_an_error(answers: type[Answers]) -> None:
    answers.body = b"<html>"
    with pytest.raises(LinkError, match="not Flower's"):
        _ask(answers)


def test_nobody_there_is_lost() -> None:
    acquirer = Acquirer(f"127.0.0.1:{free_port()}", TaskType.CLIENT_APP)
    with pytest.raises(LinkLost, match="does not answer"):
        acquirer.acquire()
    acquirer.close()


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what came, over connections that stay open until the test closes them."""

    protocol_version = "HTTP/1.1"
    connections: list[socket.socket] = []  # noqa: RUF012

    def do_POST(self) -> None:
        if self.connection not in self.connections:
            self.connections.append(self.connection)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[tuple[httpx.Client, list[socket.socket]]]:
    Echo.connections.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_address[1]}"
    with httpx.Client(base_url=f"http://{address}", transport=LocalTransport(address)) as client:
        yield client, Echo.connections
    server.shutdown()
    server.server_close()


def test_large_bodies_pass_both_ways_over_one_connection(
    echo: tuple[httpx.Client, list[socket.socket]],
) -> None:
    client, connections = echo
    for size in (0, 1, 5 * 2**20 + 3):
        body = os.urandom(size)
        assert client.post("/x", content=body).content == body
    assert len(connections) == 1


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(
    echo: tuple[httpx.Client, list[socket.socket]],
) -> None:
    client, connections = echo
    assert client.post("/x", content=b"one").content == b"one"
    connections[0].shutdown(socket.SHUT_RDWR)  # as uvicorn does after 5 s without a request
    assert client.post("/x", content=b"two").content == b"two"
    assert len(connections) == 2


def test_threads_share_a_transport(echo: tuple[httpx.Client, list[socket.socket]]) -> None:
    client, _ = echo
    bodies = [os.urandom(2**17) for _ in range(24)]
    with ThreadPoolExecutor(6) as pool:
        found = pool.map(lambda body: client.post("/x", content=body).content, bodies)
        assert list(found) == bodies


def test_a_server_that_falls_silent_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            httpx.Client(transport=LocalTransport(address), timeout=0.2) as client,
            pytest.raises(httpx.TransportError, match="timed out"),
        ):
            client.post(f"http://{address}/x", content=b"anyone?")
