"""A graph that is kept on disk comes back as it was, or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamwatch.detector.compiled import graph_file
from streamwatch.detector.compiled.graph_file import MOST, ConvertedGraph, GraphFolder, parse

HALF_WRITTEN = ".4f1c.part"
"""What a crash leaves of a graph that was being written."""


def made(seed: int, size: int = 1000) -> ConvertedGraph:
    """A graph of this many bytes of weights, all from the seed."""
    numbers = np.random.default_rng(seed)
    xml = f"<net name='{'x' * int(numbers.integers(100))}'/>".encode()
    return ConvertedGraph(xml, numbers.integers(0, 256, size, np.uint8), "f32", "bf16")


def same(one: ConvertedGraph | None, other: ConvertedGraph) -> bool:
    return (
        one is not None
        and one.xml == other.xml
        and np.array_equal(one.weights, other.weights)
        and (one.fastest, one.half) == (other.fastest, other.half)
    )


def whole(graph: ConvertedGraph) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(graph.parts()), np.uint8)


@pytest.fixture
def kept(tmp_path: Path) -> GraphFolder:
    return GraphFolder(tmp_path / "deep" / "compiled")


def only_file(kept: GraphFolder) -> Path:
    (file,) = kept.folder.iterdir()
    return file


def test_a_graph_is_found_as_it_was_kept(kept: GraphFolder) -> None:
    assert kept.find("one") is None
    kept.keep("one", made(1))
    kept.keep("two", made(2))
    for again in (kept, GraphFolder(kept.folder)):
        assert same(again.find("one"), made(1))
        assert same(again.find("two"), made(2))
        assert again.find("three") is None
    assert len(list(kept.folder.iterdir())) == 2


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65])
def test_weights_of_any_size_lie_where_openvino_reads_them_fastest(
    kept: GraphFolder, size: int
) -> None:
    kept.keep("one", made(size, size))
    found = kept.find("one")
    assert same(found, made(size, size))
    assert found is not None
    if size:
        assert found.weights.ctypes.data % 64 == 0


def test_a_cpu_without_16_bit_numbers_is_told_again(kept: GraphFolder) -> None:
    graph = ConvertedGraph(b"<net/>", np.zeros(4, np.uint8), "f32", None)
    kept.keep("one", graph)
    assert same(kept.find("one"), graph)


def test_what_is_written_into_the_weights_leaves_the_file_alone(kept: GraphFolder) -> None:
    """OpenVINO takes only weights that could be written to."""
    kept.keep("one", made(1))
    before = only_file(kept).read_bytes()
    found = kept.find("one")
    assert found is not None
    found.weights[:] = 0
    assert only_file(kept).read_bytes() == before
    assert same(kept.find("one"), made(1))


def test_a_graph_in_use_outlives_its_file(kept: GraphFolder) -> None:
    kept.keep("one", made(1))
    found = kept.find("one")
    kept.keep("one", made(2))
    assert same(found, made(1))
    only_file(kept).unlink()
    assert same(found, made(1))


def test_files_are_readable_by_the_owner_only(kept: GraphFolder) -> None:
    before = os.umask(0)
    try:
        kept.keep("one", made(1))
    finally:
        os.umask(before)
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    assert only_file(kept).stat().st_mode & 0o777 == 0o600


def test_a_spoiled_file_is_told_and_made_anew(
    kept: GraphFolder, caplog: pytest.LogCaptureFixture
) -> None:
    kept.keep("one", made(1))
    file = only_file(kept)
    content = file.read_bytes()
    # In the checksum, the sizes, the description, the XML, what fills up to the weights, in those.
    flipped = [
        content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        for at in (0, 31, 32, 40, 50, 90, content.index(b"<net"), -1001, -1000, -500)
        for at in [at % len(content)]
    ]
    cut = [content[:size] for size in (1, 31, 32, 40, 100, len(content) - 1)]
    for spoiled in (*cut, *flipped, content + b"\0", b"{}", bytes(len(content))):
        caplog.clear()
        file.write_bytes(spoiled)
        assert kept.find("one") is None
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage() == f"{file} is damaged or not ours; it is made anew"
    kept.keep("one", made(1))
    assert same(kept.find("one"), made(1))
    assert only_file(kept) == file


def test_an_empty_file_counts_as_not_there(kept: GraphFolder) -> None:
    kept.keep("one", made(1))
    only_file(kept).write_bytes(b"")
    assert kept.find("one") is None
    kept.keep("one", made(1))
    assert same(kept.find("one"), made(1))


def test_a_pipe_in_its_place_is_never_opened(kept: GraphFolder) -> None:
    kept.keep("one", made(1))
    file = only_file(kept)
    file.unlink()
    os.mkfifo(file)
    assert kept.find("one") is None
    kept.keep("one", made(1))
    assert same(kept.find("one"), made(1))


def test_a_folder_in_its_place_is_told_and_left(
    kept: GraphFolder, caplog: pytest.LogCaptureFixture
) -> None:
    kept.keep("one", made(1))
    file = only_file(kept)
    file.unlink()
    (file / "mine").mkdir(parents=True)
    assert kept.find("one") is None
    kept.keep("one", made(1))
    assert kept.find("one") is None
    assert only_file(kept) == file
    assert [record.getMessage() for record in caplog.records] == [
        f"the compiled detector can't be kept in {kept.folder}: Is a directory; it will be made "
        "anew at each start"
    ]


def test_the_file_of_another_key_is_not_used(
    kept: GraphFolder, caplog: pytest.LogCaptureFixture
) -> None:
    kept.keep("one", made(1))
    file = only_file(kept)
    kept.keep("two", made(2))
    (two,) = set(kept.folder.iterdir()) - {file}
    two.replace(file)
    assert kept.find("one") is None
    assert "is damaged or not ours" in caplog.text


def test_a_whole_file_with_another_content_is_not_used(kept: GraphFolder) -> None:
    """As of a version that describes its graphs in another way."""
    kept.keep("one", made(1))
    for body in (b"", b"\0" * 100, _body(b"[]"), _body(b"{}"), _body(b"{"), _body(b"\xff")):
        only_file(kept).write_bytes(hashlib.sha256(b"one" + body).digest() + body)
        assert kept.find("one") is None


def _body(description: bytes) -> bytes:
    return len(description).to_bytes(8, "little") + bytes(8) + description + bytes(200)


# --- the limit ------------------------------------------------------------------------------------


def test_the_least_recently_used_are_deleted_first(kept: GraphFolder) -> None:
    """Finding one is using it; what a crash has left goes with the others."""
    keys = [str(number) for number in range(MOST)]
    for number, key in enumerate(keys):
        kept.keep(key, made(number))
    half_written = kept.folder / HALF_WRITTEN
    half_written.write_bytes(b"half")
    for second, file in enumerate([half_written, *map(kept._path, keys)]):
        os.utime(file, (second, second))
    assert kept.find("0") is not None
    kept.keep("new", made(9))
    assert not half_written.exists()
    left = [key for key in (*keys, "new") if kept._path(key).exists()]
    assert left == ["0", *keys[2:], "new"]
    assert same(kept.find("0"), made(0))


def test_keeping_the_same_again_deletes_nothing(kept: GraphFolder) -> None:
    for number in range(MOST):
        kept.keep(str(number), made(number))
    for _ in range(3):
        kept.keep("0", made(0))
    assert all(same(kept.find(str(number)), made(number)) for number in range(MOST))


def test_a_folder_among_the_graphs_is_left_alone(
    kept: GraphFolder, caplog: pytest.LogCaptureFixture
) -> None:
    (kept.folder / "lost+found").mkdir(parents=True)
    os.utime(kept.folder / "lost+found", (0, 0))
    for number in range(MOST + 2):
        kept.keep(str(number), made(number))
    assert not caplog.records
    assert (kept.folder / "lost+found").is_dir()
    assert sum(path.is_file() for path in kept.folder.iterdir()) == MOST


@pytest.mark.parametrize("most", [64, 2])
def test_several_that_write_at_once_find_whole_graphs_only(
    tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(graph_file, "MOST", most)
    keys = [str(number) for number in range(6)]

    def use(_: int) -> bool:
        kept = GraphFolder(tmp_path)
        right = True
        for number, key in enumerate(keys):
            kept.keep(key, made(number, 100_000))
            right &= all(
                found is None or same(found, made(n, 100_000))
                for n, found in enumerate(map(kept.find, keys))
            )
        return right

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, range(4)))
    assert not caplog.records
    there = sum(GraphFolder(tmp_path).find(key) is not None for key in keys)
    assert there == len(list(tmp_path.iterdir()))
    assert there == len(keys) if most > len(keys) else 0 < there <= most


# --- where nothing can be written -----------------------------------------------------------------


def _not_writable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder.parent.mkdir(parents=True)
    folder.touch()
    return os.strerror(errno.EEXIST)


def _on_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    make = tempfile.mkstemp

    def full(**where: Any) -> tuple[int, str]:
        descriptor, name = make(**where)
        os.close(descriptor)
        return os.open("/dev/full", os.O_WRONLY), name

    monkeypatch.setattr(tempfile, "mkstemp", full)
    return os.strerror(errno.ENOSPC)


@pytest.mark.parametrize("spoil", [_not_writable, _on_a_full_disk])
def test_where_nothing_can_be_written_that_is_one_warning(
    kept: GraphFolder,
    spoil: Callable[[Path, pytest.MonkeyPatch], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reason = spoil(kept.folder, monkeypatch)
    kept.keep("one", made(1))
    assert kept.find("one") is None
    assert [record.getMessage() for record in caplog.records] == [
        f"the compiled detector can't be kept in {kept.folder}: {reason}; it will be made anew at "
        "each start"
    ]
    assert kept.folder.is_file() or not list(kept.folder.iterdir())


# --- reading it -----------------------------------------------------------------------------------


@given(st.binary(max_size=200))
@example(_body(b"[" * 2000))
@example(b"\xff" * 16)
def test_reading_anything_raises_a_value_error_only(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - for whatever reason
        parse(np.frombuffer(content, np.uint8))


@given(st.binary(min_size=2, max_size=60), st.integers(0, 200))
def test_reading_any_description_raises_a_value_error_only(content: bytes, xml: int) -> None:
    body = len(content).to_bytes(8, "little") + xml.to_bytes(8, "little") + content
    with pytest.raises(ValueError):  # noqa: PT011
        parse(np.frombuffer(body, np.uint8))


@given(st.binary(max_size=100), st.binary(max_size=300))
def test_what_is_sent_is_read(xml: bytes, weights: bytes) -> None:
    graph = ConvertedGraph(xml, np.frombuffer(weights, np.uint8), "f16", "f16")
    assert same(parse(whole(graph)), graph)


def test_the_description_is_plain() -> None:
    head = next(made(1).parts())
    size = int.from_bytes(head[:8], "little")
    assert json.loads(head[16 : 16 + size]) == {"fastest": "f32", "half": "bf16"}
