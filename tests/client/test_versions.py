"""The bytes of versions that a node keeps: two of a line, whole or absent."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from polyrank.client._versions import KEPT_LINES, Versions

BLOBS = {hashlib.sha256(data).hexdigest(): data for data in (b"one", b"two", b"three")}
ONE, TWO, THREE = BLOBS


def kept(versions: Versions, line: str = "demo") -> set[str]:
    return {name for name in BLOBS if versions.get(line, name) is not None}


@pytest.fixture(params=["disk", "memory"])
def versions(request: pytest.FixtureRequest, tmp_path: Path) -> Versions:
    return Versions(tmp_path if request.param == "disk" else None)


def test_the_newest_is_kept_and_what_is_named_beside_it(versions: Versions) -> None:
    versions.keep("demo", ONE, bytearray(BLOBS[ONE]), beside=())
    versions.keep("demo", TWO, memoryview(BLOBS[TWO]), beside=(ONE,))
    assert kept(versions) == {ONE, TWO}
    versions.keep("demo", THREE, BLOBS[THREE], beside=(ONE,))
    assert kept(versions) == {ONE, THREE}
    assert bytes(versions.get("demo", ONE) or b"") == b"one"
    versions.keep("demo", TWO, BLOBS[TWO], beside=())
    assert kept(versions) == {TWO}


def test_lines_do_not_drop_each_others_versions_but_the_oldest_go(versions: Versions) -> None:
    for line in range(KEPT_LINES + 1):
        versions.keep(f"line/{line}", ONE, BLOBS[ONE], beside=())
    found = [line for line in range(KEPT_LINES + 1) if kept(versions, f"line/{line}")]
    assert found == list(range(1, KEPT_LINES + 1))


def test_what_is_kept_outlives_the_process_and_damage_is_seen(tmp_path: Path) -> None:
    Versions(tmp_path).keep("demo", ONE, BLOBS[ONE], beside=())
    assert kept(Versions(tmp_path)) == {ONE}
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"onE")
    assert Versions(tmp_path).get("demo", ONE) is None


def test_a_folder_that_cannot_be_written_costs_nothing_but_a_line_in_the_log(
    tmp_path: Path,
) -> None:
    (tmp_path / "versions").write_text("a file where the folder should be")
    versions = Versions(tmp_path / "versions")
    versions.keep("demo", ONE, BLOBS[ONE], beside=())
    assert kept(versions) == set()


def test_a_peers_text_is_no_file_name(tmp_path: Path) -> None:
    Versions(tmp_path / "versions").keep("demo", ONE, BLOBS[ONE], beside=())
    assert Versions(tmp_path / "versions").get("demo", "../../secret") is None
