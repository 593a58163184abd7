"""Clips of cameras whose video can't be copied, or must not be."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import av
import numpy as np
import pytest

from streamwatch.clips import recorder as recorder_module
from streamwatch.clips.encoding import FPS, MOST_WIDTH, QUEUE
from streamwatch.clips.recorder import MASKED
from streamwatch.clips.recording import LATE
from streamwatch.clips.ring import CLOSED
from streamwatch.config import CameraSettings
from streamwatch.pixels import Pixels
from streamwatch.records import Clip, Image, Picture
from streamwatch.source.clock import Clock
from streamwatch.source.mask import Mask
from streamwatch.source.protocol import Decoded
from tests.clips.test_recorder import Street, Watching, at, changed, left, seen
from tests.parts import STREET_CLIP
from tests.parts.waiting import wait_until
from tests.publisher.events import new_event

LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "TURN_SECONDS", 0.02)


@dataclass
class Drawn:
    image: Image

    def checksum(self) -> int:
        return 0

    def masked(self, mask: Mask) -> Picture:
        return Pixels(mask.applied(self.image))


class Camera:
    """Gives grey pictures, each a shade brighter than the one before, of a camera with a mask."""

    def __init__(self, folder: Path, size: tuple[int, int] = (320, 180)) -> None:
        self.watching = Watching(folder, encode=True)
        self.watching.config = changed(self.watching.config, "cameras", "porch", mask=(LEFT_HALF,))
        self.watching.recorder.change(self.watching.config)
        self.film = self.watching.recorder._feed("porch").film
        self.size = size

    def give(self, first: float, last: float, fps: float = FPS) -> None:
        for number in range(round((last - first) * fps)):
            seconds = first + number / fps
            image = np.full((self.size[1], self.size[0], 3), 50 + 5 * int(seconds), np.uint8)
            decoded = Decoded(at(seconds), seconds, None, self.size, "mjpeg", Drawn(image))
            self.film.take(decoded)
            self.film.encode()


def shades(clip: Clip) -> list[tuple[float, int, int]]:
    """When each picture was taken, in seconds, and how bright it is left and right."""
    assert clip.path is not None
    assert clip.started_at is not None
    began = (clip.started_at - at(0)).total_seconds()
    with av.open(str(clip.path)) as container:
        return [
            (round(began + (frame.time or 0), 2), int(grey[:, 10].mean()), int(grey[:, -10].mean()))
            for frame in container.decode(video=0)
            for grey in [frame.to_ndarray(format="gray")]
        ]


def test_what_a_mask_hides_is_in_no_clip(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    watching = camera.watching
    street = Street(watching.recorder)
    street.play(13)
    assert watching.recorder._feed("porch").copied.bytes == 0, "nothing is copied"
    with watching.running() as recorder:
        camera.give(0, 13)
        new = recorder.take(seen(12, 12.8))
        camera.give(13, 14)
        recorder.take(left(new, 13.5))
        camera.give(14, 18)
        (clip,) = watching.wait_for_clips(1)
    assert (clip.complete, clip.codec) == (True, "h264")
    shown = shades(clip)
    assert 7 <= shown[0][0] <= 9, "the key frame before"
    assert 15.4 <= shown[-1][0] <= 15.6
    for seconds, hidden, seen_there in shown:
        assert hidden <= 3
        assert abs(seen_there - (50 + 5 * int(seconds))) <= 3
    assert len(shown) == round((shown[-1][0] - shown[0][0]) * FPS) + 1


def test_of_a_fast_camera_ten_pictures_a_second_are_encoded(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    with camera.watching.running() as recorder:
        camera.give(0, 8, fps=30)
        new = recorder.take(seen(7, 7.5))
        recorder.take(left(new, 7.5))
        camera.give(8, 12, fps=30)
        (clip,) = camera.watching.wait_for_clips(1)
    times = [seconds for seconds, _, _ in shades(clip)]
    assert {round(b - a, 2) for a, b in itertools.pairwise(times)} == {0.1}


def test_pictures_that_come_seldom_are_a_clip_too(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    with camera.watching.running() as recorder:
        camera.give(0, 16, fps=0.5)
        new = recorder.take(seen(8, 14))
        recorder.take(left(new, 14))
        camera.give(16, 22, fps=0.5)
        (clip,) = camera.watching.wait_for_clips(1)
    assert clip.complete
    assert [seconds for seconds, _, _ in shades(clip)] == [4, 6, 8, 10, 12, 14, 16]


def test_large_pictures_are_scaled_and_odd_ones_made_even(tmp_path: Path) -> None:
    camera = Camera(tmp_path, size=(2561, 1441))
    with camera.watching.running() as recorder:
        camera.give(0, 5, fps=2)
        new = recorder.take(seen(4, 4.5))
        recorder.take(left(new, 4.5))
        camera.give(5, 9, fps=2)
        (clip,) = camera.watching.wait_for_clips(1)
    assert clip.path is not None
    with av.open(str(clip.path)) as container:
        (video,) = container.streams.video
        assert (video.width, video.height) == (MOST_WIDTH, 720)


def test_another_size_or_an_earlier_time_begins_another_clip(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    with camera.watching.running() as recorder:
        camera.give(0, 8)
        recorder.take(seen(6, 7.5))
        camera.size = (640, 360)
        camera.give(8, 13)
        recorder.take(seen(12, 12.5))
        camera.give(3, 4)
        clips = camera.watching.wait_for_clips(2)
    assert [clip.reason for clip in clips] == [CLOSED, CLOSED]
    assert max(seconds for seconds, _, _ in shades(clips[0])) < 8


def test_a_mask_that_is_drawn_ends_the_clips_without_it(tmp_path: Path) -> None:
    watching = Watching(tmp_path, encode=True)
    street = Street(watching.recorder)
    with watching.running() as recorder:
        street.play(13)
        new = recorder.take(seen(12, 12.8))
        recorder.change(changed(watching.config, "cameras", "porch", mask=(LEFT_HALF,)))
        street.play(20)
        (clip,) = watching.wait_for_clips(1)
        assert (clip.id, clip.reason) == (new.id, MASKED)
        assert max(seconds for seconds in _times(clip)) <= 13.5
        wait_until(lambda: recorder._memory.bytes == 0, 10)


def _times(clip: Clip) -> list[float]:
    assert clip.path is not None
    assert clip.started_at is not None
    began = (clip.started_at - at(0)).total_seconds()
    with av.open(str(clip.path)) as container:
        return [began + (frame.time or 0) for frame in container.decode(video=0)]


def test_of_a_camera_that_is_too_fast_the_oldest_pictures_go(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    for number in range(20):
        image = np.zeros((64, 64, 3), np.uint8)
        camera.film.take(Decoded(at(number), number, None, (64, 64), "mjpeg", Drawn(image)))
    assert len(camera.film._waiting) == QUEUE
    assert camera.film._waiting[-1].captured_at == at(19)


def test_what_can_not_be_copied_is_encoded_while_it_plays(tmp_path: Path) -> None:
    path = tmp_path / "pictures.avi"
    with av.open(str(STREET_CLIP)) as clip, av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=15)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuvj420p"
        for _, frame in zip(range(90), clip.decode(video=0), strict=False):
            container.mux(stream.encode(frame.reformat(format="yuvj420p")))
        container.mux(stream.encode(None))
    watching = Watching(tmp_path, encode=True, before="1s", after="0s")
    settings = CameraSettings(url=str(path), loop=True)
    source = watching.recorder.source_of("porch")(settings, Clock())
    stop = threading.Event()
    new = None
    with watching.running() as recorder, closing(source.frames(stop)) as frames:
        began = time.monotonic()
        for seen_now in frames:
            if new is None and time.monotonic() - began > 3:
                started = seen_now.captured_at - timedelta(seconds=1)
                new = recorder.take(new_event(started_at=started, captured_at=seen_now.captured_at))
                recorder.take(replace(new, type="end", ended_at=seen_now.captured_at))
            if watching.clips or time.monotonic() - began > 20:
                break
    assert (watching.complaints, watching.refused) == ([], [])
    assert watching.clips[0].reason in (None, LATE)
    assert watching.clips[0].codec == "h264"
