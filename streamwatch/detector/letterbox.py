"""Letterboxing: scaling and padding an image for the network, and mapping boxes back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamwatch.geometry import Box
from streamwatch.records import Image, Picture

STRIDE = 32
"""The network halves its input five times, so both sides must divide by 2⁵."""

GREY = 114
"""The padding's grey level, the one Ultralytics trains and predicts with."""


Part = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of a picture in px; right and bottom lie outside it."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Where an image of `width` by `height` px lies in its letterboxed form, scaled by `gain`."""

    width: int
    height: int
    gain: float
    left: int
    top: int
    scaled: tuple[int, int]
    """Width and height of the scaled image in px."""
    canvas: tuple[int, int]
    """Height and width of the letterboxed form in px."""

    def restore(self, box: Box) -> Box:
        """A box of the letterboxed image in pixels of the original, clipped at its edges."""
        x1, y1, x2, y2 = box
        return (
            min(max((x1 - self.left) / self.gain, 0.0), self.width),
            min(max((y1 - self.top) / self.gain, 0.0), self.height),
            min(max((x2 - self.left) / self.gain, 0.0), self.width),
            min(max((y2 - self.top) / self.gain, 0.0), self.height),
        )


def fit_to(width: int, height: int, image_size: int) -> Fit:
    """Scale the longer side to `image_size` px and pad both sides to a multiple of the stride.

    The same arithmetic as Ultralytics' `LetterBox(auto=True)`, so that a checkpoint gets the same
    input: the image's aspect ratio with the least padding, not a square.
    """
    gain = image_size / max(height, width)
    # A crop may be so narrow that its side would be rounded to 0.
    new_width, new_height = max(1, round(width * gain)), max(1, round(height * gain))
    pad_x, pad_y = (image_size - new_width) % STRIDE / 2, (image_size - new_height) % STRIDE / 2
    left, right = round(pad_x - 0.1), round(pad_x + 0.1)
    top, bottom = round(pad_y - 0.1), round(pad_y + 0.1)
    canvas = (new_height + top + bottom, new_width + left + right)
    return Fit(width, height, gain, left, top, (new_width, new_height), canvas)


def draw(picture: Picture, part: Part, fit: Fit, canvas: Image) -> None:
    """Write `part` of a picture, scaled and padded, over all of `canvas` of shape `fit.canvas`."""
    width, height = fit.scaled
    right, bottom = fit.left + width, fit.top + height
    canvas[: fit.top] = GREY
    canvas[bottom:] = GREY
    canvas[fit.top : bottom, : fit.left] = GREY
    canvas[fit.top : bottom, right:] = GREY
    inside = canvas[fit.top : bottom, fit.left : right]
    if part == (0, 0, *picture.size):
        inside[:] = picture.bgr(fit.scaled)
        return
    x1, y1, x2, y2 = part
    image = picture.bgr()[y1:y2, x1:x2]
    if (fit.width, fit.height) == fit.scaled:
        inside[:] = image
    else:
        cv2.resize(image, fit.scaled, dst=inside, interpolation=cv2.INTER_LINEAR)


class Canvases:
    """Room for one batch of letterboxed images, used again for the next. For one thread.

    As large as the largest batch so far, whatever the shapes of the batches.
    """

    def __init__(self) -> None:
        self._room = np.empty(0, np.uint8)

    def take(self, count: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """`(count, height, width, 3)`, contiguous, for a `shape` of height and width in px.

        Holds anything until it is drawn on, and is the caller's only until the next call.
        """
        height, width = shape
        size = count * height * width * 3
        if size > len(self._room):
            self._room = np.empty(size, np.uint8)
        return self._room[:size].reshape(count, height, width, 3)
