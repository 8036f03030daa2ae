"""node.toml: one node for people without code. Every error is one line naming file and key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from ._client_config import ClientConfig
from ._errors import ConfigError, TaskRefused
from ._training_settings import read_settings

_Path = Annotated[Path, Field(strict=False), AfterValidator(Path.expanduser)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NodeSection(_Section):
    """`[node]`: who this node is and where it joins."""

    name: _Name
    state_dir: _Path
    max_rank: _Count
    server: str = "127.0.0.1:9092"
    tags: dict[str, str] = Field(default_factory=dict)
    adapters: Annotated[list[_Name], Field(min_length=1)] = Field(default_factory=lambda: ["*"])
    memory_bytes: _Count | None = None
    max_adapter_bytes: _Count = 4 << 30


class ModelSection(_Section):
    """`[model]`: the base model and what of it is adapted."""

    dir: _Path
    task: Literal["sequence-classification", "causal-lm"]
    labels: Annotated[list[_Name], Field(min_length=2)] | None = None
    num_labels: Annotated[int, Field(ge=2)] | None = None
    targets: str | list[str] | None = None
    layers: str = "all"
    max_length: Annotated[int, Field(ge=2)] = 128
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: str = "cpu"
    num_hidden_layers: _Count | None = None
    activation_cache_bytes: Annotated[int, Field(ge=0)] = 1 << 30

    @model_validator(mode="after")
    def _classes(self) -> ModelSection:
        if self.task == "causal-lm":
            return self
        if self.labels is None and self.num_labels is None:
            raise ValueError(
                "sequence-classification needs labels (the names, in the federation's order) "
                "or num_labels (the data then holds 0, 1, ...)"
            )
        if self.labels is not None and self.num_labels not in (None, len(self.labels)):
            raise ValueError(f"num_labels is {self.num_labels}, but {len(self.labels)} labels")
        return self


class DataSection(_Section):
    """`[data]`: this node's rows, in a file that never leaves the machine."""

    file: _Path
    text: _Name = "text"
    label: _Name | None = None
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.2
    held_out_seed: int = 0
    max_rows: _Count | None = None


class NodeConfig(_Section):
    """All settings of one node's file.

    ``[training]`` are this node's own defaults (``steps``, ``batch_size``, ...): what the
    federation sets wins.
    """

    node: NodeSection
    model: ModelSection
    data: DataSection
    training: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _settings_fit(self) -> NodeConfig:
        if self.model.task == "sequence-classification" and self.data.label is None:
            raise ValueError("data.label: name the column that holds the class")
        try:
            read_settings(self.training)
        except TaskRefused as error:
            raise ValueError(str(error)) from error
        return self

    def client(self) -> ClientConfig:
        """Return the SDK's settings; raises ConfigError naming the setting."""
        node = self.node
        return ClientConfig(
            state_dir=node.state_dir,
            name=node.name,
            max_rank=node.max_rank,
            server=node.server,
            tags=node.tags,
            adapters=tuple(node.adapters),
            device=self.model.device,
            memory_bytes=node.memory_bytes,
            max_adapter_bytes=node.max_adapter_bytes,
        )


def load_node_config(path: Path) -> NodeConfig:
    """Read a node's TOML file.

    Paths in it that are not absolute are taken from the file's own folder.

    Raises:
        ConfigError: naming file and key: missing, not TOML, an unknown key, a bad value.
    """
    source = str(path)
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(
            f"{path}: cannot be read ({reason}): check --config", source=source
        ) from (error)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}", source=source) from error
    try:
        config = NodeConfig.model_validate(_anchored(data, path.absolute().parent))
    except ValidationError as error:
        raise _explained(error, source) from error
    try:
        config.client()
    except ConfigError as error:
        key = f"node.{error.key}"
        raise ConfigError(f"{path}: {key}: {error}", source=source, key=key) from error
    return config


def _anchored(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    result = dict(data)
    for section, key in (("node", "state_dir"), ("model", "dir"), ("data", "file")):
        if isinstance(table := result.get(section), dict):
            values = cast("dict[str, object]", table)
            if isinstance(given := values.get(key), str):
                result[section] = {**values, key: str(folder / Path(given).expanduser())}
    return result


def _explained(error: ValidationError, source: str) -> ConfigError:
    """Turn pydantic's report into one line about its first finding."""
    found = error.errors(include_url=False)
    first = found[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        reason = "unknown key: remove it or correct its spelling"
    elif first["type"] == "missing":
        reason = "missing: this key is required"
    else:
        said = first["msg"].removeprefix("Value error, ")
        value = first.get("input")
        shown = "" if isinstance(value, (dict, BaseModel)) else f", got {value!r:.60}"
        reason = f"{said[0].lower()}{said[1:]}{shown}"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    where = f"{source}: {key}: " if key else f"{source}: "
    return ConfigError(f"{where}{reason}{more}", source=source, key=key)
