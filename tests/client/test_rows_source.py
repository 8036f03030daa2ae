"""A data file that its owner replaces: read again when it changed, and only then."""

import os

import pytest
from polyrank.client import DataError, TextRows
from polyrank.client._rows_source import FileSource


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text("a\nb\n")
    return path


def replace(path, text):
    """Put a new file in the place of the old one, as its owner should."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.replace(path)


class Reader:
    def __init__(self, path):
        self.path = path
        self.reads = 0

    def __call__(self):
        self.reads += 1
        try:
            return TextRows(self.path.read_text().split())
        except OSError as error:
            raise DataError("gone", path=self.path) from error


def source_of(file):
    reader = Reader(file)
    source = FileSource(file, reader)
    assert list(source.read().texts) == ["a", "b"]
    return source, reader


def test_an_unchanged_file_is_not_read(file):
    source, reader = source_of(file)
    assert [source() for _ in range(3)] == [None] * 3
    assert reader.reads == 1


def test_a_replaced_file_is_read_once(file):
    source, reader = source_of(file)
    replace(file, "c\nd\ne\n")
    assert list(source().texts) == ["c", "d", "e"]
    assert source() is None
    assert reader.reads == 2


def test_a_file_of_the_same_size_and_time_is_still_another_file(file):
    source, _ = source_of(file)
    before = file.stat()
    replace(file, "c\nd\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert list(source().texts) == ["c", "d"]


def test_a_file_with_the_same_rows_is_no_change(file):
    source, reader = source_of(file)
    os.utime(file, ns=(1, 1))
    assert source() is None
    assert source() is None
    assert reader.reads == 2


def test_a_broken_file_is_an_error_once_and_read_again_when_it_changes(file):
    source, reader = source_of(file)
    replace(file, "")
    with pytest.raises(DataError):
        source()
    assert source() is None
    replace(file, "c\nd\n")
    assert list(source().texts) == ["c", "d"]
    file.unlink()
    with pytest.raises(DataError, match="gone"):
        source()
    assert source() is None
    assert reader.reads == 4
    file.write_text("c\nd\n")
    assert source() is None  # it is back as it was


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_look(file):
    source, reader = source_of(file)
    replace(file, "half\nhalf\n")
    whole = source._read

    def interrupted():
        rows = whole()
        replace(file, "c\nd\ne\nf\n")
        return rows

    source._read = interrupted
    assert source() is None
    source._read = whole
    assert list(source().texts) == ["c", "d", "e", "f"]
    assert reader.reads == 3
