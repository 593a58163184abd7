"""Pictures come upright and with square pixels, whatever the stream says of itself."""

from __future__ import annotations

import struct
import threading
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import cv2
import numpy as np
import pytest

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.records import Image
from streamwatch.source import Clock, source_for
from streamwatch.source.upright import CLOCKWISE, orientation, square_size
from tests.source.pictures import image_of

CORNERS = ((0, 0, 250), (0, 250, 0), (250, 0, 0), (250, 250, 250))
"""BGR of the top left, top right, bottom left and bottom right quarter."""


def picture(width: int = 160, height: int = 96) -> Image:
    image = np.zeros((height, width, 3), np.uint8)
    halves = (slice(0, height // 2), slice(height // 2, None))
    sides = (slice(0, width // 2), slice(width // 2, None))
    for index, color in enumerate(CORNERS):
        image[halves[index // 2], sides[index % 2]] = color
    return image


def corners(image: Image) -> tuple[str, ...]:
    """Names of the colours in the four quarters, in the order of `CORNERS`."""
    height, width = image.shape[:2]
    names = ("red", "green", "blue", "white")

    def name(x: float, y: float) -> str:
        color = image[int(y * height), int(x * width)].astype(int)
        return names[int(np.argmin([np.abs(color - corner).sum() for corner in CORNERS]))]

    return tuple(name(x, y) for y in (0.25, 0.75) for x in (0.25, 0.75))


UPRIGHT = ("red", "green", "blue", "white")


def write(path: Path, image: Image, *, clockwise: int = 0, aspect: Fraction | None = None) -> Path:
    """A clip of `image`, with the note to turn it `clockwise` and to stretch its pixels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p"
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if clockwise:
            stream.set_display_rotation(-clockwise)
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def first(path: Path, **settings: Any) -> tuple[tuple[int, int], Image]:
    """The size that the source says, and its first picture."""
    source = source_for(CameraSettings(url=str(path), pace=False, **settings), Clock())
    with closing(source.frames(threading.Event())) as frames:
        decoded = next(frames)
        return decoded.size, image_of(decoded)


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_a_picture_is_turned_as_the_file_says(tmp_path: Path, clockwise: int) -> None:
    stored = np.rot90(picture(), clockwise // 90)  # counter-clockwise
    size, image = first(write(tmp_path / "clip.mp4", stored, clockwise=clockwise))
    assert size == (160, 96)
    assert image.shape == (96, 160, 3)
    assert image.flags.c_contiguous
    assert corners(image) == UPRIGHT


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_the_setting_goes_before_what_the_file_says(tmp_path: Path, clockwise: int) -> None:
    stored = np.rot90(picture(), clockwise // 90)
    clip = write(tmp_path / "clip.mp4", stored, clockwise=90)
    assert corners(first(clip, rotate=clockwise)[1]) == UPRIGHT


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), ("red", "green", "blue", "white")),
        ((-1, 0, 0, 1), ("green", "red", "white", "blue")),  # mirrored
        ((1, 0, 0, -1), ("blue", "white", "red", "green")),  # upside down, mirrored
        ((-1, 0, 0, -1), ("white", "blue", "green", "red")),  # half a turn
        ((0, 1, -1, 0), ("blue", "red", "white", "green")),  # 90° clockwise
        ((0, -1, 1, 0), ("green", "white", "red", "blue")),  # 90° counter-clockwise
        ((0, 1, 1, 0), ("red", "blue", "green", "white")),  # transposed
        ((0, -1, -1, 0), ("white", "green", "blue", "red")),
        ((0.1, 0.995, -0.995, 0.1), ("blue", "red", "white", "green")),  # to the nearest 90°
    ],
)
def test_all_display_matrices(matrix: tuple[float, ...], expected: tuple[str, ...]) -> None:
    a, b, c, d = (round(entry * 65_536) for entry in matrix)
    stored = struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    frame = SimpleNamespace(side_data={"DISPLAYMATRIX": stored})
    turned = orientation(cast(av.VideoFrame, frame))
    image = turned.applied(picture())
    assert corners(image) == expected
    assert turned.size(160, 96) == (image.shape[1], image.shape[0])


def test_the_degrees_of_the_setting_are_clockwise() -> None:
    turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
    image = np.random.default_rng(1).integers(0, 255, (6, 10, 3), np.uint8)
    assert CLOCKWISE[0].applied(image) is image
    for degrees, turn in turns.items():
        assert np.array_equal(CLOCKWISE[degrees].applied(image), cv2.rotate(image, turn))


@pytest.mark.parametrize(
    ("aspect", "expected"),
    [
        (None, (704, 576)),
        (Fraction(0), (704, 576)),
        (Fraction(1), (704, 576)),
        (Fraction(16, 11), (1024, 576)),
        (Fraction(2), (1408, 576)),
        (Fraction(1, 2), (704, 1152)),
        (Fraction(1279, 1280), (704, 576)),
        (Fraction(100), (704, 576)),
    ],
)
def test_sizes_in_square_pixels(aspect: Fraction | None, expected: tuple[int, int]) -> None:
    assert square_size(704, 576, aspect) == expected


@pytest.mark.parametrize("kind", ["mp4", "ts"])
@pytest.mark.parametrize(
    ("aspect", "stored"), [(Fraction(2), (80, 96)), (Fraction(1, 2), (160, 48))]
)
def test_an_anamorphic_picture_gets_square_pixels(
    tmp_path: Path, kind: str, aspect: Fraction, stored: tuple[int, int]
) -> None:
    """The container says so (mp4), or the codec alone (MPEG-TS)."""
    clip = write(tmp_path / f"clip.{kind}", picture(*stored), aspect=aspect)
    size, image = first(clip)
    assert size == (160, 96)
    assert image.shape == (96, 160, 3)
    assert corners(image) == UPRIGHT


def test_an_anamorphic_picture_that_is_turned(tmp_path: Path) -> None:
    stored = np.rot90(picture(160, 48))
    clip = write(tmp_path / "clip.mp4", stored, clockwise=90, aspect=Fraction(2))
    size, image = first(clip)
    assert size == (160, 96)
    assert corners(image) == UPRIGHT
