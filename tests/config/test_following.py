"""Which changes of a file are taken for saves, and when saves can't be seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streamwatch.config.following import EMPTY_STILL_SECONDS, STILL_SECONDS, SavedFile

MUCH_LATER = 100.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("one")
    return path


def in_place(file: Path) -> None:
    file.write_text("two")


def in_place_with_its_old_time(file: Path) -> None:
    before = file.stat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced_with_its_old_time(file: Path) -> None:
    before = file.stat()
    new = file.with_suffix(".new")
    new.write_text("two")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(file)


@pytest.mark.parametrize("save", [in_place, in_place_with_its_old_time, replaced_with_its_old_time])
def test_a_save_of_the_same_size_is_seen_once(file: Path, save: Callable[[Path], None]) -> None:
    following = SavedFile(file)
    assert not following.saved(0)
    save(file)
    assert not following.saved(1)
    assert not following.saved(1 + STILL_SECONDS / 2)
    assert following.saved(1 + STILL_SECONDS)
    assert not following.saved(MUCH_LATER)
    assert not following.cut_off


def test_an_empty_file_may_be_about_to_be_written(file: Path) -> None:
    following = SavedFile(file)
    file.write_text("")
    assert not following.saved(0)
    assert not following.saved(2 * STILL_SECONDS)
    assert following.saved(EMPTY_STILL_SECONDS)


def test_what_is_looked_at_again_counts_as_saved_once_it_is_complete(file: Path) -> None:
    """Of a file that was saved before it was followed, or is being written now."""
    following = SavedFile(file)
    assert not following.saved(1.0)
    following.look_again()
    assert following.saved(1.1)
    assert not following.saved(1.2)
    file.write_text("")
    following.look_again()
    assert not following.saved(2.0)
    file.write_text("all of it")
    assert not following.saved(2.05)
    assert following.saved(2.05 + STILL_SECONDS)
    assert not following.saved(9.0)


def test_a_file_that_is_gone_is_not_cut_off(file: Path) -> None:
    following = SavedFile(file)
    file.unlink()
    assert not following.saved(0)
    assert following.saved(MUCH_LATER)
    assert not following.cut_off


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([1, 0], [False, True]),
        ([1, 0, 1], [False, True, False]),
        ([2, 1], [False, False]),
        ([0, 0], [False, False]),
    ],
    ids=["replaced outside", "and mounted again", "another link", "not counted"],
)
def test_a_file_that_has_lost_its_name_is_cut_off(
    file: Path, monkeypatch: pytest.MonkeyPatch, names: list[int], expected: list[bool]
) -> None:
    real, now = file.stat(), names[0]
    monkeypatch.setattr(os, "stat", lambda _: os.stat_result((*real[:3], now, *real[4:])))
    following = SavedFile(file)
    said = [following.cut_off]
    for at, now in enumerate(names[1:]):  # noqa: B007 - the file is made to say so
        following.saved(MUCH_LATER * at)
        following.saved(MUCH_LATER * at + 1)
        said.append(following.cut_off)
    monkeypatch.undo()
    assert said == expected


MOUNTED_ALONE = """
import os, subprocess, sys
from pathlib import Path
from streamwatch.config.following import SavedFile

outside, inside = Path(sys.argv[1]), Path(sys.argv[2])
subprocess.run(["mount", "--bind", outside, inside], check=True)
following = SavedFile(inside)
outside.write_text("in place")
following.saved(0)
print(following.saved(1), following.cut_off, inside.read_text())
outside.with_suffix(".new").write_text("replaced")
outside.with_suffix(".new").replace(outside)
following.saved(2)
print(following.cut_off)
following.saved(3)
print(following.cut_off, inside.read_text())
"""


def test_a_file_that_is_mounted_alone_and_replaced_outside_is_cut_off(
    file: Path, tmp_path: Path
) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"]).returncode:
        pytest.skip("unshare -rm is missing or not allowed here")
    inside = tmp_path / "mounted.yaml"
    inside.touch()
    said = subprocess.run(
        [unshare, "-rm", sys.executable, "-c", MOUNTED_ALONE, file, inside],
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.splitlines() == ["True False in place", "False", "True in place"]
