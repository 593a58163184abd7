"""Letterboxed images are drawn in place, and nothing of what was there before remains."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from ultralytics.data.augment import LetterBox

from streamwatch.detector.detector import WorldDetector
from streamwatch.detector.letterbox import Canvases, draw, fit_to
from streamwatch.detector.protocol import Running, View
from streamwatch.geometry import Box
from streamwatch.pixels import Pixels
from streamwatch.records import Image, Vectors, Vocabulary

SIZES = [(640, 360), (360, 640), (500, 333), (333, 500), (416, 234), (416, 256), (390, 416)]
"""Width and height: padded above and below, left and right, not scaled, neither."""


def picture(width: int, height: int) -> Image:
    return np.random.default_rng(width).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_a_part_of_an_image_is_drawn_over_what_was_there(size: tuple[int, int]) -> None:
    width, height = size
    image = picture(width + 30, height + 20)
    part = image[7 : 7 + height, 9 : 9 + width]
    fit = fit_to(width, height, 416)
    batch = np.full((3, *fit.canvas, 3), 9, np.uint8)
    draw(Pixels(image), (9, 7, 9 + width, 7 + height), fit, batch[1])
    theirs = LetterBox((416, 416), auto=True, stride=32)(image=np.ascontiguousarray(part))
    np.testing.assert_array_equal(batch[1], theirs)
    assert (batch[[0, 2]] == 9).all()


def test_batches_share_the_room_of_the_largest() -> None:
    canvases = Canvases()
    largest = canvases.take(3, (256, 416))
    assert largest.shape == (3, 256, 416, 3)
    for count, shape in ((1, (416, 416)), (2, (256, 416)), (3, (416, 256))):
        batch = canvases.take(count, shape)
        assert batch.shape == (count, *shape, 3)
        assert batch.flags.c_contiguous
        assert np.shares_memory(batch, largest)
    assert not np.shares_memory(canvases.take(4, (256, 416)), largest)


class Noting:
    """A network that finds nothing and keeps copies of what it saw."""

    running = Running("cpu", "torch", "full")

    def __init__(self) -> None:
        self.seen: list[NDArray[np.uint8]] = []

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        self.seen.append(images.copy())
        return np.zeros((len(images), 4 + texts.shape[1], 1), np.float32)


def test_the_network_sees_each_view_letterboxed_in_call_after_call() -> None:
    network = Noting()
    detector = WorldDetector(network, 416)
    words = Vocabulary(("dog",), np.ones((1, 512), np.float32))
    left_half: Box = (0.0, 0.0, 0.5, 1.0)
    sizes = [(960, 540), (500, 333), (640, 360), (416, 256)]
    views = [View(Pixels(picture(*size)), words, 0.1) for size in sizes]
    views.append(View(Pixels(picture(960, 540)), words, 0.1, left_half))
    theirs = LetterBox((416, 416), auto=True, stride=32)
    whole = [theirs(image=view.picture.bgr()) for view in views[:4]]
    half = theirs(image=np.ascontiguousarray(views[4].picture.bgr()[:, :480]))
    for chosen, expected in (
        (views, [[whole[0], whole[2], whole[3]], [whole[1]], [half]]),
        (views[3:0:-1], [[whole[3], whole[2]], [whole[1]]]),
    ):
        network.seen.clear()
        detector.detect(chosen)
        assert len(network.seen) == len(expected)
        for batch, images in zip(network.seen, expected, strict=True):
            np.testing.assert_array_equal(batch, np.stack(images))
