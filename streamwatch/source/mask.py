"""Privacy masks: areas of the frame that are blacked out before anything else reads it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from streamwatch.geometry import Polygon
from streamwatch.records import Image


class Mask:
    """Blacks out polygons, given in shares of width and height. For one thread."""

    def __init__(self, polygons: Sequence[Polygon]) -> None:
        self._polygons = polygons
        self._size: tuple[int, int] | None = None
        self._points: list[NDArray[np.int32]] = []

    def applied(self, image: Image) -> Image:
        """`image` itself without polygons, else a masked copy."""
        if not self._polygons:
            return image
        height, width = image.shape[:2]
        if self._size != (width, height):
            self._size = width, height
            self._points = [
                np.rint(np.array(polygon) * self._size).astype(np.int32)
                for polygon in self._polygons
            ]
        masked = image.copy()
        for points in self._points:
            # One by one: filled in one call, the overlap of two polygons would stay visible.
            cv2.fillPoly(masked, [points], (0, 0, 0))
        return masked
