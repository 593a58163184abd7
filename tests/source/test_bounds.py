"""What a camera may send, and what becomes its own problem."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.errors import SourceError
from streamwatch.source import Clock, source_for
from streamwatch.source.bounds import unfit_size
from streamwatch.source.timing import CaptureTime
from tests.source.pictures import image_of


@pytest.mark.parametrize(
    "size", [(16, 16), (640, 360), (320, 16), (7680, 4320), (10240, 2560), (240, 4800)]
)
def test_sizes_of_real_cameras_are_analysed(size: tuple[int, int]) -> None:
    assert unfit_size(*size) is None


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((16, 2), "its pictures are 16x2 px, and 16 are needed on each side"),
        ((4096, 4), "its pictures are 4096x4 px, and 16 are needed on each side"),
        ((4096, 16), "its pictures are 4096x16 px: one side is more than 20 times the other"),
        ((16, 4096), "its pictures are 16x4096 px: one side is more than 20 times the other"),
        (
            (10000, 10000),
            "its pictures are 10000x10000 px, and 50,000,000 pixels are the most that is analysed",
        ),
    ],
)
def test_other_sizes_are_refused_with_the_bound(size: tuple[int, int], said: str) -> None:
    assert unfit_size(*size) == said


def problem_of(path: Path) -> str:
    source = source_for(CameraSettings(url=str(path), pace=False), Clock())
    with closing(source.frames(threading.Event())) as frames, pytest.raises(SourceError) as raised:
        deque(image_of(decoded) for decoded in frames)
    return str(raised.value)


def written(path: Path, sizes: list[tuple[int, int]], seconds: list[int] | None = None) -> Path:
    """One MJPEG picture of each size, as a bare stream; with `seconds` in a container, at these."""
    if seconds is None:
        content = b""
        for size in sizes:
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height = size
            encoder.pix_fmt, encoder.framerate = "yuvj420p", Fraction(5)
            encoder.time_base = Fraction(1, 5)
            picture = blank(size)
            content += b"".join(bytes(packet) for packet in encoder.encode(picture))
        path.write_bytes(content)
        return path
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height = sizes[0]
        stream.pix_fmt = "yuvj420p"
        for second in seconds:
            picture = blank(sizes[0])
            picture.pts = second
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def blank(size: tuple[int, int]) -> av.VideoFrame:
    picture = av.VideoFrame(*size, "yuvj420p")
    for plane in picture.planes:
        plane.update(bytes(plane.buffer_size))
    return picture


@pytest.mark.parametrize("size", [(4096, 4), (16, 2), (4096, 64), (10000, 10000)])
def test_a_stream_of_an_unfit_size_is_a_problem_of_its_camera(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    path = written(tmp_path / "clip.mjpeg", [size] * 3)
    assert problem_of(path) == f"{path}: {unfit_size(*size)}"


def test_a_size_that_becomes_unfit_is_found_where_it_changes(tmp_path: Path) -> None:
    path = written(tmp_path / "clip.mjpeg", [(320, 240)] * 3 + [(4096, 64)])
    assert problem_of(path) == f"{path}: {unfit_size(4096, 64)}"


def test_a_jump_of_three_thousand_years_is_a_problem_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "clip.mkv", [(320, 240)], [0, 1, 100_000_000_000])
    assert problem_of(path) == f"{path}: its time stamps jump ahead by 1,157,407 days"


def test_time_stamps_without_precision_count_as_missing() -> None:
    times = CaptureTime()
    assert times.estimate(1e18, 5.0) == 5.0
    assert times.estimate(1e18, 6.0) == 6.0
    assert times.estimate(0.1, 7.0) == 7.0
