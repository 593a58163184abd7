"""The part of a picture that a second look gets, also at the edges of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from streamwatch.geometry import Box
from streamwatch.records import Image
from streamwatch.second_look.crops import crop_around, resized

HEIGHT, WIDTH = 60, 100


def picture() -> Image:
    """Each pixel holds its own column and row."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[..., 0] = np.arange(WIDTH)
    image[..., 1] = np.arange(HEIGHT)[:, None]
    return image


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((40, 20, 60, 40), (35, 15, 65, 45)),
        ((40, 28, 60, 32), (35, 15, 65, 45)),  # the longer side counts
        ((48, 20, 52, 40), (35, 15, 65, 45)),
        ((0, 20, 20, 40), (0, 15, 25, 45)),
        ((80, 20, 100, 40), (75, 15, 100, 45)),
        ((40, 0, 60, 20), (35, 0, 65, 25)),
        ((40, 40, 60, 60), (35, 35, 65, 60)),
        ((-10, -10, 10, 10), (0, 0, 15, 15)),
        ((90, 50, 110, 70), (85, 45, 100, 60)),
        ((-40, 20, -20, 40), (0, 15, 1, 45)),  # beyond the edges one row or column is left
        ((120, 20, 140, 40), (99, 15, 100, 45)),
        ((40, -60, 60, -40), (35, 0, 65, 1)),
        ((40, 90, 60, 110), (35, 59, 65, 60)),
        ((-900, -900, 900, 900), (0, 0, 100, 60)),
        ((0, 0, 100, 60), (0, 0, 100, 60)),
        ((50.2, 30.2, 50.2, 30.2), (50, 30, 51, 31)),
        ((50, 30, 51, 31), (50, 30, 51, 31)),
        ((99.9, 59.9, 100, 60), (99, 59, 100, 60)),
    ],
)
def test_the_crop_is_a_square_around_the_box_within_the_picture(
    box: Box, expected: tuple[int, int, int, int]
) -> None:
    crop = crop_around(picture(), box)
    assert crop.size
    left, top = (int(value) for value in crop[0, 0, :2])
    right, bottom = (int(value) + 1 for value in crop[-1, -1, :2])
    assert (left, top, right, bottom) == expected
    assert crop.shape == (bottom - top, right - left, 3)


def test_the_crop_is_no_copy() -> None:
    image = picture()
    assert np.shares_memory(crop_around(image, (40, 20, 60, 40)), image)


@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (1, 1), (1, 300), (300, 1), (30, 30), (65, 63), (1080, 1920)]
)
def test_a_crop_of_any_shape_becomes_a_square(height: int, width: int) -> None:
    scaled = resized(np.full((height, width, 3), (10, 120, 250), np.uint8), 64)
    assert scaled.shape == (64, 64, 3)
    assert scaled.dtype == np.uint8
    assert scaled.flags.c_contiguous
    assert (scaled == (10, 120, 250)).all()


def test_a_larger_crop_is_averaged() -> None:
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (resized(stripes, 64) == 100).all()


def test_a_part_of_a_picture_is_scaled_as_if_it_were_one() -> None:
    crop = crop_around(picture(), (40, 20, 60, 40))
    assert np.array_equal(resized(crop, 32), resized(crop.copy(), 32))
