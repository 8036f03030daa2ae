"""Windows: the rows a node scores before it trains, what it says of them, what it keeps of them.

A task to evaluate may ask for a window in its configuration: `{"window": {"spec": …}}`. The answer
is then a summary of the rows that the trainer holds out, as one canonical JSON blob. The losses of
each row stay here, under the digest of the version that was scored. A later task with
`{"window": {"spec": …, "against": DIGEST}}` scores another version on the same rows, and its answer
has only the sums over the differences, row by row. `{"window": {"spec": …, "base": true}}` asks for
the base model's own loss besides, where rows have tokens.

A window with `"gate": {"digest": DIGEST}` asks besides how the version does against that one, which
a node that still has its bytes scores on the same rows: the answer has the sums under `"gate"`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import structlog

from ._base_losses import BaseLosses, row_scores
from ._durable import write_durably
from ._errors import StateError, TaskRefused
from ._protocol import TaskEnvelope, canonical_json
from ._routes import Routes
from ._trainer import Evaluation, Trainer
from ._wire_places import place_of

if TYPE_CHECKING:
    from ..aggregation import Paired, SummarySpec

KEPT_WINDOWS = 6
_log = structlog.get_logger(__name__)


class Windows:
    """Answers tasks that ask for a window.

    Args:
        folder: where row losses are kept, so that a node that restarts can still compare; None
            keeps them in memory alone.
        routes: where the routing tables that come with windows are kept; None: in memory.
    """

    def __init__(self, folder: Path | None, routes: Routes | None = None) -> None:
        self._folder = folder
        self._routes = routes or Routes(None)
        self._kept: dict[str, dict[str, Any]] = {}
        self._base = BaseLosses()

    def answer(
        self,
        task: TaskEnvelope,
        evaluation: Evaluation,
        trainer: Trainer,
        gate: Evaluation | None = None,
    ) -> bytes:
        """Return the blob that answers a task with a window; b"" for one without.

        Args:
            task: to evaluate a version.
            evaluation: of that version.
            trainer: whose rows were scored.
            gate: the evaluation of the version that `gated_by` names, on the same rows.

        Raises:
            TaskRefused: the task's window cannot be read, or the rows that it compares on are gone.
        """
        window = task.config.get("window")
        if window is None:
            return b""
        if not isinstance(window, Mapping):
            raise TaskRefused("bad_window", "window must be a table")
        asked = cast("Mapping[str, Any]", window)
        if "routes" in asked:
            self._routes.keep(task, asked["routes"], place=_place(trainer))
        scores = row_scores(evaluation)
        rows = _rows(evaluation, trainer)
        if is_comparison(task):
            if asked.get("keep") is True:  # a later question may compare with this version
                self._keep(task.start_digest, {"rows": rows, "scores": scores})
            return self._compare(asked, scores, rows)
        base = self._base.of(evaluation, rows, trainer) if asked.get("base") is True else None
        spec = _spec(asked)
        answer = _summary(spec, evaluation, scores, trainer, base)
        stable = gated_by(task)
        if gate is not None and stable is not None and _rows(gate, trainer) == rows:
            earlier = row_scores(gate)
            self._keep(stable, {"rows": rows, "scores": earlier})
            if answer:
                answer["gate"] = asdict(_paired(earlier, scores, spec))
        self._keep(task.start_digest, {"rows": rows, "scores": scores})
        return canonical_json(answer) if answer else b""

    def _compare(self, window: Mapping[str, Any], scores: Sequence[float], rows: str) -> bytes:
        own = self._load(str(window["against"]))
        if own is None or own["rows"] != rows or len(own["scores"]) != len(scores):
            raise TaskRefused(
                "window_gone", "the rows to compare on have changed: a new round asks"
            )
        found = _paired(own["scores"], scores, _spec(window))
        return canonical_json({"paired": asdict(found)})

    def _keep(self, digest: str, window: dict[str, Any]) -> None:
        self._kept[digest] = window
        for oldest in list(self._kept)[:-KEPT_WINDOWS]:
            del self._kept[oldest]
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(self._folder / f"{digest}.json", [json.dumps(window).encode()])
            files = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
            for path in files[:-KEPT_WINDOWS]:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StateError(
                f"window file in {self._folder} cannot be written: {error.strerror}",
                path=self._folder,
            ) from error

    def _load(self, digest: str) -> dict[str, Any] | None:
        if digest in self._kept or self._folder is None:
            return self._kept.get(digest)
        if not digest.isalnum():
            return None  # a peer's text is no file name
        try:
            found: Any = json.loads((self._folder / f"{digest}.json").read_bytes())
            return {"rows": str(found["rows"]), "scores": [float(x) for x in found["scores"]]}
        except (OSError, ValueError, KeyError, TypeError):
            return None  # gone or damaged: the task is refused, the next round asks anew


def is_comparison(task: TaskEnvelope) -> bool:
    """Say whether a task compares a version with another on rows that were scored before."""
    window = task.config.get("window")
    return isinstance(window, Mapping) and "against" in window


def gated_by(task: TaskEnvelope) -> str | None:
    """Return the digest of the version that a window is to be compared with as well, if any.

    Raises:
        TaskRefused: it cannot be read.
    """
    window: object = task.config.get("window")
    gate: object = cast("Mapping[str, Any]", window).get("gate") if _is_table(window) else None
    if gate is None:
        return None
    digest: object = cast("Mapping[str, Any]", gate).get("digest") if _is_table(gate) else None
    if not isinstance(digest, str) or len(digest) != 64 or not digest.isalnum():
        raise TaskRefused("bad_window", "gate is a table with the digest of a version")
    return digest


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _summary(
    spec: SummarySpec,
    evaluation: Evaluation,
    scores: Sequence[float],
    trainer: Trainer,
    base_losses: Sequence[float] | None,
) -> dict[str, Any]:
    """Return the summary, or nothing where these rows have none: the metrics are worth a reply."""
    from ..aggregation import AdapterError, summarise

    features = getattr(trainer, "features", None)
    try:
        summary = summarise(
            spec,
            scores,
            labels=evaluation.labels,
            correct=evaluation.correct,
            features=None if features is None else features(None),
            base_losses=base_losses,
        )
    except AdapterError as error:
        _log.warning("no_summary", reason=str(error))
        return {}
    return {"summary": summary.to_json()}


def _paired(own: Sequence[float], other: Sequence[float], spec: SummarySpec) -> Paired:
    """Sum up own less other, row by row, each clipped: what the other gains."""
    from ..aggregation import paired

    limit = spec.max_loss
    differences = [min(x, limit) - min(y, limit) for x, y in zip(own, other, strict=True)]
    return paired(differences, limit=limit)


def _spec(window: Mapping[str, Any]) -> SummarySpec:
    from ..aggregation import AdapterError, SummarySpec

    try:
        return SummarySpec.from_json(window.get("spec"))
    except AdapterError as error:
        raise TaskRefused("bad_window", str(error)) from error


def _rows(evaluation: Evaluation, trainer: Trainer) -> str:
    """Name the rows that were scored: another name, other rows (or, at worst, other labels).

    By their content where the trainer tells its digest, which survives a restart, else by the
    number of its data version, which begins anew. The name stays on this node.
    """
    facts: dict[str, object] = {
        "rows": len(evaluation.losses),
        "labels": list(evaluation.labels or evaluation.tokens or ()),
    }
    digest = getattr(trainer, "rows_digest", None)
    if isinstance(digest, str):
        facts["rows_digest"] = digest
    else:
        facts["data_version"] = int(getattr(trainer, "data_version", 0))
    return hashlib.sha256(canonical_json(facts)).hexdigest()


def _place(trainer: Trainer) -> str:
    """Return where this node's features come from; "" for a trainer that does not describe it."""
    described = getattr(trainer, "description", None)
    return "" if described is None else place_of(described.modules)
