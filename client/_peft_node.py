"""A PeftTrainer from a node's file: read the rows, hold some out, load the model."""

from __future__ import annotations

from ._base_model import PeftSettings, SharedBase
from ._node_config import NodeConfig
from ._peft_trainer import PeftTrainer
from ._rows_file import class_indices, read_columns
from ._rows_source import FileSource
from ._targets import ATTENTION
from ._text_rows import TextRows, hold_out


def trainer_of(config: NodeConfig, *, bases: SharedBases | None = None) -> PeftTrainer:
    """Make the trainer that a node's file describes; raises DataError or ModelError.

    Before each task it looks whether the data file was replaced.

    Args:
        config: the node's file.
        bases: where to find, or leave, a model that other nodes use too; None: load one for itself.
    """
    settings = settings_of(config)
    source = FileSource(config.data.file, lambda: rows_of(config))
    rows = source.read()  # before seconds of loading
    base = None if bases is None else bases.of(settings)
    return PeftTrainer(settings, rows, base=base, source=source)


class SharedBases:
    """The base models of nodes that run in one process: each is loaded once.

    Nodes whose files ask for the same model, layers and precision get the same one.
    """

    def __init__(self) -> None:
        self._loaded: list[SharedBase] = []

    def of(self, settings: PeftSettings) -> SharedBase:
        """Return the base model for these settings; raises ModelError or ConfigError."""
        for base in self._loaded:
            if base.is_for(settings):
                return base
        base = SharedBase(settings)
        self._loaded.append(base)
        return base


def settings_of(config: NodeConfig) -> PeftSettings:
    """Return what a node's file says of its model and of how it is adapted."""
    model, state_dir = config.model, config.node.state_dir
    return PeftSettings(
        model_dir=model.dir,
        task=model.task,
        num_labels=len(model.labels) if model.labels else model.num_labels,
        targets=ATTENTION if model.targets is None else model.targets,
        layers=model.layers,
        max_length=model.max_length,
        dtype=model.dtype,
        device=model.device,
        num_hidden_layers=model.num_hidden_layers,
        activation_cache_bytes=model.activation_cache_bytes,
        cache_dir=state_dir / "cache",
        training=config.training,
    )


def rows_of(config: NodeConfig) -> TextRows:
    """Read this node's rows; raises DataError."""
    data, model = config.data, config.model
    is_labelled = model.task == "sequence-classification" and data.label is not None
    columns = [data.text, data.label] if is_labelled and data.label else [data.text]
    found = read_columns(data.file, columns, max_rows=data.max_rows)
    texts = [str(text) for text in found[data.text]]
    labels = None
    if is_labelled and data.label:
        labels = class_indices(
            found[data.label],
            labels=model.labels,
            num_labels=len(model.labels or ()) or model.num_labels or 2,
            path=data.file,
        )
    held_out = hold_out(len(texts), data.held_out, labels=labels, seed=data.held_out_seed)
    return TextRows(texts, labels, tuple(held_out))
