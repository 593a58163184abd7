"""What counts as motion in a camera's small pictures: what comes, goes and moves, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from streamwatch.records import Luma
from streamwatch.scheduler.motion import Motion, Valid, valid_cells

SHAPE = 72, 128
WARM = 45.0
"""Seconds after which the estimator has to be right."""
RATES = pytest.mark.parametrize("fps", [1, 5, 15])
SLOW_RATES = pytest.mark.parametrize("fps", [1, 5])
"""For what takes long and doesn't differ much between 5 and 15."""
Levels = NDArray[np.float64]
Draw = Callable[[Levels, float], None]
"""Changes the levels of the picture at a moment, in seconds since the end of the warm-up."""


@cache
def street() -> Levels:
    """Sky, a wall with windows, and a road: flat parts and edges, from 40 to 200 levels."""
    levels = np.full(SHAPE, 90.0)
    levels[:24] = 200
    levels[24:42] = 140
    levels[28:36, 4::12] = 40
    levels[28:36, 5::12] = 40
    return levels


class Camera:
    """Feeds an estimator with noisy pictures of the street, and remembers when it told of motion.

    `noise` is that of a cell's mean, in levels.
    """

    def __init__(self, fps: float, *, noise: float = 0.6, valid: Valid | None = None) -> None:
        self.motion = Motion()
        self.valid = valid
        self.told: list[float] = []
        self._step = 1 / fps
        self._random = np.random.default_rng(1)
        self._noises = self._random.normal(0, noise, (40, *SHAPE))
        self._seconds = 1000.0
        self._began = self._seconds + WARM

    def run(self, until: float, draw: Draw = lambda levels, seconds: None) -> list[float]:
        """Show the street, with what is drawn on it, until that many seconds after the warm-up.

        Returns when it told of motion in this time.
        """
        before = len(self.told)
        while (at := self._seconds - self._began) < until:
            levels = street().copy()
            draw(levels, at)
            if self.show(levels):
                self.told.append(at)
            self._seconds += self._step
        return self.told[before:]

    def show(self, levels: Levels) -> bool:
        levels += self._random.choice(self._noises)
        picture = np.clip(levels + 0.5, 0, 255).astype(np.uint8)
        return self.motion.update(picture, self._seconds, self.valid)


def thing(x: float, y: float, width: float, height: float, levels: float = 40) -> Draw:
    """A box darker, or brighter, than what is behind it by so many levels, its edges blended."""

    def draw(picture: Levels, seconds: float) -> None:
        across = _covered(x, width, SHAPE[1])
        down = _covered(y, height, SHAPE[0])
        picture -= levels * down[:, None] * across

    return draw


def both(one: Draw, other: Draw) -> Draw:
    def draw(levels: Levels, seconds: float) -> None:
        one(levels, seconds)
        other(levels, seconds)

    return draw


def _covered(start: float, length: float, cells: int) -> Levels:
    """The share of each cell between `start` and `start + length`."""
    edges = np.clip(np.arange(cells + 1), start, start + length)
    return np.diff(edges)


def warmed_up(fps: float, *, noise: float = 0.6, valid: Valid | None = None) -> Camera:
    """A camera that has seen the empty street for long enough."""
    if valid is None:
        return deepcopy(_warmed_up(fps, noise))
    camera = Camera(fps, noise=noise, valid=valid)
    camera.run(0)
    return camera


@cache
def _warmed_up(fps: float, noise: float) -> Camera:
    camera = Camera(fps, noise=noise)
    camera.run(0)
    return camera


# --- what must not wake it ------------------------------------------------------------------------


@RATES
@pytest.mark.parametrize("noise", [0.0, 2.5])
def test_noise_is_no_motion(fps: int, noise: float) -> None:
    assert warmed_up(fps, noise=noise).run(10) == []


@RATES
def test_light_that_swings_is_no_motion(fps: int) -> None:
    def swing(levels: Levels, seconds: float) -> None:
        levels *= 1 + 0.1 * np.sin(seconds * 2 * np.pi / 8)

    assert warmed_up(fps).run(24, swing) == []


@SLOW_RATES
@pytest.mark.parametrize("share", [0.86, 1.15])
@pytest.mark.parametrize("black", [0, 16])
def test_a_step_of_the_light_is_no_motion(fps: int, share: float, black: int) -> None:
    """Also where the brightest part is clipped, and where black is 16."""

    def step(levels: Levels, seconds: float) -> None:
        levels[:6] += 40
        if seconds >= 2:
            levels *= share
        levels *= (235 - black) / 255
        levels += black
        np.clip(levels, 0, 235, out=levels)

    camera = Camera(fps)
    camera.run(0, step)
    assert camera.run(20, step) == []


@SLOW_RATES
def test_rain_is_no_motion_after_some_seconds(fps: int) -> None:
    random = np.random.default_rng(2)

    def rain(levels: Levels, seconds: float) -> None:
        for y, x, drop in random.integers((0, 0, 2), (68, 128, 6), (70, 3)):
            levels[y : y + 4, x] += drop

    camera = warmed_up(fps)
    camera.run(15, rain)
    assert camera.run(35, rain) == []
    draw = thing(60, 40, 8, 12)
    assert camera.run(36, both(rain, draw))


@SLOW_RATES
def test_a_camera_that_always_shakes_shows_no_motion(fps: int) -> None:
    def shake(levels: Levels, seconds: float) -> None:
        share = 0.15 + 0.15 * np.sin(seconds * 2.9)
        levels += share * (np.roll(levels, 1, axis=1) - levels)

    camera = Camera(fps)
    camera.run(0, shake)
    assert camera.run(20, shake) == []
    draw = thing(60, 50, 8, 12)
    assert camera.run(21, both(shake, draw))


# --- what must ------------------------------------------------------------------------------------


@RATES
def test_what_pops_up_and_away_is_told_at_once(fps: int) -> None:
    camera = warmed_up(fps)
    assert camera.run(5) == []
    assert camera.run(30, thing(60, 50, 6, 8))[0] < 5 + 1 / fps
    assert camera.run(35)[0] < 30 + 1 / fps


@SLOW_RATES
def test_what_stays_is_part_of_the_picture_soon(fps: int) -> None:
    camera = warmed_up(fps)
    told = camera.run(40, thing(60, 50, 6, 8, levels=60))
    assert told
    assert told[-1] < 10


@RATES
@pytest.mark.parametrize("fade", [2, 6, 8])
def test_what_fades_in_and_out_is_told_meanwhile(fps: int, fade: float) -> None:
    draw = thing(60, 50, 6, 8, levels=1)

    def fading(levels: Levels, seconds: float) -> None:
        before = levels.copy()
        draw(levels, seconds)
        share = np.clip(min(seconds, 30 - seconds) / fade, 0, 1)
        levels += (before - levels) * (1 - 25 * share)

    camera = warmed_up(fps)
    assert camera.run(fade + 0.1, fading)
    camera.run(30 - fade, fading)
    assert camera.run(30.1, fading)


@RATES
def test_what_moves_slowly_is_told_all_along(fps: int) -> None:
    """0.6 cells a second are 3 px of a picture 640 wide."""
    camera = warmed_up(fps)
    told = camera.run(20, lambda levels, at: thing(60 + 0.6 * at, 50, 8, 6, levels=25)(levels, at))
    assert told[0] < 1
    assert np.diff([*told, 20]).max() < 5


@RATES
@pytest.mark.parametrize("dark", [1.0, 0.25])
def test_what_is_small_is_told(fps: int, dark: float) -> None:
    """A person 20 px high in a picture of 640x360, walking on the road."""

    def walk(levels: Levels, seconds: float) -> None:
        if seconds >= 0:
            thing(60 + 2.5 * seconds, 50, 1.8, 4, levels=45)(levels, seconds)
        levels *= dark

    camera = Camera(fps)
    camera.run(0, walk)
    assert camera.run(2, walk)


@RATES
def test_it_is_found_in_swinging_light(fps: int) -> None:
    def draw(levels: Levels, seconds: float) -> None:
        if seconds >= 10:
            thing(60, 50, 4, 6)(levels, seconds)
        levels *= 1 + 0.08 * np.sin(seconds * 2 * np.pi / 8)

    camera = warmed_up(fps)
    assert camera.run(10, draw) == []
    assert camera.run(10.5, draw)


@SLOW_RATES
def test_traffic_makes_no_place_deaf(fps: int) -> None:
    """Something passes a third of the time; then a thing that is less clear stays there."""

    def traffic(levels: Levels, seconds: float) -> None:
        thing(60 + 16 * (seconds % 6 - 1), 50, 20, 8, levels=60)(levels, seconds)

    camera = Camera(fps)
    camera.run(60, traffic)
    camera.run(85)
    assert camera.run(86, thing(70, 50, 6, 6, levels=15))


@SLOW_RATES
def test_a_clear_thing_is_found_where_all_is_restless(fps: int) -> None:
    random = np.random.default_rng(3)

    def restless(levels: Levels, seconds: float) -> None:
        levels[44:] += random.choice((-10.0, 10.0), (28, 128))

    camera = Camera(fps)
    camera.run(30, restless)
    draw = thing(60, 50, 6, 8, levels=45)
    assert camera.run(31, both(restless, draw))


@SLOW_RATES
def test_a_lamp_that_is_lit_is_motion(fps: int) -> None:
    def lamp(levels: Levels, seconds: float) -> None:
        levels *= 0.3 if seconds < 0 else 0.6

    camera = Camera(fps)
    camera.run(0, lamp)
    assert camera.run(1, lamp)


def test_what_covers_most_of_the_picture_is_told() -> None:
    assert warmed_up(5).run(1, thing(10, 0, 100, 72, levels=25))


def test_what_moved_from_the_first_picture_on_is_told_when_it_goes() -> None:
    camera = Camera(5)
    camera.run(20, thing(60, 50, 6, 8))
    assert camera.run(21)


def test_steps_may_be_irregular() -> None:
    motion, random = Motion(), np.random.default_rng(4)
    seconds, told = 0.0, []
    draw = thing(60, 50, 6, 8)
    while seconds < 200:
        levels = street().copy()
        if seconds >= 150:
            draw(levels, seconds)
        picture = (levels + random.normal(0, 0.6, SHAPE)).round().astype(np.uint8)
        if motion.update(picture, seconds, None):
            told.append(seconds)
        seconds += float(random.choice((0.07, 0.2, 1.0, 5.0)))
    assert 150 <= told[0] <= 155
    assert told[-1] < 165


# --- where, and what counts -----------------------------------------------------------------------


@SLOW_RATES
def test_cells_that_dont_count_never_wake_it(fps: int) -> None:
    valid = np.ones(SHAPE, bool)
    valid[46:62, 50:80] = False
    camera = warmed_up(fps, valid=valid)
    assert camera.run(10, thing(60, 48, 10, 12, levels=80)) == []
    assert camera.run(11, thing(20, 48, 10, 12, levels=80))


def test_no_cell_may_count() -> None:
    camera = warmed_up(5, valid=np.zeros(SHAPE, bool))
    assert camera.run(5, thing(60, 48, 10, 12, levels=80)) == []
    assert camera.motion.where is None


def test_which_cells_count_may_change() -> None:
    valid = np.ones(SHAPE, bool)
    valid[46:62, 50:80] = False
    camera = warmed_up(5, valid=valid)
    assert camera.run(3, thing(60, 48, 10, 12)) == []
    camera.valid = None
    assert camera.run(4, thing(60, 48, 10, 12))


def test_it_tells_where_the_motion_came_from() -> None:
    camera = warmed_up(5)
    assert camera.motion.where is None
    camera.run(20, lambda levels, at: thing(100 + at, 50, 4, 8)(levels, at))
    assert camera.motion.where is not None
    x1, y1, x2, y2 = camera.motion.where
    assert x1 >= 0.7
    assert y1 >= 0.6
    assert x2 == 1.0
    assert y2 <= 0.9


def test_where_forgets_what_is_long_past() -> None:
    camera = Camera(1)
    camera.run(0)
    camera.run(5, lambda levels, at: thing(4 + at, 50, 4, 8)(levels, at))
    camera.run(900)
    camera.run(930, lambda levels, at: thing(90 + at - 900, 50, 4, 8)(levels, at))
    assert camera.motion.where is not None
    assert camera.motion.where[0] > 0.5


def pictures(shape: tuple[int, int]) -> Iterator[Luma]:
    random = np.random.default_rng(5)
    while True:
        yield (100 + random.normal(0, 0.6, shape)).round().astype(np.uint8)


def test_a_picture_of_another_size_is_a_first_one() -> None:
    camera = warmed_up(5)
    camera.run(2, thing(60, 50, 6, 8))
    assert camera.motion.where is not None
    for second, picture in zip(range(1100, 1150), pictures((54, 96)), strict=False):
        assert not camera.motion.update(picture, second, None)
    assert camera.motion.where is None


def test_a_reset_forgets_all() -> None:
    camera = warmed_up(5)
    camera.run(2, thing(60, 50, 6, 8))
    camera.motion.reset()
    assert camera.motion.where is None
    assert camera.run(4) == []


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (9, 16), (128, 72)])
def test_a_picture_may_be_small_or_upright(shape: tuple[int, int]) -> None:
    motion = Motion()
    for second, picture in zip(range(100), pictures(shape), strict=False):
        assert not motion.update(picture, second, None)


# --- the cells that count -------------------------------------------------------------------------


def test_all_cells_count_without_crop_and_masks() -> None:
    assert valid_cells((4, 6)).tolist() == [[True] * 6] * 4


def test_only_cells_inside_the_crop_count() -> None:
    valid = valid_cells((4, 8), crop=(0.25, 0.3, 0.75, 1.0))
    expected = np.zeros((4, 8), bool)
    expected[2:, 2:6] = True
    assert (valid == expected).all()


def test_cells_that_a_mask_touches_dont_count() -> None:
    square = ((0.33, 0.33), (0.67, 0.33), (0.67, 0.67), (0.33, 0.67))
    expected = np.ones((10, 10), bool)
    expected[3:7, 3:7] = False
    assert (valid_cells((10, 10), mask=[square]) == expected).all()
    assert (valid_cells((10, 10), ignore=[square]) == expected).all()
    shifted = [(x + 0.04, y) for x, y in square]
    expected[3:7, 7] = False
    assert (valid_cells((10, 10), mask=[tuple(shifted)]) == expected).all()


def test_a_mask_thinner_than_a_cell_touches_it() -> None:
    sliver = ((0.02, 0.42), (0.98, 0.42), (0.98, 0.44), (0.02, 0.44))
    assert not valid_cells((10, 10), mask=[sliver])[4].any()


def test_a_slanted_mask_leaves_no_touched_cell() -> None:
    triangle = ((0.1, 0.1), (0.9, 0.25), (0.2, 0.8))
    valid = valid_cells((36, 64), mask=[triangle])
    ys, xs = np.mgrid[0:720, 0:1280]
    x, y = (xs + 0.5) / 1280, (ys + 0.5) / 720
    sides = [
        (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        for (ax, ay), (bx, by) in zip(triangle, (*triangle[1:], triangle[0]), strict=True)
    ]
    fine = np.all(np.stack(sides) >= 0, axis=0)
    touched = fine.reshape(36, 20, 64, 20).any(axis=(1, 3))
    assert not (valid & touched).any()
    assert (~valid).sum() <= touched.sum() * 1.25
