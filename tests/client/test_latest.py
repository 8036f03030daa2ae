"""The newest stable adapter on disk: swapped as a whole, in a form that is read again."""

import json

import pytest
import torch
from polyrank.aggregation import Adapter, Factors
from polyrank.client import AdapterUnavailable, VersionInfo, from_peft
from polyrank.client._latest import LatestAdapters


def adapter(value):
    return Adapter({"q": Factors(torch.full((3, 1), float(value)), torch.ones(1, 4))})


def write(latest, number, line="support/en"):
    info = VersionInfo(
        adapter=line, number=number, digest="d" * 64, base_fingerprint="f", metrics={"loss": 1.0}
    )
    return latest.write(adapter(number), info, options={"task_type": "SEQ_CLS"})


def test_there_is_none_at_first(tmp_path):
    with pytest.raises(AdapterUnavailable, match="no stable version of support/en"):
        LatestAdapters(tmp_path).path("support/en")


def test_the_newest_of_a_line_and_of_all(tmp_path):
    latest = LatestAdapters(tmp_path)
    for number, line in ((1, "support/en"), (2, "support/en"), (1, "legal")):
        path = write(latest, number, line)
        assert latest.path(line) == latest.path() == path.resolve()
    assert latest.path("support/en").name.startswith("000002-")
    assert from_peft(latest.path("support/en")).factors["q"].b[0, 0] == 2
    kept = json.loads((latest.path("legal") / "polyrank.json").read_text())
    assert (kept["adapter"], kept["number"], kept["metrics"]) == ("legal", 1, {"loss": 1.0})
    assert kept["received_at"].endswith("+00:00")


def test_old_versions_are_removed_and_the_same_can_come_again(tmp_path):
    latest = LatestAdapters(tmp_path, kept_versions=2)
    for number in (1, 2, 3, 3):
        write(latest, number)
    found = sorted(p.name for p in (tmp_path / "adapters" / "support%2Fen").iterdir())
    assert found == ["000002-dddddddddddd", "000003-dddddddddddd", "latest"]


def test_what_a_crash_left_is_replaced(tmp_path):
    latest = LatestAdapters(tmp_path)
    half = tmp_path / "adapters" / "support%2Fen" / "000001-dddddddddddd.partial"
    half.mkdir(parents=True)
    (half / "junk").write_text("")
    assert not (write(latest, 1) / "junk").exists()


@pytest.mark.parametrize("line", ["../../outside", "..", "a/../../b"])
def test_an_adapters_name_cannot_leave_the_folder(tmp_path, line):
    path = write(LatestAdapters(tmp_path / "state"), 1, line)
    assert path.parent.parent == tmp_path / "state" / "adapters"
    assert path.resolve() == path


def test_two_lines_never_share_a_folder(tmp_path):
    latest = LatestAdapters(tmp_path)
    for number, line in enumerate(("a/b", "a-b", "a%2Fb", ".", ".."), start=1):
        write(latest, number, line)
    for number, line in enumerate(("a/b", "a-b", "a%2Fb", ".", ".."), start=1):
        assert from_peft(latest.path(line)).factors["q"].b[0, 0] == number


def test_a_version_that_comes_again_is_never_taken_away_from_a_reader(tmp_path):
    latest = LatestAdapters(tmp_path)
    weights = write(latest, 1) / "adapter_model.safetensors"
    before = weights.stat().st_ino
    write(latest, 2)
    assert write(latest, 1) == latest.path("support/en")
    assert weights.stat().st_ino == before


def test_what_crashes_left_does_not_push_a_version_out(tmp_path):
    latest = LatestAdapters(tmp_path, kept_versions=2)
    write(latest, 1)
    line = tmp_path / "adapters" / "support%2Fen"
    (line / "000007-eeeeeeeeeeee.partial").mkdir()
    write(latest, 2)
    found = sorted(path.name for path in line.iterdir())
    assert found == ["000001-dddddddddddd", "000002-dddddddddddd", "latest"]
