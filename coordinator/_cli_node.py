"""`polyrank node`: run one node of a federation from a TOML file."""

# typer.Option takes parameters that its own stubs leave untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer


def node(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="TOML file; see deploy/node.example.toml.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Check the file and the data, load and start nothing.")
    ] = False,
) -> None:
    """Run one node of a federation from a TOML file. Ctrl-C or SIGTERM ends it."""
    from ..client._node_config import load_node_config
    from ..client._peft_node import rows_of, trainer_of

    settings = load_node_config(config)
    if check:
        rows = rows_of(settings)
        typer.echo(f"{config}: fine; {len(rows.texts)} rows, {len(rows.held_out)} held out")
        return
    _log_to_terminal()
    log = structlog.get_logger(__name__)
    log.info("model_loading", path=str(settings.model.dir), rows=str(settings.data.file))
    trainer = trainer_of(settings)
    log.info(
        "model_loaded",
        fingerprint=trainer.description.fingerprint[:12],
        modules=len(trainer.description.modules),
        rows=trainer.num_rows,
        held_out=len(trainer.rows.held_out),
    )
    from ..client import AdaptationClient

    AdaptationClient(settings.client(), trainer).run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # an evaluation that was given up may be in torch: do not finalise beneath it


def _log_to_terminal() -> None:
    """Write events as one line each: for a person on a terminal, and easy to search."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "event"], bool_as_flag=False
            ),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
