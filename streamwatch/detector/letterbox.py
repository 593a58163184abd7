"""Letterboxing: scaling and padding an image for the network, and mapping boxes back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streamwatch.geometry import Box
from streamwatch.records import Image

STRIDE = 32
"""The network halves its input five times, so both sides must divide by 2⁵."""

GREY = 114
"""The padding's grey level, the one Ultralytics trains and predicts with."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Where an image of `width` by `height` px lies in its letterboxed form, scaled by `gain`."""

    width: int
    height: int
    gain: float
    left: int
    top: int

    def restore(self, box: Box) -> Box:
        """A box of the letterboxed image in pixels of the original, clipped at its edges."""
        x1, y1, x2, y2 = box
        return (
            min(max((x1 - self.left) / self.gain, 0.0), self.width),
            min(max((y1 - self.top) / self.gain, 0.0), self.height),
            min(max((x2 - self.left) / self.gain, 0.0), self.width),
            min(max((y2 - self.top) / self.gain, 0.0), self.height),
        )


def letterbox(image: Image, image_size: int) -> tuple[Image, Fit]:
    """Scale the longer side to `image_size` px and pad both sides to a multiple of the stride.

    The same arithmetic as Ultralytics' `LetterBox(auto=True)`, so that a checkpoint gets the same
    input: the image's aspect ratio with the least padding, not a square. uint8 BGR in and out.
    """
    height, width = image.shape[:2]
    gain = image_size / max(height, width)
    # A crop may be so narrow that its side would be rounded to 0.
    new_width, new_height = max(1, round(width * gain)), max(1, round(height * gain))
    pad_x, pad_y = (image_size - new_width) % STRIDE / 2, (image_size - new_height) % STRIDE / 2
    left, right = round(pad_x - 0.1), round(pad_x + 0.1)
    top, bottom = round(pad_y - 0.1), round(pad_y + 0.1)
    if (width, height) != (new_width, new_height):
        resized = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    else:
        resized = image
    canvas = np.full((new_height + top + bottom, new_width + left + right, 3), GREY, np.uint8)
    canvas[top : top + new_height, left : left + new_width] = resized
    return canvas, Fit(width, height, gain, left, top)
