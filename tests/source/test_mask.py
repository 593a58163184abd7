from __future__ import annotations

import numpy as np

from streamwatch.geometry import Polygon
from streamwatch.records import Image
from streamwatch.source.mask import Mask

LEFT_HALF: Polygon = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
TOP_HALF: Polygon = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5))


def white(width: int, height: int) -> Image:
    return np.full((height, width, 3), 255, np.uint8)


def test_masked_pixels_are_black_and_the_rest_is_unchanged() -> None:
    image = white(100, 60)
    masked = Mask((LEFT_HALF,)).applied(image)
    assert (masked[:, :50] == 0).all()
    assert (masked[:, 52:] == 255).all()


def test_the_given_image_is_not_modified() -> None:
    image = white(100, 60)
    image.flags.writeable = False
    masked = Mask((LEFT_HALF,)).applied(image)
    assert (image == 255).all()
    assert not np.shares_memory(image, masked)


def test_without_polygons_nothing_is_copied() -> None:
    image = white(10, 10)
    assert Mask(()).applied(image) is image


def test_overlapping_polygons_hide_their_overlap_too() -> None:
    masked = Mask((LEFT_HALF, TOP_HALF)).applied(white(100, 60))
    assert (masked[:30] == 0).all()
    assert (masked[:, :50] == 0).all()
    assert (masked[32:, 52:] == 255).all()


def test_the_whole_picture_can_be_masked() -> None:
    everything: Polygon = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert not Mask((everything,)).applied(white(33, 17)).any()


def test_the_mask_adapts_to_a_new_frame_size() -> None:
    mask = Mask((LEFT_HALF,))
    for width, height in ((100, 60), (40, 20), (100, 60)):
        masked = mask.applied(white(width, height))
        assert (masked[:, : width // 2] == 0).all()
        assert (masked[:, width // 2 + 2 :] == 255).all()
