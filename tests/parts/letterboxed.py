"""One image as the network gets it."""

from __future__ import annotations

import numpy as np

from streamwatch.detector.letterbox import Fit, draw, fit_to
from streamwatch.pixels import Pixels
from streamwatch.records import Image


def letterbox(image: Image, image_size: int) -> tuple[Image, Fit]:
    """The whole image, uint8 BGR in and out; see `fit_to`."""
    height, width = image.shape[:2]
    fit = fit_to(width, height, image_size)
    canvas = np.empty((*fit.canvas, 3), np.uint8)
    draw(Pixels(image), (0, 0, width, height), fit, canvas)
    return canvas, fit
