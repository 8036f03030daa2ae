"""What an operator sets: one TOML file, checked before anything is started.

Every error is one line that names the file and the key. Unknown keys are refused: a misspelt
`deadline_second` must not silently become the default. Times are seconds, sizes are bytes, and
both say so in their names.
"""

from __future__ import annotations

import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from ..store import AdaptationPolicy, InvalidValue
from ._config_aggregation import AggregationConfig
from ._config_checks import MethodName, check_goal, check_method_settings, renamed
from ._config_section import Section
from ._errors import ConfigError
from ._paths import default_data_dir
from ._staleness import StalenessConfig

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*\Z")
_HEX = re.compile(r"[0-9a-f]{64}\Z")
INVENTORY = "inventory"
MAX_CLASSES = 4096  # that a summary counts


def _loopback(host: str) -> str:
    try:
        inside = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise ValueError(
            f"{host!r} is not a loopback address; the daemon listens on 127.0.0.1 or ::1 only, "
            "because whoever reaches these ports controls the federation"
        )
    return host


def _home(path: Path) -> Path:
    return path.expanduser()


def _finite(training: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        json.dumps(training, allow_nan=False)
    except ValueError:
        raise ValueError("nan and inf cannot be sent to nodes: give finite numbers") from None
    return training


def _policy(values: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        AdaptationPolicy.from_json(values)
    except InvalidValue as error:
        raise ValueError(str(error)) from None
    return values


def _start_from(value: str) -> str:
    line, at, ref = value.partition("@")
    if value != INVENTORY and not (at and ref and _NAME.match(line)):
        raise ValueError(
            'give another line\'s version, such as "support/en@stable", or "inventory"'
        )
    return value


def _fingerprint(value: str) -> str:
    if not _HEX.match(value):
        raise ValueError("a fingerprint is 64 lower-case hexadecimal characters (a sha-256)")
    return value


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=30 * 24 * 3600)]
Count = Annotated[int, Field(ge=1)]
Loopback = Annotated[str, AfterValidator(_loopback)]


class DaemonConfig(Section):
    """`[daemon]`: where this daemon keeps what it knows."""

    data_dir: Annotated[Path, Field(strict=False), AfterValidator(_home)] = Field(
        default_factory=default_data_dir
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class SuperLinkConfig(Section):
    """`[superlink]`: Flower's server, where nodes connect. Port 0 takes any free port."""

    host: Loopback = "127.0.0.1"
    port: Port = 9092


class RegistryConfig(Section):
    """`[registry]`: where versions live, and where queries are answered (gRPC).

    `url` defaults to an SQLite file, `blobs` to a folder, both in the data directory.
    """

    host: Loopback = "127.0.0.1"
    port: Port = 9093
    url: str | None = None
    blobs: str | None = None


class LimitsConfig(Section):
    """`[limits]`: sizes that bound what a node can make the daemon hold."""

    max_adapter_bytes: Annotated[int, Field(ge=1024, le=4 * 1024**3)] = 4 * 1024**3
    max_inflight_bytes: Annotated[int, Field(ge=1024)] = 1024**3


class ContinualConfig(Section):
    """`[adapters."NAME".continual]`: whether drift is watched for, and what follows from it.

    With `mode = "act"` decisions are carried out, with "propose" they wait for an operator, with
    "record" they are only recorded; "off" watches nothing. `policy` holds thresholds and budgets.
    `classes` is how many classes the labels have (0: none), by default what the head says.
    """

    mode: Literal["off", "record", "propose", "act"] = "off"
    classes: Annotated[int, Field(ge=0, le=MAX_CLASSES)] | None = None
    policy: Annotated[dict[str, JsonValue], AfterValidator(_policy)] = Field(
        default_factory=dict[str, JsonValue]
    )


class AdapterConfig(Section):
    """`[adapters."NAME"]`: one adapter line and how its rounds are run.

    `rounds` counts versions made by rounds, null means for ever. A round needs `min_nodes` idle
    nodes to start, closes when every node has answered or at its deadline, and is committed with
    at least `quorum` updates.

    With `goal` a round is asynchronous: it closes as soon as so many updates are there, late ones
    of earlier rounds included, whoever still trains. What comes later is counted by a later version
    with its true start, discounted by `staleness`. With method stacking or florist nobody's work is
    lost; the others reject what was trained otherwise than their round is. A goal is at least
    the quorum, and at most `max_nodes`. It may be below `min_nodes`: a round that asks 10 nodes and
    takes the first 5 needs 10 idle ones to start, so where only a few are slow, give a `min_nodes`
    that the quick ones reach. A goal that a round cannot reach, because fewer nodes were idle, does
    no harm: the round closes when they have answered. In a family a review waits for the
    evaluations of all nodes, at most `deadline_seconds`, so there a slow node still holds the next
    round.

    `method` is how updates become the next version (`polyrank.aggregation.method`), with its own
    `start` (stacking's) or `energy` (florist's). `rank` is the most that a node trains, by default
    what it can; `state_rank` caps the version's rank and what a node trains, by default as
    `usual_state_rank`; `momentum` is the server's (stacking alone).

    A new line starts from `start_from`: another line's version on the same base model, or
    "inventory", the average of what the lines on it have learnt; by default from nothing.
    `training` goes to the nodes as it is. Of versions beyond the newest `keep_versions`, the bytes
    that nothing needs go (`Registry.prune`); by default all stay.
    """

    base_model: Annotated[str, Field(min_length=1, max_length=200)]
    fingerprint: Annotated[str, AfterValidator(_fingerprint)] | None = None
    target_modules: Annotated[list[str], Field(min_length=1)] | None = None
    rounds: Annotated[int, Field(ge=0)] | None = None
    min_nodes: Count = 2
    max_nodes: Count | None = None
    quorum: Count | None = None
    goal: Count | None = None
    deadline_seconds: Seconds = 3600.0
    state_rank: Count | None = None
    method: MethodName = "stacking"
    start: Literal["warm", "fresh-random", "fresh-spectral"] | None = None
    energy: Annotated[float, Field(gt=0, le=1)] | None = None
    rank: Count | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    start_from: Annotated[str, AfterValidator(_start_from)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    weights: Literal["examples", "per_module"] = "examples"
    staleness: StalenessConfig = Field(default_factory=StalenessConfig)
    evaluate_every: Annotated[int, Field(ge=0)] = 1
    keep_rounds: Count = 20
    keep_versions: Annotated[int, Field(ge=2)] | None = None
    training: Annotated[dict[str, JsonValue], AfterValidator(_finite)] = Field(default_factory=dict)
    continual: ContinualConfig = Field(default_factory=ContinualConfig)

    @model_validator(mode="after")
    def _counts_fit(self) -> AdapterConfig:
        if self.quorum is not None and self.quorum > self.min_nodes:
            raise ValueError(
                f"quorum = {self.quorum} can not be above min_nodes = {self.min_nodes}: a round of "
                "min_nodes nodes could never be committed"
            )
        if self.max_nodes is not None and self.max_nodes < self.min_nodes:
            raise ValueError(
                f"max_nodes = {self.max_nodes} can not be below min_nodes = {self.min_nodes}"
            )
        check_goal(self)
        check_method_settings(self)
        if self.continual.mode != "off" and self.evaluate_every != 1:
            raise ValueError(
                f"evaluate_every = {self.evaluate_every} can not be with continual.mode = "
                f'"{self.continual.mode}": a family evaluates each version, that is how it sees '
                "drift; remove the key"
            )
        return self

    @property
    def needed(self) -> int:
        """Return the number of updates that a commit needs: `quorum`, else `min_nodes`."""
        return self.quorum or self.min_nodes


class CoordinatorConfig(Section):
    """All settings of one daemon; every section has defaults, adapter lines none."""

    daemon: DaemonConfig = Field(default_factory=DaemonConfig)
    superlink: SuperLinkConfig = Field(default_factory=SuperLinkConfig)
    registry: RegistryConfig = Field(default_factory=RegistryConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    aggregation: AggregationConfig = Field(default_factory=AggregationConfig)
    adapters: dict[str, AdapterConfig] = Field(default_factory=dict[str, AdapterConfig])

    @model_validator(mode="after")
    def _names_and_ports(self) -> CoordinatorConfig:
        for name, settings in self.adapters.items():
            if (settings.start_from or "").startswith(f"{name}@"):
                raise ValueError(
                    f"adapters.{name!r}: start_from is {settings.start_from!r}, the line itself: "
                    "name another"
                )
            if not _NAME.match(name) or len(name) > 128:
                raise ValueError(
                    f"adapters.{name!r}: a name is letters, digits, '.', '_', '-' and '/' between "
                    "parts, at most 128 characters"
                )
            for other in self.adapters:
                made = re.fullmatch(rf"{re.escape(name)}/(\d+|trials|rank-trials)", other)
                if made and self.adapters[name].continual.mode != "off":
                    raise ValueError(
                        f"adapters.{other!r}: {name!r} is a family, whose members and trials get "
                        "such names: choose another"
                    )
        port = self.superlink.port
        if port and port == self.registry.port:
            raise ValueError(f"superlink.port and registry.port are both {port}: choose two")
        return self

    @property
    def registry_url(self) -> str:
        """Return the database's URL: as configured, or SQLite in the data directory."""
        default = f"sqlite:///{self.daemon.data_dir.absolute() / 'registry.db'}"
        return self.registry.url or default

    @property
    def blobs(self) -> str:
        """Return where blobs are kept: as configured, or a folder in the data directory."""
        return self.registry.blobs or str(self.daemon.data_dir.absolute() / "blobs")

    @classmethod
    def load(cls, path: Path) -> CoordinatorConfig:
        """Read a TOML file.

        Raises:
            ConfigError: naming the file and the key, when it is missing, not TOML, or refused.
        """
        try:
            data = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(
                f"{path}: cannot be read ({reason}): check --config", source=str(path)
            ) from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not TOML: {error}", source=str(path)) from error
        return cls.parse(data, source=str(path))

    @classmethod
    def parse(cls, data: Mapping[str, Any], *, source: str = "configuration") -> CoordinatorConfig:
        """Check plain values; raises ConfigError naming `source` and the first bad key."""
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            raise _explained(error, source) from error


def read_settings(
    config: Path | None,
    *,
    data_dir: Path | None = None,
    superlink_port: int | None = None,
    registry_port: int | None = None,
) -> CoordinatorConfig:
    """Read the file, or take the built-in default, and put the command line's values over it."""
    settings = CoordinatorConfig() if config is None else CoordinatorConfig.load(config)
    values: dict[str, Any] = settings.model_dump()
    for section, key, value in (
        ("daemon", "data_dir", data_dir),
        ("superlink", "port", superlink_port),
        ("registry", "port", registry_port),
    ):
        if value is not None:
            values[section][key] = value
    return CoordinatorConfig.parse(values, source="command line")


def _explained(error: ValidationError, source: str) -> ConfigError:
    """Turn pydantic's report into one line about its first finding."""
    found = error.errors(include_url=False)
    first = found[0]
    key = _dotted(first["loc"])
    if first["type"] == "extra_forbidden":
        reason = renamed(str(first["loc"][-1]), first.get("input"))
        reason = f"unknown key: {reason or 'remove it or correct its spelling'}"
    elif first["type"] == "missing":
        reason = "missing: this key is required"
    else:
        said = first["msg"].removeprefix("Value error, ")
        value = first.get("input")
        shown = "" if isinstance(value, (dict, BaseModel)) else f", got {value!r:.60}"
        reason = f"{said[0].lower()}{said[1:]}{shown}"
    where = f"{source}: {key}: " if key else f"{source}: "
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return ConfigError(f"{where}{reason}{more}", source=source, key=key)


def _dotted(location: tuple[str | int, ...]) -> str:
    parts = [
        f"[{part}]" if isinstance(part, int) else part if part.isidentifier() else f'"{part}"'
        for part in location
    ]
    return ".".join(parts).replace(".[", "[")
