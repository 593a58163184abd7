"""What is kept on disk comes back as it was, or not at all."""

from __future__ import annotations

import errno
import logging
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamwatch.prompts import vector_cache
from streamwatch.prompts.encoders.process import Encoded
from streamwatch.prompts.vector_cache import VectorCache


def encoded(seed: int) -> Encoded:
    vector = np.random.default_rng(seed).standard_normal(512).astype(np.float32)
    return Encoded(vector / np.float32(np.linalg.norm(vector)), seed + 3, 77)


def same(one: Encoded | None, other: Encoded) -> bool:
    return (
        one is not None
        and np.array_equal(one.vector, other.vector)
        and (one.length, one.longest) == (other.length, other.longest)
    )


@pytest.fixture
def cache(tmp_path: Path) -> VectorCache:
    return VectorCache(tmp_path / "deep" / "cache")


def only_file(cache: VectorCache) -> Path:
    (file,) = cache.folder.iterdir()
    return file


def test_a_vector_is_read_as_it_was_written(cache: VectorCache) -> None:
    assert cache.find("red car") is None
    cache.keep({"red car": encoded(1), "dog": encoded(2)})
    for again in (cache, VectorCache(cache.folder)):
        assert same(again.find("red car"), encoded(1))
        assert same(again.find("dog"), encoded(2))
        assert again.find("cat") is None
    assert len(list(cache.folder.iterdir())) == 2


def test_files_are_readable_by_the_owner_only(cache: VectorCache) -> None:
    before = os.umask(0)
    try:
        cache.keep({"red car": encoded(1)})
    finally:
        os.umask(before)
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert only_file(cache).stat().st_mode & 0o777 == 0o600
    assert b"red car" not in only_file(cache).read_bytes()
    assert "red" not in only_file(cache).name


def test_a_corrupt_file_counts_as_missing_and_is_rewritten(cache: VectorCache) -> None:
    cache.keep({"red car": encoded(1)})
    file = only_file(cache)
    whole = file.read_bytes()
    flipped = [
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 97)
    ]
    for content in (b"", whole[:31], whole[:500], whole[:-1], whole + b"\0", b"{}", *flipped):
        file.write_bytes(content)
        assert cache.find("red car") is None
    file.unlink()
    os.mkfifo(file)
    assert cache.find("red car") is None
    cache.keep({"red car": encoded(1)})
    assert same(cache.find("red car"), encoded(1))
    assert only_file(cache) == file


def test_a_file_of_another_prompt_is_not_used(cache: VectorCache) -> None:
    cache.keep({"red car": encoded(1)})
    before = set(cache.folder.iterdir())
    cache.keep({"dog": encoded(2)})
    (dog,) = set(cache.folder.iterdir()) - before
    dog.replace(next(iter(before)))
    assert cache.find("red car") is None


def test_the_least_recently_used_are_deleted_first(
    cache: VectorCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_cache, "MOST", 5)
    cache.keep({str(number): encoded(number) for number in range(5)})
    left_half_written = cache.folder / "tmp_left"
    left_half_written.write_bytes(b"half")
    for second, file in enumerate([left_half_written, *map(cache._path, "01234")]):
        os.utime(file, (second, second))
    assert cache.find("0") is not None  # and so it was used last
    cache.keep({"5": encoded(5), "6": encoded(6)})
    assert not left_half_written.exists()
    assert [number for number in "0123456" if cache.find(number)] == ["0", "3", "4", "5", "6"]


@pytest.mark.parametrize("most", [4096, 5])
def test_parallel_processes_read_complete_files_only(
    tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(vector_cache, "MOST", most)
    keys = [str(number) for number in range(20)]

    def use(_: int) -> bool:
        cache = VectorCache(tmp_path)
        right = True
        for number, key in enumerate(keys):
            cache.keep({key: encoded(number)})
            right &= all(
                found is None or same(found, encoded(n))
                for n, found in enumerate(map(cache.find, keys))
            )
        return right

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(8)))
    assert not caplog.records
    there = sum(same(VectorCache(tmp_path).find(key), encoded(n)) for n, key in enumerate(keys))
    assert there == len(list(tmp_path.iterdir()))
    # Two that make room at once may take one more than there had to be.
    assert there == len(keys) if most > len(keys) else 0 < there <= most


def test_a_folder_that_can_not_be_made_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    cache = VectorCache(tmp_path / "file" / "cache")
    for _ in range(3):
        cache.keep({"red car": encoded(1)})
        assert cache.find("red car") is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"prompts can't be kept in {tmp_path}/file/cache: Not a directory; they will be encoded "
        "anew at each start"
    )


def test_a_full_disk_is_logged_once_and_leaves_no_file(
    cache: VectorCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache.keep({"dog": encoded(2)})
    make = tempfile.mkstemp

    def on_a_full_disk(**where: Any) -> tuple[int, str]:
        descriptor, name = make(**where)
        os.close(descriptor)
        return os.open("/dev/full", os.O_WRONLY), name

    monkeypatch.setattr(tempfile, "mkstemp", on_a_full_disk)
    for _ in range(2):
        cache.keep({"red car": encoded(1)})
    assert [record.getMessage() for record in caplog.records] == [
        f"prompts can't be kept in {cache.folder}: {os.strerror(errno.ENOSPC)}; they will be "
        "encoded anew at each start"
    ]
    assert len(list(cache.folder.iterdir())) == 1
    assert same(cache.find("dog"), encoded(2))
