"""Everything polyrank.store raises on purpose.

    StoreError
    |- InvalidValue            an argument that can never be right
    |  |- RefError             a reference that does not parse
    |  |- FilterError          a search filter or order that is not supported
    |  |- PageTokenError       a page token that this call did not make
    |  `- UrlError             an address that connect() does not understand
    |- NotFound                no such adapter, version, alias, task, ...
    |- AlreadyExists           a name that is taken
    |- Conflict                the state is not what the caller expected
    |- StaleEpoch              a newer driver has taken over
    |- InvalidBlob             bytes that are no adapter
    |  |- BlobTooLarge         ... or more of them than allowed
    |  `- ProfileMismatch      a profile that disagrees with the bytes
    |- BlobDamaged             a stored blob does not have its digest any more
    |- BlobMissing             the database knows a blob that the folder lacks
    |- SchemaTooNew            the database was written by a newer polyrank
    |- StoreBusy               another process held the write lock for too long
    |- StorageFailure          disk or database failed
    |- Closed                  the registry was closed
    |- Unsupported             this registry cannot do that (a remote one cannot publish)
    |- Unavailable             no server answers at that address
    |- DeadlineExceeded        the server took too long
    |- Unauthenticated         the server wants a (different) token
    |- AddressInUse            somebody listens on that port already
    |- AddressRefused          an address that serve() will not listen on
    `- RemoteFailure           the server failed in a way that it could not name

Every class keeps what it knows in attributes of the same names as its arguments, and
``type(error)(**error.facts)`` builds it again: that is how errors cross gRPC and pickle.
Facts are plain JSON values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _rebuild(kind: Callable[..., StoreError], facts: Mapping[str, Any]) -> StoreError:
    return kind(**facts)


class StoreError(Exception):
    """Root of the package's errors; `facts` are its arguments by name."""

    facts: Mapping[str, Any]

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts = dict(facts)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.facts))


class InvalidValue(StoreError):
    """An argument that can never be right: `field` says which, `problem` what to do."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}", field=field, problem=problem)
        self.field = field
        self.problem = problem


class RefError(InvalidValue):
    """A reference that is not ADAPTER, ADAPTER@NUMBER or ADAPTER@ALIAS."""

    def __init__(self, ref: str, problem: str) -> None:
        super().__init__(f"reference {ref!r}", problem)
        self.facts = {"ref": ref, "problem": problem}
        self.ref = ref


class FilterError(InvalidValue):
    """A filter or order that search() does not support; `position` counts characters from 0."""

    def __init__(self, filter: str, problem: str, position: int = 0) -> None:
        super().__init__(f"filter {filter!r} at character {position}", problem)
        self.facts = {"filter": filter, "problem": problem, "position": position}
        self.filter = filter
        self.position = position


class PageTokenError(InvalidValue):
    """A page token that was made by another call, or by nobody."""

    def __init__(self, page_token: str) -> None:
        super().__init__("page_token", "not one of this listing; start again without a page_token")
        self.facts = {"page_token": page_token}
        self.page_token = page_token


class UrlError(InvalidValue):
    """An address that connect() or open_ledger() does not understand."""

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(f"address {url!r}", problem)
        self.facts = {"url": url, "problem": problem}
        self.url = url


class NotFound(StoreError):
    """No such thing: `kind` is a word of the registry ("adapter", "version", ...)."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name!r}: not in this registry", kind=kind, name=name)
        self.kind = kind
        self.name = name


class AlreadyExists(StoreError):
    """A name that is taken by something different."""

    def __init__(self, kind: str, name: str, problem: str = "") -> None:
        message = f"{kind} {name!r}: exists already" + (f"; {problem}" if problem else "")
        super().__init__(message, kind=kind, name=name, problem=problem)
        self.kind = kind
        self.name = name
        self.problem = problem


class Conflict(StoreError):
    """The state is not what the caller expected; nothing was changed."""

    def __init__(self, subject: str, expected: str, found: str) -> None:
        super().__init__(
            f"{subject}: expected {expected}, found {found}; nothing was changed",
            subject=subject,
            expected=expected,
            found=found,
        )
        self.subject = subject
        self.expected = expected
        self.found = found


class StaleEpoch(StoreError):
    """This driver's epoch is not the current one: another driver took over; stop at once."""

    def __init__(self, epoch: int, current: int) -> None:
        super().__init__(
            f"epoch {epoch}: the current driver has epoch {current}; "
            "nothing was changed; this driver must stop",
            epoch=epoch,
            current=current,
        )
        self.epoch = epoch
        self.current = current


class InvalidBlob(StoreError):
    """Bytes that are not a canonical adapter blob."""

    def __init__(self, problem: str, where: str = "blob") -> None:
        super().__init__(f"{where}: {problem}", problem=problem, where=where)
        self.problem = problem
        self.where = where


class BlobTooLarge(InvalidBlob):
    """More bytes than the limit."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"more than the limit of {limit_bytes} bytes")
        self.facts = {"limit_bytes": limit_bytes}
        self.limit_bytes = limit_bytes


class ProfileMismatch(InvalidBlob):
    """A profile that disagrees with the header of the bytes that it came with."""

    def __init__(self, field: str, profile: str, header: str) -> None:
        super().__init__(f"{field} is {profile} in the profile but {header} in the bytes")
        self.facts = {"field": field, "profile": profile, "header": header}
        self.field = field
        self.profile = profile
        self.header = header


class BlobDamaged(StoreError):
    """A stored blob does not have its digest any more."""

    def __init__(self, digest: str, file: str, problem: str) -> None:
        super().__init__(
            f"blob {digest}: {problem} in {file}; restore that file from a backup or publish "
            "the same bytes again, which replaces it",
            digest=digest,
            file=file,
            problem=problem,
        )
        self.digest = digest
        self.file = file
        self.problem = problem


class BlobMissing(StoreError):
    """The database knows a blob that the blob folder lacks."""

    def __init__(self, digest: str, file: str) -> None:
        super().__init__(
            f"blob {digest}: {file} does not exist; check that this is the blob folder of this "
            "database, restore the file from a backup, or publish the same bytes again",
            digest=digest,
            file=file,
        )
        self.digest = digest
        self.file = file


class SchemaTooNew(StoreError):
    """The database was written by a newer polyrank than this one."""

    def __init__(self, url: str, found: str, known: str) -> None:
        super().__init__(
            f"{url}: schema revision {found} is newer than {known}, the newest that this "
            "polyrank knows; upgrade polyrank, or restore a backup made before its upgrade",
            url=url,
            found=found,
            known=known,
        )
        self.url = url
        self.found = found
        self.known = known


class StoreBusy(StoreError):
    """Another process held the write lock for longer than this one waits."""

    def __init__(self, url: str, waited_seconds: float) -> None:
        super().__init__(
            f"{url}: locked by another process for more than {waited_seconds:g} s; "
            "try again, or find the process that holds it",
            url=url,
            waited_seconds=waited_seconds,
        )
        self.url = url
        self.waited_seconds = waited_seconds


class StorageFailure(StoreError):
    """The disk or the database failed; `problem` is what it said."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(
            f"{where}: {problem}; check space, permissions and health of the disk or database",
            where=where,
            problem=problem,
        )
        self.where = where
        self.problem = problem


class Closed(StoreError):
    """A call on a registry, ledger or watch after close()."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: closed; connect again", what=what)
        self.what = what


class Unsupported(StoreError):
    """A call that this registry does not serve (a remote one cannot publish)."""

    def __init__(self, call: str, where: str, problem: str) -> None:
        super().__init__(f"{call} at {where}: {problem}", call=call, where=where, problem=problem)
        self.call = call
        self.where = where
        self.problem = problem


class Unavailable(StoreError):
    """No server answers at that address."""

    def __init__(self, address: str, problem: str) -> None:
        super().__init__(
            f"{address}: no registry answers ({problem}); start it with `polyrank up`, "
            "or check the address",
            address=address,
            problem=problem,
        )
        self.address = address
        self.problem = problem


class DeadlineExceeded(StoreError):
    """The server took longer than the call may take."""

    def __init__(self, address: str, call: str, seconds: float) -> None:
        super().__init__(
            f"{call} at {address}: no answer within {seconds:g} s; try again, or ask for less",
            address=address,
            call=call,
            seconds=seconds,
        )
        self.address = address
        self.call = call
        self.seconds = seconds


class Unauthenticated(StoreError):
    """The server wants a token, or another one."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address}: the token is missing or wrong; pass the server's token", address=address
        )
        self.address = address


class AddressInUse(StoreError):
    """Somebody listens on that port already."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"{host}:{port}: in use by another process; stop it, or choose another port",
            host=host,
            port=port,
        )
        self.host = host
        self.port = port


class AddressRefused(StoreError):
    """An address that serve() will not listen on."""

    def __init__(self, address: str, problem: str) -> None:
        super().__init__(f"{address}: {problem}", address=address, problem=problem)
        self.address = address
        self.problem = problem


class RemoteFailure(StoreError):
    """The server failed in a way that it could not name; its log says more."""

    def __init__(self, address: str, status: str, problem: str) -> None:
        super().__init__(
            f"{address}: the server answered {status}: {problem}; see the server's log",
            address=address,
            status=status,
            problem=problem,
        )
        self.address = address
        self.status = status
        self.problem = problem
