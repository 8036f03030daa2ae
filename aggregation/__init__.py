"""The mathematics of polyrank: factors in, factors out.

Pure functions over LoRA factors of unequal rank: exact aggregation by stacking, lossless
re-factorisation, the state and starts of a federated round, geometry in delta space, and the
canonical bytes of an adapter. No IO, no clock, no logging, no globals, and no input is changed.

Every name below is loaded when it is first used, so `import polyrank.aggregation` stays free of
torch, and so do the names that do not need it (errors, `Limits`, `digest`, `normalise`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._adapter import Adapter, Factors, empty
    from ._check import check_update
    from ._codec import AdapterReader, ByteSink, decode, encode, encode_to
    from ._compare import Comparison, ModuleComparison, compare
    from ._digest import digest
    from ._errors import (
        AdapterError,
        ArgumentError,
        BadNameError,
        CodecError,
        DeviceError,
        DtypeError,
        HeaderError,
        InvalidAdapterError,
        LayoutError,
        LimitError,
        MetadataError,
        NotFiniteError,
        NothingToAggregateError,
        NotSafetensorsError,
        NumericalError,
        RankError,
        ShapeError,
        TruncatedBytesError,
        UnknownModuleError,
        WeightError,
    )
    from ._geometry import inner, norm, similarity
    from ._initial import initial_dense
    from ._limits import Limits
    from ._profile import DenseProfile, ModuleProfile, Profile, profile
    from ._rounds import Aggregated, next_state
    from ._spectral import CutError, Truncated, compact, spectral, spectrum, truncate
    from ._stacking import Stacked, Stacker, stack
    from ._start import Start, fresh_start, leading, warm_start
    from ._weights import Weight, normalise

_HOMES = {
    "_adapter": ("Adapter", "Factors", "empty"),
    "_check": ("check_update",),
    "_codec": ("AdapterReader", "ByteSink", "decode", "encode", "encode_to"),
    "_compare": ("Comparison", "ModuleComparison", "compare"),
    "_digest": ("digest",),
    "_errors": (
        "AdapterError",
        "ArgumentError",
        "BadNameError",
        "CodecError",
        "DeviceError",
        "DtypeError",
        "HeaderError",
        "InvalidAdapterError",
        "LayoutError",
        "LimitError",
        "MetadataError",
        "NotFiniteError",
        "NotSafetensorsError",
        "NothingToAggregateError",
        "NumericalError",
        "RankError",
        "ShapeError",
        "TruncatedBytesError",
        "UnknownModuleError",
        "WeightError",
    ),
    "_geometry": ("inner", "norm", "similarity"),
    "_initial": ("initial_dense",),
    "_limits": ("Limits",),
    "_profile": ("DenseProfile", "ModuleProfile", "Profile", "profile"),
    "_rounds": ("Aggregated", "next_state"),
    "_spectral": ("CutError", "Truncated", "compact", "spectral", "spectrum", "truncate"),
    "_stacking": ("Stacked", "Stacker", "stack"),
    "_start": ("Start", "fresh_start", "leading", "warm_start"),
    "_weights": ("Weight", "normalise"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


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


__all__ = [
    "Adapter",
    "AdapterError",
    "AdapterReader",
    "Aggregated",
    "ArgumentError",
    "BadNameError",
    "ByteSink",
    "CodecError",
    "Comparison",
    "CutError",
    "DenseProfile",
    "DeviceError",
    "DtypeError",
    "Factors",
    "HeaderError",
    "InvalidAdapterError",
    "LayoutError",
    "LimitError",
    "Limits",
    "MetadataError",
    "ModuleComparison",
    "ModuleProfile",
    "NotFiniteError",
    "NotSafetensorsError",
    "NothingToAggregateError",
    "NumericalError",
    "Profile",
    "RankError",
    "ShapeError",
    "Stacked",
    "Stacker",
    "Start",
    "Truncated",
    "TruncatedBytesError",
    "UnknownModuleError",
    "Weight",
    "WeightError",
    "check_update",
    "compact",
    "compare",
    "decode",
    "digest",
    "empty",
    "encode",
    "encode_to",
    "fresh_start",
    "initial_dense",
    "inner",
    "leading",
    "next_state",
    "norm",
    "normalise",
    "profile",
    "similarity",
    "spectral",
    "spectrum",
    "stack",
    "truncate",
    "warm_start",
]
