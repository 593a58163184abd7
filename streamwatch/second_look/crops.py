"""The part of a picture that a second look gets. Pure."""

from __future__ import annotations

import cv2
import numpy as np

from streamwatch.geometry import Box
from streamwatch.records import Image

MARGIN = 1.5
"""The crop's side in longer sides of the box: a quarter of surroundings on each side, which the
bundled image tower was trained with."""


def crop_around(image: Image, box: Box) -> Image:
    """The square around `box`, `MARGIN` times its longer side, cut off at the picture's edges.

    A view of `image`, of one pixel at least.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    half = MARGIN * max(x2 - x1, y2 - y1) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    left = min(max(round(x - half), 0), width - 1)
    top = min(max(round(y - half), 0), height - 1)
    right = min(max(round(x + half), left + 1), width)
    bottom = min(max(round(y + half), top + 1), height)
    return image[top:bottom, left:right]


def resized(crop: Image, size: int) -> Image:
    """`crop` as a square of `size` px, its sides scaled each for itself."""
    shrinks = max(crop.shape[:2]) > size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    scaled: Image = cv2.resize(crop, (size, size), interpolation=how).astype(np.uint8)
    return scaled
