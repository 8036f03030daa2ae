"""Every error that leaves this package, as one tree.

    AdapterError
    ├── ArgumentError            a parameter is out of its range (tolerance, rank, limit, mode)
    ├── WeightError              a weight is missing, not finite, or cannot be normalised
    ├── NothingToAggregateError  an aggregate of no adapters was asked for
    ├── NumericalError           a decomposition did not converge
    ├── SummaryError             a summary, or its spec, is impossible or does not fit another
    ├── InvalidAdapterError      a value is not the adapter that was expected
    │   ├── BadNameError         a module or tensor name is malformed
    │   ├── UnknownModuleError   a module or dense tensor that nobody declared
    │   ├── ShapeError           a shape differs from what was expected
    │   ├── DtypeError           a number format that is not accepted, or two that should agree
    │   ├── DeviceError          tensors of one value live on different devices
    │   ├── RankError            a rank is above what was allowed
    │   └── NotFiniteError       NaN or infinity
    └── CodecError               bytes that are not a canonical adapter blob
        ├── NotSafetensorsError  something else altogether: a pickle, an archive, text
        ├── TruncatedBytesError  the bytes end too early
        ├── LimitError           larger than the caller's limits
        ├── HeaderError          the header is malformed, ambiguous or not canonical
        ├── LayoutError          tensor data overlap, leave gaps, or are followed by more bytes
        └── MetadataError        the metadata are not one canonical JSON object

Errors carry facts: `module` (or tensor name), `expected` and `got`, each `None` where it has no
meaning. Callers branch on the class and the attributes, never on the message.
"""

from __future__ import annotations


class AdapterError(Exception):
    """Root of the tree; carries `module`, `expected` and `got`.

    Example:
        >>> error = AdapterError("rank too high", module="q", expected=4, got=8)
        >>> (str(error), error.module, error.expected, error.got)
        ("module 'q': rank too high (expected 4, got 8)", 'q', 4, 8)
    """

    def __init__(
        self,
        message: str,
        *,
        module: str | None = None,
        expected: object = None,
        got: object = None,
    ) -> None:
        super().__init__(message)
        self.module = module
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        """Say where, what, and what was expected."""
        where = "" if self.module is None else f"module {self.module!r}: "
        facts = [
            f"{word} {value}"
            for word, value in (("expected", self.expected), ("got", self.got))
            if value is not None
        ]
        return where + str(self.args[0]) + (f" ({', '.join(facts)})" if facts else "")


class ArgumentError(AdapterError):
    """A parameter is out of its range."""


class WeightError(AdapterError):
    """A weight is missing, not finite, or cannot be normalised."""


class NothingToAggregateError(AdapterError):
    """An aggregate of no adapters was asked for; silence would look like a zero result."""


class NumericalError(AdapterError):
    """A decomposition did not converge."""


class SummaryError(AdapterError):
    """A summary, or its spec, is impossible, or does not fit the one it is to be used with."""


class InvalidAdapterError(AdapterError):
    """A value is not the adapter that was expected."""


class BadNameError(InvalidAdapterError):
    """A module or tensor name is malformed."""


class UnknownModuleError(InvalidAdapterError):
    """A module or dense tensor that nobody declared."""


class ShapeError(InvalidAdapterError):
    """A shape differs from what was expected."""


class DtypeError(InvalidAdapterError):
    """A number format that is not accepted, or two that should agree."""


class DeviceError(InvalidAdapterError):
    """Tensors of one value live on different devices."""


class RankError(InvalidAdapterError):
    """A rank is above what was allowed."""


class NotFiniteError(InvalidAdapterError):
    """NaN or infinity where numbers were expected."""


class CodecError(AdapterError):
    """Bytes that are not a canonical adapter blob."""


class NotSafetensorsError(CodecError):
    """Something else altogether: a pickle, an archive, text."""


class TruncatedBytesError(CodecError):
    """The bytes end before the adapter does."""


class LimitError(CodecError):
    """The blob is larger than the caller's limits."""


class HeaderError(CodecError):
    """The header is malformed, ambiguous or not canonical."""


class LayoutError(CodecError):
    """Tensor data overlap, leave gaps, or are followed by more bytes."""


class MetadataError(CodecError):
    """The metadata are not one canonical JSON object."""
