"""What every source promises, tested with each kind of source."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.source import Clock, Decoded, Source, source_for
from streamwatch.source.decoding import Input
from streamwatch.source.live import LiveSource
from tests.parts.rtsp import RtspServer
from tests.source import peers
from tests.source.pictures import image_of

pytestmark = pytest.mark.slow(seconds=30)

PICTURES = 20


@dataclass(frozen=True)
class Case:
    make: Callable[[], Source]
    size: tuple[int, int]


@pytest.fixture(
    params=[
        *("file", "file as fast as possible", "file over http", "rtsp", "rtsp over udp", "rtsps"),
        *("http", "pictures", "hls", "device"),
    ]
)
def case(request: pytest.FixtureRequest) -> Case:
    def configured(
        url: str, *, pace: bool = True, transport: Literal["tcp", "udp"] = "tcp"
    ) -> Callable[[], Source]:
        settings = CameraSettings(url=url, loop=True, pace=pace, transport=transport, fps=15)
        return lambda: source_for(settings, Clock())

    match request.param:
        case "file" | "file as fast as possible":
            clip: Path = request.getfixturevalue("clip")
            return Case(configured(str(clip), pace=request.param == "file"), (160, 120))
        case "rtsp":
            server: RtspServer = request.getfixturevalue("ball")
            return Case(configured(server.url), server.size)
        case "rtsp over udp":
            server = request.getfixturevalue("ball")
            return Case(configured(server.url, transport="udp"), server.size)
        case "rtsps":
            server = request.getfixturevalue("encrypted_ball")
            return Case(configured(server.url), server.size)
        case "file over http":
            folder = request.getfixturevalue("web_folder")
            return Case(configured(f"{folder}/clip.mp4"), (160, 120))
        case "pictures":
            return Case(configured(request.getfixturevalue("web_pictures")), (160, 120))
        case "hls":
            return Case(configured(request.getfixturevalue("web_hls")), (160, 120))
        case "http":
            return Case(configured(f"{request.getfixturevalue('web_camera')}/stream"), peers.SIZE)
    # FFmpeg's test picture stands in for a camera at /dev/video0: both are libavdevice inputs.
    pattern = Input("testsrc2=size=320x240:rate=15,realtime", "device", format="lavfi")
    return Case(lambda: LiveSource(pattern, times="arrival", clock=Clock()), (320, 240))


def read(source: Source, count: int) -> list[Decoded]:
    with closing(source.frames(threading.Event())) as frames:
        return list(islice(frames, count))


def test_times_rise_strictly_and_start_now(case: Case) -> None:
    began = datetime.now(UTC)
    frames = read(case.make(), PICTURES)
    assert len(frames) == PICTURES
    pairs = list(pairwise(frames))
    assert all(a.seconds < b.seconds for a, b in pairs)
    assert all(a.captured_at < b.captured_at for a, b in pairs)
    assert abs(frames[0].captured_at - began) < timedelta(seconds=10)
    assert frames[0].captured_at.utcoffset() == timedelta(0)


def test_pictures_become_bgr_images(case: Case) -> None:
    for picture in read(case.make(), 3):
        image = image_of(picture)
        assert picture.size == case.size
        assert image.shape == (case.size[1], case.size[0], 3)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous


def test_times_keep_rising_when_a_source_is_reopened(case: Case) -> None:
    source = case.make()
    first, second = read(source, 2), read(source, 2)
    assert first[-1].seconds < second[0].seconds
    assert first[-1].captured_at < second[0].captured_at


def test_a_source_stops_soon(case: Case) -> None:
    stop = threading.Event()
    with closing(case.make().frames(stop)) as frames:
        assert len(list(islice(frames, 3))) == 3
        stop.set()
        asked = time.monotonic()
        assert list(frames) == []
    assert time.monotonic() - asked < 1.5


def test_only_files_have_a_position(case: Case, request: pytest.FixtureRequest) -> None:
    is_file = "file" in request.node.callspec.params["case"]
    assert all((frame.position is not None) == is_file for frame in read(case.make(), 3))
