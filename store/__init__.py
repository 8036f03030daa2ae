"""The adapter registry: every version, what it came from, and why it is what it is.

    from polyrank.store import connect

    registry = connect("sqlite:///registry.db")        # or grpc://host:port, memory://
    registry.version("support/en@stable").rank

Importing this package loads nothing else; a database or gRPC is loaded by what needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._connect import connect, open_ledger
    from ._errors import (
        AddressInUse,
        AddressRefused,
        AlreadyExists,
        BlobDamaged,
        BlobMissing,
        BlobTooLarge,
        Closed,
        Conflict,
        DeadlineExceeded,
        FilterError,
        InvalidBlob,
        InvalidValue,
        NotFound,
        PageTokenError,
        ProfileMismatch,
        RefError,
        RemoteFailure,
        SchemaTooNew,
        StaleEpoch,
        StorageFailure,
        StoreBusy,
        StoreError,
        Unauthenticated,
        Unavailable,
        Unsupported,
        UrlError,
    )
    from ._grpc_server import Server, serve
    from ._ledger import Ledger
    from ._records import (
        AdapterLine,
        Alias,
        AliasChange,
        Ancestor,
        BaseModel,
        ContributionRecord,
        Decision,
        DenseSpec,
        DriverRecord,
        Event,
        Evidence,
        MetricRecord,
        ModuleSpec,
        Neighbour,
        NewTask,
        NodeRecord,
        Page,
        Parent,
        RegistryInfo,
        RoundRecord,
        SummaryRecord,
        TaskRecord,
        Version,
    )
    from ._registry import ANY, Registry, Watch

_ERRORS = (
    "AddressInUse AddressRefused AlreadyExists BlobDamaged BlobMissing BlobTooLarge Closed "
    "Conflict DeadlineExceeded FilterError InvalidBlob InvalidValue NotFound PageTokenError "
    "ProfileMismatch RefError RemoteFailure SchemaTooNew StaleEpoch StorageFailure StoreBusy "
    "StoreError Unauthenticated Unavailable Unsupported UrlError"
)
_RECORDS = (
    "AdapterLine Alias AliasChange Ancestor BaseModel ContributionRecord Decision DenseSpec "
    "DriverRecord Event Evidence MetricRecord ModuleSpec Neighbour NewTask NodeRecord Page Parent "
    "RegistryInfo RoundRecord SummaryRecord TaskRecord Version"
)
_HOME = {
    **dict.fromkeys(_ERRORS.split(), "_errors"),
    **dict.fromkeys(_RECORDS.split(), "_records"),
    **dict.fromkeys(("ANY", "Registry", "Watch"), "_registry"),
    **dict.fromkeys(("connect", "open_ledger"), "_connect"),
    **dict.fromkeys(("Server", "serve"), "_grpc_server"),
    "Ledger": "_ledger",
}

__all__ = [
    "ANY",
    "AdapterLine",
    "AddressInUse",
    "AddressRefused",
    "Alias",
    "AliasChange",
    "AlreadyExists",
    "Ancestor",
    "BaseModel",
    "BlobDamaged",
    "BlobMissing",
    "BlobTooLarge",
    "Closed",
    "Conflict",
    "ContributionRecord",
    "DeadlineExceeded",
    "Decision",
    "DenseSpec",
    "DriverRecord",
    "Event",
    "Evidence",
    "FilterError",
    "InvalidBlob",
    "InvalidValue",
    "Ledger",
    "MetricRecord",
    "ModuleSpec",
    "Neighbour",
    "NewTask",
    "NodeRecord",
    "NotFound",
    "Page",
    "PageTokenError",
    "Parent",
    "ProfileMismatch",
    "RefError",
    "Registry",
    "RegistryInfo",
    "RemoteFailure",
    "RoundRecord",
    "SchemaTooNew",
    "Server",
    "StaleEpoch",
    "StorageFailure",
    "StoreBusy",
    "StoreError",
    "SummaryRecord",
    "TaskRecord",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "UrlError",
    "Version",
    "Watch",
    "connect",
    "open_ledger",
    "serve",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
