"""The client SDK: join a federation with your own model and data, and use the adapter you made.

Every name below is loaded when it is first used, so `import polyrank.client` stays free of torch,
transformers and Flower.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._base_model import PeftSettings, SharedBase
    from ._client_config import ClientConfig
    from ._errors import (
        AdapterUnavailable,
        BadSignature,
        ClientError,
        ConfigError,
        DataError,
        ExportError,
        ModelError,
        ProtocolError,
        RouteUnavailable,
        StateError,
        StateLocked,
        TaskRefused,
        UnsupportedProtocol,
    )
    from ._latest import VersionInfo
    from ._node import AdaptationClient
    from ._peft_files import from_peft, to_peft
    from ._peft_trainer import PeftTrainer
    from ._route import mixture, route
    from ._text_rows import TextRows, hold_out
    from ._trainer import Evaluation, ModelDescription, Trainer, TrainResult, TrainTask

_HOMES = {
    "_base_model": ("PeftSettings", "SharedBase"),
    "_client_config": ("ClientConfig",),
    "_errors": (
        "AdapterUnavailable",
        "BadSignature",
        "ClientError",
        "ConfigError",
        "DataError",
        "ExportError",
        "ModelError",
        "ProtocolError",
        "RouteUnavailable",
        "StateError",
        "StateLocked",
        "TaskRefused",
        "UnsupportedProtocol",
    ),
    "_latest": ("VersionInfo",),
    "_node": ("AdaptationClient",),
    "_peft_files": ("from_peft", "to_peft"),
    "_peft_trainer": ("PeftTrainer",),
    "_route": ("mixture", "route"),
    "_text_rows": ("TextRows", "hold_out"),
    "_trainer": ("Evaluation", "ModelDescription", "TrainResult", "TrainTask", "Trainer"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AdaptationClient",
    "AdapterUnavailable",
    "BadSignature",
    "ClientConfig",
    "ClientError",
    "ConfigError",
    "DataError",
    "Evaluation",
    "ExportError",
    "ModelDescription",
    "ModelError",
    "PeftSettings",
    "PeftTrainer",
    "ProtocolError",
    "RouteUnavailable",
    "SharedBase",
    "StateError",
    "StateLocked",
    "TaskRefused",
    "TextRows",
    "TrainResult",
    "TrainTask",
    "Trainer",
    "UnsupportedProtocol",
    "VersionInfo",
    "from_peft",
    "hold_out",
    "mixture",
    "route",
    "to_peft",
]


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it (PEP 562)."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
