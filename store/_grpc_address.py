"""Addresses: what serve() listens on, and what connect("grpc://...") calls."""

from __future__ import annotations

import errno
import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from ._errors import AddressInUse, AddressRefused, InvalidValue, UrlError


def loopback(address: str) -> tuple[str, int]:
    """Split "HOST:PORT" into a loopback IP address and a port (0: any free one).

    Raises AddressRefused for everything else: the connection is plain text and what the registry
    knows is nobody's business but this machine's.
    """
    parts = _split(f"grpc://{address}")
    if parts is None or parts.hostname is None or _port(parts) is None:
        raise AddressRefused(address, "not HOST:PORT, such as 127.0.0.1:9093 or [::1]:9093")
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    if not _is_loopback(host):
        raise AddressRefused(
            address,
            "not a loopback address; the registry is served without encryption, so on this "
            "machine alone: use 127.0.0.1, and a tunnel (ssh -L) from elsewhere",
        )
    return host, _port(parts) or 0


def bind_check(host: str, port: int) -> None:
    """Find out why a port cannot be had: gRPC itself only says that it could not.

    Raises AddressInUse, or AddressRefused with what the system said.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(host, port) from error
            problem = f"{error.strerror}; choose a port above 1023 on 127.0.0.1"
            raise AddressRefused(f"{host}:{port}", problem) from error


def target(url: str, *, token: str | None) -> str:
    """Return the "HOST:PORT" of a grpc:// address.

    Raises UrlError, also for grpcs:// (nothing serves it yet) and for a token that would leave
    this machine unencrypted.
    """
    parts = _split(url)
    if parts is None or parts.scheme not in ("grpc", "grpcs"):
        raise UrlError(url, "not grpc://HOST:PORT")
    if parts.scheme == "grpcs":
        raise UrlError(url, "TLS is not served yet; use grpc:// on this machine or a tunnel")
    if parts.hostname is None or not _port(parts) or parts.path.strip("/") or parts.query:
        raise UrlError(url, "not grpc://HOST:PORT, such as grpc://127.0.0.1:9093")
    host = parts.hostname
    if token is not None and host != "localhost" and not _is_loopback(host):
        raise UrlError(url, "a token would travel unencrypted; use a tunnel to 127.0.0.1")
    return f"[{host}]:{parts.port}" if ":" in host else f"{host}:{parts.port}"


def check_token(token: str | None) -> None:
    """Raise InvalidValue unless a token can travel in a call's metadata."""
    if token is not None and not (token.isascii() and token.isprintable()):
        raise InvalidValue("token", "not printable ASCII; choose another")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed only when asked for
    except ValueError:
        return None
    return None if parts.username or parts.password else parts


def _port(parts: SplitResult) -> int | None:
    return parts.port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
