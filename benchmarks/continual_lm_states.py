"""What all nodes of the language-model streams share: the frozen model, and what it says of texts.

The base is SmolLM2 (135 M), adapted with LoRA on the attention of its last layer, as `PeftTrainer`
does with `layers="top-1"`. The hidden states that enter this layer are computed once for every row
(in bfloat16, kept as float16) and read by all nodes of all runs. Of the last layer only the
positions that are scored are computed.

What is scored, so that a cell takes a minute or two on one core:

- of a text its last 8 tokens, with at least 8 before them, of 20 at most; or the verdict, one token
  after `PROMPT`;
- over a reduced vocabulary: the 2,048 tokens that are most frequent in the data, and the verdicts.
  The softmax runs over these alone, and a position whose next token is another is not scored (about
  a fifth of all). So losses are lower than those over all 49,152 tokens, for every policy alike.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from continual_data import Pool, Test
from continual_lm_data import LAST_WORDS, load_pool
from continual_states import Pairs, added, pairs_of
from polyrank.aggregation import Adapter
from polyrank.client import ModelDescription
from polyrank.client._base_model import PeftSettings, SharedBase
from polyrank.client._text_rows import EncodedRows
from polyrank.coordinator._assets import cache_dir
from polyrank.coordinator._assets_fetch import Report, build, silent
from polyrank.coordinator._assets_smollm2 import ensure_smollm2
from torch import Tensor
from torch.nn import functional

PROMPT = "\nSentiment (positive or negative):"
VERDICTS = (" negative", " positive", " bad", " good")
TEXT_TOKENS, CONTEXT, SCORED = 20, 8, 8
VOCABULARY = 2048
_REVISION = 1
_RECENT = 16


@dataclass(frozen=True)
class Batch:
    """Rows with what is to be predicted.

    Attributes:
        states: what enters the last layer, (rows, tokens, width), padded on the right.
        places: the positions that predict, (rows, scored); 0 where there are fewer.
        targets: the reduced vocabulary's number of the next token, (rows, scored); -1: none.
    """

    states: Tensor
    places: Tensor
    targets: Tensor

    def at(self, rows: Sequence[int]) -> Batch:
        """Take some of the rows."""
        chosen = list(rows)
        return Batch(self.states[chosen], self.places[chosen], self.targets[chosen])


class LastLayer:
    """The last layer of a Llama model, its final norm and output layer, at single positions.

    Args:
        base: the model.
        vocabulary: the tokens that are scored; None: all.
    """

    def __init__(self, base: SharedBase, vocabulary: Tensor | None) -> None:
        model: Any = base.module
        layer = model.model.layers[-1]
        self.names = {name.rpartition(".")[2]: name for name in base.description.modules}
        self._heads = int(model.config.num_attention_heads)
        self._groups = self._heads // int(model.config.num_key_value_heads)
        attention = layer.self_attn
        own = {"q": attention.q_proj, "k": attention.k_proj, "v": attention.v_proj,
               "o": attention.o_proj, "gate": layer.mlp.gate_proj, "up": layer.mlp.up_proj,
               "down": layer.mlp.down_proj, "first": layer.input_layernorm,
               "second": layer.post_attention_layernorm, "last": model.model.norm}  # fmt: skip
        self._weights: dict[str, Tensor] = {
            name: each.weight.detach().float() for name, each in own.items()
        }
        out = model.lm_head.weight.detach().float()
        self._out = (out if vocabulary is None else out[vocabulary]).contiguous()
        self._epsilon = float(model.config.rms_norm_eps)
        places = torch.arange(256)[None]
        cos, sin = model.model.rotary_emb(torch.zeros(1, 256, 1), places)
        self._cos, self._sin = cos[0].float(), sin[0].float()

    def logits(self, batch: Batch, pairs: Pairs) -> Tensor:
        """Score the batch's positions: (rows, scored, vocabulary)."""
        rows = torch.arange(len(batch.states))[:, None]
        own = batch.states[rows, batch.places]  # (rows, scored, width)
        hidden = own + self._linear(self._attended(batch, rows, pairs), "o")
        normed = self._norm(hidden, "second")
        gated = functional.silu(self._linear(normed, "gate")) * self._linear(normed, "up")
        hidden = hidden + self._linear(gated, "down")
        return functional.linear(self._norm(hidden, "last"), self._out)

    def _attended(self, batch: Batch, rows: Tensor, pairs: Pairs) -> Tensor:
        normed = self._norm(batch.states, "first")
        asking = normed[rows, batch.places]
        count, tokens, _ = normed.shape
        queries = added(self._linear(asking, "q"), asking, pairs.get("q_proj", ()))
        values = added(self._linear(normed, "v"), normed, pairs.get("v_proj", ()))
        size = queries.shape[-1] // self._heads

        def split(found: Tensor) -> Tensor:
            return found.view(*found.shape[:-1], -1, size).transpose(1, 2)

        at = batch.places[:, None]
        turned = _turned(split(queries), self._cos[at], self._sin[at])
        keys = _turned(split(self._linear(normed, "k")), self._cos[:tokens], self._sin[:tokens])
        keys = keys.repeat_interleave(self._groups, 1)
        scores = turned @ keys.transpose(2, 3) / math.sqrt(size)
        is_past = torch.arange(tokens) <= batch.places[:, None, :, None]
        shares = scores.masked_fill(~is_past, float("-inf")).softmax(-1)
        mixed = shares @ split(values).repeat_interleave(self._groups, 1)
        return mixed.transpose(1, 2).reshape(count, batch.places.shape[1], -1)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self._weights[name])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        size = x.pow(2).mean(-1, keepdim=True)
        return x * torch.rsqrt(size + self._epsilon) * self._weights[name]


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary positions to (rows, heads, positions, size)."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class TextGround:
    """The base model, all rows and their frozen states: loaded once, shared by all nodes."""

    def __init__(self, pool: Pool, base: SharedBase, folder: Path) -> None:
        self.pool = pool
        self.description: ModelDescription = base.description
        self.encoded = Encoded.of(base, pool)
        self.layer = LastLayer(base, torch.tensor(self.encoded.vocabulary))
        self._number = {token: place for place, token in enumerate(self.encoded.vocabulary)}
        self._features = torch.from_numpy(np.load(folder / "features.npy"))
        self._states = np.load(folder / "states.npy", mmap_mode="r")
        self._starts = np.concatenate([[0], np.cumsum([len(r) for r in self.encoded.tokens])])
        self._recent: dict[tuple[tuple[int, ...], tuple[int, ...]], Batch] = {}

    @classmethod
    def load(cls, report: Report = silent) -> TextGround:
        """Load everything; the first time, compute and store the states of all rows."""
        pool = load_pool(report)
        settings = PeftSettings(
            model_dir=ensure_smollm2(report=report),
            task="causal-lm",
            layers="top-1",
            dtype="bfloat16",
            cache_dir=cache_dir() / "fingerprints",
        )
        base = SharedBase(settings)
        texts = hashlib.sha256("\n".join([*pool.texts, PROMPT]).encode()).hexdigest()
        name = f"continual-lm-{base.description.fingerprint[:8]}-{texts[:8]}-{_REVISION}"

        def make(folder: Path) -> None:
            report("continual: computing the frozen states of all texts (minutes, only once)")
            write_states(base, pool, folder)

        return cls(pool, base, build("continual", name, make, cache=None))

    def features(self, ids: Sequence[int]) -> Tensor:
        """Return the mean frozen state of each row, float32: (rows, width)."""
        return self._features[list(ids)]

    def batch(self, ids: Sequence[int], labels: Sequence[int]) -> Batch:
        """Return rows with what their labels say is to be predicted; the last few are kept."""
        key = (tuple(ids), tuple(labels))
        found = self._recent.pop(key, None) or self._gathered(*key)
        self._recent[key] = found
        for oldest in list(self._recent)[:-_RECENT]:
            del self._recent[oldest]
        return found

    def losses(self, batch: Batch, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return summed nats (rows,) and scored tokens (rows,)."""
        logits = self.layer.logits(batch, pairs)
        nats = functional.cross_entropy(
            logits.flatten(0, 1), batch.targets.flatten(), ignore_index=-1, reduction="none"
        )
        return nats.view_as(batch.targets).sum(1), (batch.targets >= 0).sum(1)

    def pairs(self, adapter: Adapter) -> Pairs:
        """Return an adapter's low-rank terms by short names of modules."""
        names = self.layer.names.items()
        return {short: pairs_of(adapter.factors.get(name)) for short, name in names}

    def loss(self, adapter: Adapter, test: Test) -> float:
        """Score a test set: nats per token."""
        with torch.no_grad():
            nats, tokens = self.losses(self.batch(test.rows, test.labels), self.pairs(adapter))
        return float(nats.double().sum() / tokens.sum())

    def _gathered(self, ids: Sequence[int], labels: Sequence[int]) -> Batch:
        wanted = [self._wanted(row, label) for row, label in zip(ids, labels, strict=True)]
        tokens = max(place + 1 for row in wanted for place, _ in row)
        scored = max(map(len, wanted))
        states = np.zeros((len(ids), tokens, self._states.shape[1]), np.float32)
        places = torch.zeros(len(ids), scored, dtype=torch.long)
        targets = torch.full((len(ids), scored), -1)
        for at, (row, found) in enumerate(zip(ids, wanted, strict=True)):
            length = min(tokens, len(self.encoded.tokens[row]))
            begin = int(self._starts[row])
            states[at, :length] = self._states[begin : begin + length]
            for place, (position, target) in enumerate(found):
                places[at, place], targets[at, place] = position, target
        return Batch(torch.from_numpy(states), places, targets)

    def _wanted(self, row: int, label: int) -> list[tuple[int, int]]:
        """List positions and the numbers of the tokens that come next."""
        tokens, text = self.encoded.tokens[row], self.encoded.text_tokens[row]
        if label != LAST_WORDS:
            return [(len(tokens) - 1, self._number[self.encoded.verdicts[label]])]
        every = [(at - 1, self._number.get(tokens[at])) for at in range(CONTEXT, text)]
        return [(at, found) for at, found in every if found is not None][-SCORED:]


@dataclass(frozen=True)
class Encoded:
    """All rows as tokens: the text, cut, and for reviews the prompt after it.

    Attributes:
        tokens: of each row.
        text_tokens: how many of them are of the text.
        verdicts: the tokens of `VERDICTS`.
        vocabulary: the tokens that are scored, sorted.
        pad: the padding token.
    """

    tokens: list[list[int]]
    text_tokens: list[int]
    verdicts: tuple[int, ...]
    vocabulary: list[int]
    pad: int

    @classmethod
    def of(cls, base: SharedBase, pool: Pool) -> Encoded:
        """Encode a pool."""
        texts, pad = base.encode(pool.texts, TEXT_TOKENS)
        (prompt, *verdicts), _ = base.encode([PROMPT, *VERDICTS], 64)
        end, words = prompt.pop(), tuple(verdict[0] for verdict in verdicts)
        texts = [text[:-1] if text[-1] == end else text for text in texts]  # it goes on
        tokens = [
            text if label == LAST_WORDS else [*text, *prompt]
            for text, label in zip(texts, pool.labels, strict=True)
        ]
        counts = Counter(token for text in texts for token in text)
        frequent = {token for token, _ in counts.most_common(VOCABULARY)}
        return cls(tokens, [len(t) for t in texts], words, sorted({*frequent, *words}), pad)


def write_states(base: SharedBase, pool: Pool, folder: Path) -> None:
    """Compute the frozen states of all rows: float16, token after token; features in float32."""
    encoded = Encoded.of(base, pool)
    rows = EncodedRows(encoded.tokens, None, encoded.pad)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in encoded.tokens])])
    width = int(getattr(base.module, "config").hidden_size)  # noqa: B009 (untyped)
    states = np.zeros((int(starts[-1]), width), np.float16)
    features = np.zeros((len(encoded.tokens), width), np.float32)
    for part in rows.by_length(range(len(encoded.tokens)), 32):
        found = base.frozen_states(rows.batch(part, torch.device("cpu"))).float().numpy()
        for place, row in enumerate(part):
            own = found[place, : len(encoded.tokens[row])]
            states[starts[row] : starts[row + 1]] = own
            features[row] = own[: encoded.text_tokens[row]].mean(0)
    assert np.isfinite(states).all(), "a state is beyond float16"
    for name, value in (("states", states), ("features", features)):
        np.save(folder / f"{name}.npy", value)


__all__ = ["Batch", "Encoded", "LastLayer", "TextGround", "write_states"]
