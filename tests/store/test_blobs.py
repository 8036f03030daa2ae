"""Blobs on disk: durable, checked, healed."""

import hashlib
import io
import os
import time

import pytest
from polyrank.store import (
    BlobDamaged,
    BlobMissing,
    BlobTooLarge,
    InvalidValue,
    StorageFailure,
    _blobs,
    connect,
)
from polyrank.store._blobs import FolderBlobs, MemoryBlobs
from store_blobs import adapter_blob


@pytest.fixture(params=["folder", "memory"])
def blobs(request, tmp_path):
    return FolderBlobs(tmp_path / "blobs") if request.param == "folder" else MemoryBlobs()


@pytest.fixture
def folder(tmp_path):
    return FolderBlobs(tmp_path / "blobs")


def put(blobs, source, **limits):
    staged = blobs.stage(source, **limits)
    staged.place()
    staged.discard()
    return staged


def files(folder):
    return sorted(path for path in folder.folder.rglob("*") if path.is_file())


def test_bytes_of_every_source_come_back(blobs, tmp_path):
    data = os.urandom(3 * _blobs.CHUNK_BYTES + 5)
    path = tmp_path / "file"
    path.write_bytes(data)
    for source in (data, bytearray(data), memoryview(data), path, io.BytesIO(data)):
        staged = put(blobs, source)
        assert staged.digest == hashlib.sha256(data).hexdigest()
        assert staged.size_bytes == len(data)
        assert blobs.read(staged.digest) == data


def test_a_source_is_read_in_pieces(blobs):
    class Endless(io.RawIOBase):
        largest = 0

        def read(self, size=-1):
            self.largest = max(self.largest, size)
            return bytes(size)

    source = Endless()
    with pytest.raises(BlobTooLarge) as caught:
        blobs.stage(source, 5 << 20)
    assert caught.value.limit_bytes == 5 << 20
    assert source.largest == _blobs.CHUNK_BYTES


def test_the_limit_itself_is_allowed(blobs):
    blobs.stage(bytes(10), 10)
    with pytest.raises(BlobTooLarge):
        blobs.stage(bytes(11), 10)


def test_what_is_no_source_is_refused(blobs):
    for source in ["text", 7, None, io.StringIO("text")]:
        with pytest.raises(InvalidValue, match="data"):
            blobs.stage(source)


def test_a_missing_file_is_named(blobs, tmp_path):
    with pytest.raises(InvalidValue, match=r"nowhere.*No such file"):
        blobs.stage(tmp_path / "nowhere")


def test_what_was_staged_and_not_placed_leaves_nothing(folder):
    staged = folder.stage(b"abc")
    with pytest.raises(BlobMissing):
        folder.open(staged.digest)
    staged.discard()
    with pytest.raises(BlobTooLarge):
        folder.stage(b"abc", 2)
    assert files(folder) == []


def test_the_same_bytes_are_stored_once(folder):
    put(folder, b"abc")
    put(folder, b"abc")
    assert len(files(folder)) == 1


@pytest.mark.parametrize("damage", [b"abX", b"ab", b"abcd", b""])
def test_a_damaged_blob_is_an_error_that_names_the_file(folder, damage):
    digest = put(folder, b"abc").digest
    folder.path(digest).write_bytes(damage)
    for ask in (folder.read, folder.open):
        with pytest.raises(BlobDamaged, match="backup or publish") as caught:
            ask(digest)
        assert caught.value.file == str(folder.path(digest))
    put(folder, b"abc")
    assert folder.read(digest) == b"abc"


def test_an_unreadable_blob_is_an_error_that_names_the_file(folder):
    digest = put(folder, b"abc").digest
    folder.path(digest).unlink()
    folder.path(digest).mkdir()
    with pytest.raises(BlobDamaged, match="Is a directory"):
        folder.read(digest)


def test_deleting_twice_is_once(blobs):
    digest = put(blobs, b"abc").digest
    blobs.delete(digest)
    blobs.delete(digest)
    with pytest.raises(BlobMissing):
        blobs.read(digest)


def test_a_blob_stays_readable_while_it_is_deleted(folder):
    digest = put(folder, b"abc").digest
    with folder.open(digest) as stream:
        folder.delete(digest)
        assert stream.read() == b"abc"


def test_files_and_folders_are_synced_before_they_are_used(folder, monkeypatch):
    order = []
    sync, replace = os.fsync, _blobs.Path.replace

    def fsync(descriptor):
        sync(descriptor)
        order.append(f"fsync {os.readlink(f'/proc/self/fd/{descriptor}')}")

    def rename(path, target):
        order.append("rename")
        return replace(path, target)

    monkeypatch.setattr(_blobs.os, "fsync", fsync)
    monkeypatch.setattr(_blobs.Path, "replace", rename)
    digest = put(folder, b"abc").digest
    shard = folder.path(digest).parent
    assert order[0].startswith(f"fsync {folder.folder}/tmp/")
    assert order[1:] == [f"fsync {folder.folder}", "rename", f"fsync {shard}"]


def test_what_a_killed_process_was_writing_is_swept_after_a_day(folder):
    old, young = folder.folder / "tmp" / "old", folder.folder / "tmp" / "young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90000,) * 2)
    FolderBlobs(folder.folder)
    assert files(folder) == [young]


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailure, match="file/blobs"):
        FolderBlobs(tmp_path / "file" / "blobs")


def test_a_full_disk_is_an_error_that_names_the_place(folder, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_blobs.os, "fsync", full)
    with pytest.raises(StorageFailure, match="No space left"):
        folder.stage(b"abc")
    assert files(folder) == []


def test_a_registry_reads_a_torn_blob_as_damaged_and_heals_it(sqlite_url, tmp_path):
    with connect(sqlite_url) as registry:
        registry.register_base_model("base", fingerprint="f")
        registry.create_adapter("a", base_model="base")
        digest = registry.publish("a", adapter_blob()).digest
        path = FolderBlobs(tmp_path / "blobs").path(digest)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(BlobDamaged, match=str(path)):
            registry.read("a@0")
        path.unlink()
        with pytest.raises(BlobMissing, match=str(path)):
            registry.open("a@0")
        registry.publish("a", adapter_blob())
        assert registry.read("a@0") == adapter_blob()
