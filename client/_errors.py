"""The errors of the client SDK: one tree, each with facts as attributes.

ClientError
├── ProtocolError            an envelope or card that is malformed            .field
│   ├── UnsupportedProtocol  another protocol version                         .found .supported
│   └── BadSignature         the signature does not fit envelope and key
├── ConfigError              a setting that cannot be used                    .source .key
├── StateError               the state directory cannot be used               .path
│   └── StateLocked          another process holds it                         .path
├── ModelError               base model missing or unfit                      .path
├── DataError                data file missing, empty or without a column     .path
├── ExportError              not a plain low-rank adapter, cannot be written  .path
├── TaskRefused              a task that this node cannot carry out           .reason
├── AdapterUnavailable       no stable adapter has arrived yet                .path
└── RouteUnavailable         no routing table has arrived yet                 .path

The Flower edge adds LinkError and its own subclasses (see ``_wire``).
"""

from __future__ import annotations

from collections.abc import Iterable


class ClientError(Exception):
    """Base of every error that the client SDK raises."""


class ProtocolError(ClientError):
    """An envelope, card or signature is not what the protocol says."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class UnsupportedProtocol(ProtocolError):
    """The other side speaks a protocol version that this release does not."""

    def __init__(self, found: object, supported: Iterable[int], *, task_key: str = "") -> None:
        self.found = found
        self.supported = tuple(sorted(supported))
        self.task_key = task_key
        spoken = ", ".join(map(str, self.supported))
        super().__init__(
            f"protocol version {found!r} is not supported (this side speaks {spoken}): "
            "upgrade the older side",
            field="protocol",
        )


class BadSignature(ProtocolError):
    """A signature does not belong to the envelope and the public key."""


class ConfigError(ClientError):
    """A setting cannot be used; the message names the file and the key."""

    def __init__(self, message: str, *, source: str = "", key: str = "") -> None:
        super().__init__(message)
        self.source = source
        self.key = key


class _PathError(ClientError):
    """An error about one file or directory."""

    def __init__(self, message: str, *, path: object = "") -> None:
        super().__init__(message)
        self.path = str(path)


class StateError(_PathError):
    """The node's state directory cannot be read or written."""


class StateLocked(StateError):
    """Another process uses the same state directory."""


class ModelError(_PathError):
    """The base model is missing, or does not fit the request."""


class DataError(_PathError):
    """The data file is missing, empty, or lacks a column."""


class ExportError(_PathError):
    """An adapter cannot be written to, or read from, PEFT's form."""


class AdapterUnavailable(_PathError):
    """No stable adapter has reached this node yet."""


class RouteUnavailable(_PathError):
    """No routing table that could answer has reached this node yet."""


class TaskRefused(ClientError):
    """This node cannot carry out a task; ``reason`` is a static short name."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
