"""The client SDK: join a federation with your own model and data, and use the adapter you made."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._errors import (
        AdapterUnavailable,
        BadSignature,
        ClientError,
        ConfigError,
        ConnectionFailed,
        DataError,
        ExportError,
        ModelError,
        ProtocolError,
        StateError,
        StateLocked,
        TaskRefused,
        UnsupportedProtocol,
    )

_HOME = dict.fromkeys(
    (
        "AdapterUnavailable",
        "BadSignature",
        "ClientError",
        "ConfigError",
        "ConnectionFailed",
        "DataError",
        "ExportError",
        "ModelError",
        "ProtocolError",
        "StateError",
        "StateLocked",
        "TaskRefused",
        "UnsupportedProtocol",
    ),
    "_errors",
)

__all__ = [
    "AdapterUnavailable",
    "BadSignature",
    "ClientError",
    "ConfigError",
    "ConnectionFailed",
    "DataError",
    "ExportError",
    "ModelError",
    "ProtocolError",
    "StateError",
    "StateLocked",
    "TaskRefused",
    "UnsupportedProtocol",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
