"""HTTP to a program on this machine, quick for bodies of megabytes.

Flower's clients speak through an `httpx.Client`. httpx's own transport parses a body in pieces of
64 KiB and copies what is left of it for each piece sent: some 7 ms for a chunk of 5 MB, a quarter
of that with urllib3 (`benchmarks/round_overhead.py` shows the sum). So httpx keeps its face and
urllib3 carries the bytes.
"""

from __future__ import annotations

from typing import Final

import httpx
import urllib3
from urllib3.exceptions import HTTPError

from ._wire import WireError

MAX_ANSWER_BYTES: Final = 32 * 2**20  # a chunk of a blob has 5 MiB, an envelope 4 at most
_CONNECTIONS: Final = 4


class LocalTransport(httpx.BaseTransport):
    """Carries requests to one ``host:port`` over plain HTTP, without proxies, retries, redirects.

    Safe for several threads. An answer that says it is too large is refused before it is read: a
    peer chose what is in an object.

    Raises (from each request):
        WireError: the answer is larger than `MAX_ANSWER_BYTES`.
        httpx.TransportError: nobody answers, or not within the request's time.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._pool = urllib3.HTTPConnectionPool(host, int(port), maxsize=_CONNECTIONS, block=True)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read its answer whole."""
        limits = request.extensions.get("timeout", {})
        try:
            answer = self._pool.urlopen(
                request.method,
                request.url.raw_path.decode("ascii"),
                body=request.read(),
                headers=dict(request.headers),
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=limits.get("connect"), read=limits.get("read")),
                preload_content=False,
                decode_content=False,
            )
            try:
                content = _body(answer)
            except BaseException:
                answer.close()
                raise
            finally:
                answer.release_conn()
            return httpx.Response(
                answer.status, headers=list(answer.headers.items()), content=content
            )
        except (HTTPError, OSError) as error:
            raise httpx.TransportError(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


def _body(answer: urllib3.BaseHTTPResponse) -> bytes:
    """Read a body whole, but never much more than allowed, whatever its headers say."""
    size = answer.length_remaining
    if size is None:
        content = answer.read(MAX_ANSWER_BYTES + 1)
        if len(content) <= MAX_ANSWER_BYTES:
            return content
    elif size <= MAX_ANSWER_BYTES:
        return answer.read()
    found = "unsaid size" if size is None else f"{size} bytes"
    raise WireError(
        "object_too_large", f"an object of {found}, the limit is {MAX_ANSWER_BYTES} bytes"
    )
