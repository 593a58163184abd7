"""When a camera is awake: after a start, after motion, and when other things are looked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest

from streamwatch.geometry import Box, Polygon
from streamwatch.pixels import Pixels
from streamwatch.records import Image, Luma
from streamwatch.scheduler.gate import AFTER_MOTION_SECONDS, AFTER_START_SECONDS, Areas, Gate

FPS = 5.0
EVERYWHERE = Areas(None, (), ())
SIZE = 128, 72
LEFT: Polygon = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


class Camera:
    """A gate before a grey wall, and boxes on it."""

    def __init__(self, areas: Areas | None = EVERYWHERE) -> None:
        self.gate = Gate(areas)
        self.seconds = 100.0
        self.size = SIZE
        self.converted = 0
        self._random = np.random.default_rng(5)

    def run(self, seconds: float, *boxes: tuple[int, int, int, int]) -> list[bool]:
        """Whether each frame of this time was still."""
        found = []
        for _ in range(round(seconds * FPS)):
            found.append(self.gate.is_still(Counted(self._image(boxes), self), self.seconds))
            self.seconds += 1 / FPS
        return found

    def fall_asleep(self) -> None:
        self.run(AFTER_START_SECONDS + 10)
        assert self.run(1) == [True] * 5

    def _image(self, boxes: Iterable[tuple[int, int, int, int]]) -> Image:
        width, height = self.size
        grey = self._random.normal(120, 1, (height, width, 1))
        for x, y, w, h in boxes:
            grey[y : y + h, x : x + w] -= 90
        return np.repeat(grey.astype(np.uint8), 3, axis=2)


@dataclass(frozen=True, eq=False)
class Counted(Pixels):
    """Counts its conversions."""

    camera: Camera

    def luma(self, size: tuple[int, int]) -> Luma:
        self.camera.converted += 1
        return Pixels.luma(self, size)


def test_it_is_awake_for_a_minute_and_then_sleeps() -> None:
    camera = Camera()
    assert not any(camera.run(AFTER_START_SECONDS))
    assert all(camera.run(60)[1:])


def test_what_comes_wakes_it_and_it_sleeps_again_when_that_stands() -> None:
    camera = Camera()
    camera.fall_asleep()
    came = camera.run(60, (40, 24, 16, 32))
    assert not any(came[1 : round(AFTER_MOTION_SECONDS * FPS)])
    assert all(came[-150:])
    went = camera.run(60)
    assert not any(went[1 : round(AFTER_MOTION_SECONDS * FPS)])
    assert all(went[-150:])


@pytest.mark.parametrize(
    "areas",
    [
        Areas((0.5, 0.0, 1.0, 1.0), (), ()),
        Areas(None, (LEFT,), ()),
        Areas(None, (), (LEFT,)),
    ],
    ids=["crop", "mask", "ignore"],
)
def test_nothing_wakes_it_where_nothing_counts(areas: Areas) -> None:
    camera = Camera(areas)
    camera.fall_asleep()
    for x in range(4, 48, 2):
        assert all(camera.run(0.2, (x, 24, 8, 24)))
    assert not all(camera.run(2, (80, 24, 8, 24)))


def test_other_areas_hold_from_the_next_frame_on() -> None:
    camera = Camera()
    camera.fall_asleep()
    camera.gate.change(Areas(None, (), (LEFT,)))
    assert all(camera.run(2, (16, 24, 8, 24)))
    camera.gate.change(EVERYWHERE)
    camera.run(30)
    assert not all(camera.run(2, (16, 24, 8, 24)))


def test_other_words_wake_it_for_a_minute() -> None:
    camera = Camera()
    camera.fall_asleep()
    camera.gate.wake()
    assert not any(camera.run(AFTER_START_SECONDS))
    assert all(camera.run(5)[1:])


def test_a_reconnect_wakes_it_for_a_minute() -> None:
    camera = Camera()
    camera.fall_asleep()
    camera.gate.begin()
    assert not any(camera.run(AFTER_START_SECONDS))
    assert all(camera.run(10)[1:])


def test_another_size_wakes_it_for_a_minute() -> None:
    camera = Camera()
    camera.fall_asleep()
    camera.size = 256, 144
    assert not any(camera.run(AFTER_START_SECONDS))
    assert all(camera.run(10)[1:])


def test_switched_off_it_is_always_awake_and_converts_nothing() -> None:
    camera = Camera(None)
    assert not any(camera.run(90))
    assert camera.converted == 0
    camera.gate.change(EVERYWHERE)
    camera.fall_asleep()
    camera.gate.change(None)
    assert not any(camera.run(2))


def test_it_says_which_part_never_calms_down() -> None:
    camera = Camera()
    for number in range(900):
        assert camera.gate.restless is None or number > 600
        x = 8 + 8 * (number % 2)
        camera.run(1, (x, 8, 6, 12))
    assert not any(camera.run(5, (8, 8, 6, 12)))
    assert camera.gate.moving
    part = camera.gate.restless
    assert part is not None
    camera.gate.change(None)
    assert camera.gate.restless is None
    camera.gate.change(EVERYWHERE)
    assert within(part, (0.0, 0.0, 0.4, 0.5))
    camera.run(120)
    assert not camera.gate.moving
    assert camera.gate.restless is None


def within(part: Box, other: Box) -> bool:
    return (
        part[0] >= other[0] and part[1] >= other[1] and part[2] <= other[2] and part[3] <= other[3]
    )


def test_a_portrait_picture_is_looked_at_too() -> None:
    camera = Camera()
    camera.size = 72, 128
    camera.fall_asleep()
    assert not all(camera.run(2, (24, 80, 16, 32)))


def test_a_picture_of_a_few_pixels_is_no_error() -> None:
    camera = Camera()
    camera.size = 16, 16
    camera.run(70)
