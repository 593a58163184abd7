"""Privacy masks: areas of the frame that are blacked out before anything else reads it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from streamwatch.geometry import Polygon
from streamwatch.records import Image


class Mask:
    """Blacks out polygons, given in shares of width and height. For any thread."""

    def __init__(self, polygons: Sequence[Polygon]) -> None:
        self._polygons = tuple(polygons)

    def applied(self, image: Image, scaled_from: tuple[int, int] | None = None) -> Image:
        """`image` itself without polygons, else a masked copy; grey or BGR.

        If it was made smaller or larger, `scaled_from` is the (width, height) that it had: there
        the pixels at the edge hold some of what lies behind it, and are blacked out too.
        """
        if not self._polygons:
            return image
        size = image.shape[1], image.shape[0]
        masked = image.copy()
        for polygon in self._polygons:
            points = [np.rint(np.array(polygon) * size).astype(np.int32)]
            # One by one: filled in one call, the overlap of two polygons would stay visible.
            cv2.fillPoly(masked, points, 0)
            if scaled_from is not None and scaled_from != size:
                blended = 1 + int(max(size[0] / scaled_from[0], size[1] / scaled_from[1]))
                cv2.polylines(masked, points, isClosed=True, color=0, thickness=2 * blended + 1)
        return masked
