"""Zones and what else a camera's settings say of places, drawn into its picture."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.pictures.areas import (
    CROP_BGR,
    GRID_BGR,
    IGNORE_BGR,
    MASK_BGR,
    ZONE_BGR,
    areas_of,
)
from streamwatch.pictures.drawing import render, render_all
from streamwatch.pictures.lettering import Colour
from streamwatch.pixels import Pixels
from streamwatch.records import Image, MarkedPicture

LEFT_HALF = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
SQUARE = [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]


def drawn(
    camera: dict[str, Any], size: tuple[int, int] = (640, 360), *, grid: bool = False
) -> Image:
    settings = CameraSettings.model_validate({"url": "/dev/video0", **camera})
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    jpeg = render_all(image, (), 98, areas=areas_of(settings), grid=grid)
    assert (image == 128).all()
    return decoded(jpeg)


def decoded(jpeg: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return cast(Image, image)


def near(image: Image, colour: Colour) -> NDArray[np.bool_]:
    distance = np.abs(image.astype(int) - np.array(colour)).max(axis=2)
    return cast(NDArray[np.bool_], distance < 60)


def dark(image: Image) -> NDArray[np.bool_]:
    return cast(NDArray[np.bool_], image.max(axis=2) < 100)


@pytest.mark.parametrize("size", [(640, 360), (3840, 2160), (360, 640)])
def test_a_zone_is_outlined_and_named(size: tuple[int, int]) -> None:
    width, height = size
    image = drawn({"zones": {"steps": SQUARE}}, size)
    outline = near(image, ZONE_BGR)
    for x, y in ((0.25, 0.6), (0.75, 0.6), (0.5, 0.75), (0.6, 0.25)):
        assert outline[round(y * height), round(x * width)], (x, y)
    for x, y in ((0.6, 0.6), (0.2, 0.6), (0.8, 0.6), (0.5, 0.8), (0.5, 0.2)):
        assert not outline[round(y * height), round(x * width)], (x, y)
    plate = image[round(0.26 * height) : round(0.32 * height), round(0.26 * width) :]
    assert near(plate, ZONE_BGR).sum() > dark(plate).sum() > 20


def test_each_kind_of_area_has_its_colour() -> None:
    for camera, colour in (
        ({"zones": {"steps": SQUARE}}, ZONE_BGR),
        ({"ignore": SQUARE}, IGNORE_BGR),
        ({"mask": [SQUARE]}, MASK_BGR),
        ({"crop": [0.25, 0.25, 0.75, 0.75]}, CROP_BGR),
    ):
        assert near(drawn(camera), colour)[216, 160], camera


def test_what_is_ignored_is_hatched() -> None:
    hatched = near(drawn({"ignore": SQUARE}), IGNORE_BGR)
    assert 0.05 < hatched[160:260, 180:460].mean() < 0.5
    assert not near(drawn({"mask": SQUARE}), MASK_BGR)[160:260, 180:460].any()
    assert not hatched[:80].any()


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (3840, 2160), (360, 640)])
def test_the_grid_has_a_number_at_each_tenth(size: tuple[int, int]) -> None:
    width, height = size
    image = drawn({}, size, grid=True)
    white, letters = near(image, GRID_BGR), dark(image)
    corner = min(width, height) // 30
    for tenth in range(1, 10):
        x, y = round(width * tenth / 10), round(height * tenth / 10)
        for spot in (
            (slice(0, corner), slice(x - corner // 2, x + corner // 2)),
            (slice(y - corner // 2, y + corner // 2), slice(0, corner)),
        ):
            assert white[spot].mean() > 0.2, (size, tenth)
            assert letters[spot].any(), (size, tenth)
    between = image[round(height * 0.85), round(width * 0.85)]
    assert (abs(between.astype(int) - 128) < 10).all()
    assert (image[round(height * 0.85), round(width * 0.8)] > 150).all()
    assert (image[round(height * 0.8), round(width * 0.85)] > 150).all()


def test_names_of_areas_that_begin_at_one_corner_stand_below_each_other() -> None:
    names = near(drawn({"zones": {"one": LEFT_HALF, "another": LEFT_HALF}}), ZONE_BGR)
    assert names[:, 8:30].mean(axis=1)[:40].min() > 0.2  # two plates of about 24 px


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (40, 4), (4, 40)])
def test_tiny_pictures_can_be_drawn(size: tuple[int, int]) -> None:
    everything = {"zones": {"a": SQUARE}, "ignore": SQUARE, "mask": SQUARE, "crop": [0, 0, 1, 1]}
    assert drawn(everything, size, grid=True).shape == (size[1], size[0], 3)


def test_the_picture_of_an_alert_shows_the_zones_that_let_it_count() -> None:
    image = np.full((360, 640, 3), 128, np.uint8)
    zone = tuple((x, y) for x, y in SQUARE)
    with_zone = decoded(
        render(MarkedPicture(Pixels(image), (20, 40, 90, 120), "car", {"steps": zone}), 98)
    )
    assert near(with_zone, ZONE_BGR)[216, 160]
    without = decoded(render(MarkedPicture(Pixels(image), (20, 40, 90, 120), "car"), 98))
    assert not near(without, ZONE_BGR).any()
