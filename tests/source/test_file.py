"""Files: media time, pace, loops, and broken files."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.errors import SourceError
from streamwatch.source import Decoded, source_for
from tests.source.clips import write_clip
from tests.source.fake_clock import START, FakeClock

FRAME = 1 / 15


def play(
    path: Path | str,
    clock: FakeClock | None = None,
    *,
    loop: bool = False,
    pace: bool = False,
    count: int | None = None,
) -> list[Decoded]:
    """The pictures of `path`, all or the first `count`."""
    settings = CameraSettings(url=str(path), loop=loop, pace=pace)
    source = source_for(settings, (clock or FakeClock()).clock)
    with closing(source.frames(threading.Event())) as frames:
        return list(islice(frames, count))


def test_media_time_and_position(clip: Path) -> None:
    frames = play(clip)
    assert len(frames) == 30
    expected = pytest.approx([index * FRAME for index in range(30)])
    assert [frame.seconds for frame in frames] == expected
    assert [frame.position for frame in frames] == expected
    assert frames[15].captured_at == START + timedelta(seconds=1)


def test_without_pace_a_file_is_read_without_waits(clip: Path) -> None:
    clock = FakeClock()
    play(clip, clock)
    assert clock.waits == []


def test_paced_frames_come_when_they_are_due(clip: Path) -> None:
    clock = FakeClock()
    source = source_for(CameraSettings(url=str(clip)), clock.clock)
    with closing(source.frames(threading.Event())) as frames:
        for frame in frames:
            assert clock.now == pytest.approx(frame.seconds)
    assert len(clock.waits) == 29


def test_a_paced_file_does_not_wait_for_a_slow_reader(clip: Path) -> None:
    clock = FakeClock()
    source = source_for(CameraSettings(url=str(clip)), clock.clock)
    with closing(source.frames(threading.Event())) as frames:
        for _ in frames:
            clock.now += 1.0
    assert clock.waits == []


def test_times_are_the_same_with_and_without_pace(clip: Path) -> None:
    paced, fast = play(clip, pace=True), play(clip, pace=False)
    assert [f.seconds for f in paced] == [f.seconds for f in fast]
    assert [f.captured_at for f in paced] == [f.captured_at for f in fast]


def test_in_a_loop_time_goes_on_and_the_position_restarts(clip: Path) -> None:
    frames = play(clip, loop=True, count=75)
    assert [f.seconds for f in frames] == pytest.approx([i * FRAME for i in range(75)])
    assert [f.position for f in frames] == pytest.approx([i % 30 * FRAME for i in range(75)])
    assert frames[60].captured_at == START + timedelta(seconds=4)


def test_the_bundled_clip_can_be_read() -> None:
    frames = play("bundled:street", count=3)
    assert [frame.size for frame in frames] == [(640, 360)] * 3


def damaged(clip: Path, folder: Path, damage: Callable[[bytearray], bytearray]) -> Path:
    path = folder / "damaged.mp4"
    path.write_bytes(damage(bytearray(clip.read_bytes())))
    return path


@pytest.mark.parametrize("seed", range(4))
def test_a_corrupt_part_is_skipped(tmp_path: Path, seed: int) -> None:
    """A tenth of the file, in its middle, is overwritten with noise."""
    clip = write_clip(tmp_path / "clip.mp4", frames=150)

    def overwrite_the_middle(content: bytearray) -> bytearray:
        middle, length = len(content) // 2, len(content) // 10
        content[middle : middle + length] = np.random.default_rng(seed).bytes(length)
        return content

    source = source_for(
        CameraSettings(url=str(damaged(clip, tmp_path, overwrite_the_middle)), pace=False),
        FakeClock().clock,
    )
    with closing(source.frames(threading.Event())) as frames:
        played = list(frames)
    assert 100 <= len(played) <= 150
    assert all(a.seconds < b.seconds for a, b in pairwise(played))
    assert played[-1].position == pytest.approx(149 * FRAME, abs=0.5)
    assert source.corrupt > 0


def test_a_truncated_file_plays_to_the_cut(clip: Path, tmp_path: Path) -> None:
    """Matroska needs no index at its end, so the rest can be played."""
    whole = write_clip(tmp_path / "whole.mkv", frames=60)
    content = whole.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(content[: len(content) * 2 // 3])
    assert 20 <= len(play(cut)) < 60


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.mp4", None, "this is not a video, or a broken one"),
        ("empty.mp4", b"", "this is not a video, or a broken one"),
        ("notes.mp4", b"milk, bread, butter\n" * 50, "this is not a video, or a broken one"),
    ],
)
def test_a_file_that_is_no_video_gives_one_clear_error(
    clip: Path, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(clip.read_bytes()[:2000] if content is None else content)
    with pytest.raises(SourceError) as raised:
        play(path)
    assert str(raised.value) == f"{path}: {message}"


def test_a_missing_file_and_a_folder_give_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.mp4: no such file or device$"):
        play(tmp_path / "gone.mp4")
    with pytest.raises(SourceError, match=r": this is a folder$"):
        play(tmp_path)


def test_a_pipe_or_device_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(SourceError, match=r"pipe\.mp4: this is a pipe, not a regular file$"):
        play(tmp_path / "pipe.mp4")
    (tmp_path / "zeros.mp4").symlink_to("/dev/zero")
    with pytest.raises(SourceError, match=r"zeros\.mp4: this is a device, not a regular file$"):
        play(tmp_path / "zeros.mp4")


def test_a_sound_track_is_ignored(tmp_path: Path) -> None:
    frames = play(write_clip(tmp_path / "talkie.mp4", sound=True))
    assert [frame.seconds for frame in frames] == pytest.approx([i * FRAME for i in range(30)])


def test_a_sound_file_gives_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(
        b"RIFF\x24\x20\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
        b"\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x20\x00\x00" + bytes(8192)
    )
    with pytest.raises(SourceError, match=r"sound\.wav: no video came from it$"):
        play(path)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("/dev/video63", "/dev/video63: no such file or device"),
        ("/dev/null", "/dev/null: this is not a camera"),
    ],
)
def test_a_device_that_is_no_camera_gives_a_clear_error(device: str, message: str) -> None:
    with pytest.raises(SourceError) as raised:
        play(device)
    assert str(raised.value) == message
