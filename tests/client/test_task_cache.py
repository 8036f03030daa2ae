"""Finished replies on disk: whole or absent, and never more than allowed."""

import errno
import os
import shutil

import pytest
from polyrank.client import StateError
from polyrank.client import _task_cache as module
from polyrank.client._protocol import KeyPair, ReplyEnvelope, blob_digest
from polyrank.client._task_cache import TaskCache

KEY = KeyPair.generate()


def reply(number, blob, trainings=0):
    return ReplyEnvelope(
        task_key=f"{number:064x}",
        kind="train",
        identity=KEY.identity,
        public_key=KEY.public_key.hex(),
        status="ok",
        error="",
        start_digest="",
        num_examples=1,
        metrics={},
        rank=1,
        blob_digest=blob_digest(blob),
        card=None,
        model_loads=1,
        trainings=trainings,
        from_cache=False,
        approximate=False,
    )


def cache_in(folder, entries=10, size=1 << 20):
    return TaskCache(folder, max_entries=entries, max_bytes=size)


def put(cache, number, blob=b"blob", **more):
    kept = reply(number, blob, **more)
    cache.put(kept, blob)
    return kept


def keys(cache):
    return [path.name for path in cache._entries()]


def test_a_kept_reply_comes_back_after_a_restart(tmp_path):
    kept = put(cache_in(tmp_path), 1, b"x" * 1000)
    found, blob = cache_in(tmp_path).get(kept.task_key)
    assert found == kept
    assert bytes(blob) == b"x" * 1000
    assert cache_in(tmp_path).get("f" * 64) is None


@pytest.mark.parametrize("place", [0, 20, 50, 60, -1])
def test_a_flipped_bit_is_found_and_the_entry_dropped(tmp_path, place):
    cache = cache_in(tmp_path)
    kept = put(cache, 1)
    path = tmp_path / kept.task_key
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert cache.get(kept.task_key) is None
    assert not path.exists()


@pytest.mark.parametrize("size", [0, 10, 48, 60, 200])
def test_a_cut_entry_is_dropped(tmp_path, size):
    cache = cache_in(tmp_path)
    kept = put(cache, 1)
    path = tmp_path / kept.task_key
    path.write_bytes(path.read_bytes()[:size])
    assert cache.get(kept.task_key) is None


def test_an_entry_under_another_key_is_not_an_answer(tmp_path):
    cache = cache_in(tmp_path)
    kept = put(cache, 1)
    (tmp_path / kept.task_key).rename(tmp_path / ("e" * 64))
    assert cache.get("e" * 64) is None


def test_the_oldest_go_first_by_count_and_by_bytes(tmp_path):
    for folder, bounds in (("count", {"entries": 2}), ("bytes", {"size": 3500})):
        cache = cache_in(tmp_path / folder, **bounds)
        for number in range(1, 5):
            kept = put(cache, number, b"x" * 1000)
            os.utime(tmp_path / folder / kept.task_key, ns=(number, number))
        assert keys(cache) == [f"{number:064x}" for number in (3, 4)]


def test_the_newest_is_kept_even_if_it_is_too_large(tmp_path):
    cache = cache_in(tmp_path, size=100)
    put(cache, 1)
    kept = put(cache, 2, b"x" * 1000)
    assert keys(cache) == [kept.task_key]


class Large(bytes):
    """A blob that says it has as many bytes as no disk has."""

    def __new__(cls, _size):
        return super().__new__(cls, b"blob")

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size


def test_on_a_full_disk_the_oldest_make_room_for_what_was_just_trained(tmp_path, monkeypatch):
    cache = cache_in(tmp_path)
    for number in range(1, 4):
        os.utime(tmp_path / put(cache, number).task_key, ns=(number, number))
    write = module.write_durably

    def on_a_small_disk(path, pieces):
        if len(list(tmp_path.iterdir())) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, pieces)

    monkeypatch.setattr(module, "write_durably", on_a_small_disk)
    kept = put(cache, 4)
    assert keys(cache) == [f"{3:064x}", kept.task_key]

    def on_a_full_disk(path, pieces):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "write_durably", on_a_full_disk)
    needed = shutil.disk_usage(tmp_path).free + (1 << 20)
    with pytest.raises(StateError, match="No space left"):
        put(cache, 5, Large(needed))
    assert keys(cache) == [f"{3:064x}", kept.task_key], "dropped, though it could not help"


def test_what_a_crash_left_half_written_is_swept(tmp_path):
    (tmp_path / f"{1:064x}.partial").write_bytes(b"half")
    cache = cache_in(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert cache.get(f"{1:064x}") is None


def test_the_count_of_trainings_is_found_again(tmp_path):
    cache = cache_in(tmp_path)
    assert cache.trainings() == 0
    for number, trainings in ((1, 4), (2, 9), (3, 7)):
        put(cache, number, trainings=trainings)
    assert cache_in(tmp_path).trainings() == 9


def test_the_count_is_found_without_reading_the_blobs(tmp_path):
    put(cache_in(tmp_path), 1, b"x" * 100_000, trainings=4)
    path = tmp_path / f"{1:064x}"
    path.write_bytes(path.read_bytes()[:-90_000])  # a cut blob: whoever reads it drops the entry
    (tmp_path / f"{2:064x}").write_bytes(b"rubbish")
    assert cache_in(tmp_path).trainings() == 4
    assert path.exists()
