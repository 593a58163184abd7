"""Files are replaced atomically."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from streamwatch import files


def test_a_file_is_replaced_and_is_private(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    files.replace(target, b"one")
    files.replace(target, b"two", on_disk=True)
    assert target.read_bytes() == b"two"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_can_have_another_mode(tmp_path: Path) -> None:
    files.replace(tmp_path / "kept", b"one", mode=0o644)
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o644


def test_the_temporary_file_has_the_given_name_and_is_never_a_link(tmp_path: Path) -> None:
    target, part, elsewhere = tmp_path / "kept", tmp_path / "kept.part", tmp_path / "elsewhere"
    with files.beside(target, b"one", part=part) as new:
        assert new == part
        assert not target.exists()
    assert not part.exists()
    elsewhere.write_bytes(b"mine")
    part.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"):
        files.replace(target, b"two", part=part)
    assert elsewhere.read_bytes() == b"mine"


def test_a_failed_replacement_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "kept"
    target.write_bytes(b"one")

    def full(descriptor: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="the disk is full"):
        files.replace(target, b"two", on_disk=True)
    assert target.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [target]


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert files.read(tmp_path / "link", 100) == b"content"
    assert files.read(tmp_path / "file", 3) == b"con"
    with pytest.raises(files.NotRegular, match="A pipe, not a regular file"):
        files.read(tmp_path / "pipe", 1)
    with pytest.raises(files.NotRegular, match="A device, not a regular file"):
        files.read(Path("/dev/zero"), 1)
    with pytest.raises(IsADirectoryError):
        files.read(tmp_path, 1)
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "gone", 1)


def test_a_pipe_in_place_of_the_temporary_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "part")
    with pytest.raises(OSError, match="No such device or address"):
        files.replace(tmp_path / "kept", b"one", part=tmp_path / "part")


def test_a_file_that_becomes_a_pipe_before_it_is_opened_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(files, "demand_regular", lambda _: None)
    with pytest.raises(files.NotRegular):
        files.read(tmp_path / "pipe", 1)
