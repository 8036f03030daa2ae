"""The errors of the coordinator: one tree, each with facts as attributes.

CoordinatorError
├── ConfigError          a configuration that cannot be used             .source .key
├── DataDirError         the data directory cannot be used               .path
│   └── DataDirLocked    another daemon holds it                         .path .pid
├── PortBusy             a port is taken by another process              .host .port .key
├── StaleDriver          a newer daemon has taken over                   .epoch .current
├── StoreMismatch        the registry holds something else than the      .adapter
│                        configuration describes
├── EngineError          where a simulation's nodes work is gone, or they cannot work there
├── SimulationStuck      nothing can happen any more (`_simulation_driver`)  .waits
└── LinkDown             the SuperLink cannot be started or kept running .log_path
"""

from __future__ import annotations


class CoordinatorError(Exception):
    """Base of every error that the coordinator raises. ``exit_code`` is the daemon's."""

    exit_code = 1


class ConfigError(CoordinatorError):
    """A setting cannot be used; the message names the file and the key."""

    exit_code = 2

    def __init__(self, message: str, *, source: str = "", key: str = "") -> None:
        super().__init__(message)
        self.source = source
        self.key = key


class DataDirError(CoordinatorError):
    """The data directory cannot be made, read or written."""

    def __init__(self, message: str, *, path: object = "") -> None:
        super().__init__(message)
        self.path = str(path)


class DataDirLocked(DataDirError):
    """Another daemon runs on the same data directory."""

    def __init__(self, path: object, pid: int | None) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"data directory {path} is in use by {who}: stop that daemon, give this one another "
            "data_dir, or replace it with 'polyrank up --take-over'",
            path=path,
        )
        self.pid = pid


class PortBusy(CoordinatorError):
    """A port that the daemon needs is taken; ``key`` is the setting that chooses it."""

    def __init__(self, host: str, port: int, key: str) -> None:
        super().__init__(
            f"port {port} on {host} is in use by another process: stop it, or choose another "
            f"port with {key}"
        )
        self.host = host
        self.port = port
        self.key = key


class StaleDriver(CoordinatorError):
    """A newer daemon drives this data directory; this one must not touch it any more."""

    exit_code = 3

    def __init__(self, epoch: int, current: int) -> None:
        super().__init__(
            f"a newer daemon (epoch {current}) has taken over from this one (epoch {epoch}): "
            "stopped without changing anything"
        )
        self.epoch = epoch
        self.current = current


class StoreMismatch(CoordinatorError):
    """The registry's record of an adapter line contradicts the configuration."""

    def __init__(self, message: str, *, adapter: str) -> None:
        super().__init__(message)
        self.adapter = adapter


class EngineError(CoordinatorError):
    """The engine of a simulation has failed, or a node cannot work in it."""


class LinkDown(CoordinatorError):
    """The SuperLink cannot be started, or does not stay up."""

    def __init__(self, message: str, *, log_path: object = "") -> None:
        super().__init__(message)
        self.log_path = str(log_path)
