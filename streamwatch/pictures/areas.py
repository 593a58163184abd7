"""What a camera's settings say of places, drawn into its picture: zones and the like, and a grid to
find their numbers with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamwatch.config import CameraSettings
from streamwatch.geometry import Box, Polygon, intersection
from streamwatch.pictures.lettering import Colour, Lettering, lettering, write
from streamwatch.records import Image

ZONE_BGR = (230, 210, 70)
IGNORE_BGR = (90, 90, 255)
MASK_BGR = (200, 200, 200)
CROP_BGR = (120, 230, 120)
GRID_BGR = (255, 255, 255)
CASING_BGR = (24, 24, 24)
"""Around each line, so that it shows on a light ground too."""
LINE_SHARE = 1 / 400
HATCH_SHARE = 1 / 25
"""Distance of the hatching's lines as a share of the picture's height."""
GRID_WEIGHT = 0.4
"""How much of the grid's lines shows, and the picture through the rest."""
TENTHS = range(1, 10)


@dataclass(frozen=True, slots=True)
class Area:
    """A named polygon, in shares of width and height; `hatched` if nothing counts there."""

    name: str
    polygon: Polygon
    colour: Colour
    hatched: bool = False


def areas_of(camera: CameraSettings) -> list[Area]:
    """Everything that the settings of a camera say of places."""
    found = [Area("mask", polygon, MASK_BGR) for polygon in camera.mask]
    found += (Area("ignore", polygon, IGNORE_BGR, hatched=True) for polygon in camera.ignore)
    if camera.crop is not None:
        x1, y1, x2, y2 = camera.crop
        found.append(Area("crop", ((x1, y1), (x2, y1), (x2, y2), (x1, y2)), CROP_BGR))
    return found + zones(camera.zones)


def zones(polygons: Mapping[str, Polygon]) -> list[Area]:
    return [Area(name, polygon, ZONE_BGR) for name, polygon in polygons.items()]


def draw_areas(image: Image, areas: Iterable[Area], *, grid: bool = False) -> None:
    """Draw into the image, with `grid` over lines at each tenth of width and height.

    Each area's name stands at its highest corner, or below that where another text is.
    """
    areas = tuple(areas)
    height = image.shape[0]
    line = max(2, round(height * LINE_SHARE))
    for area in areas:
        if area.hatched:
            _hatch(image, area, line)
    if grid:
        _draw_grid(image, max(1, line // 2))
    for area in areas:
        points = [_in_pixels(area.polygon, image)]
        cv2.polylines(image, points, True, CASING_BGR, line + 2, cv2.LINE_AA)
        cv2.polylines(image, points, True, area.colour, line, cv2.LINE_AA)
    texts = _Texts(image)
    if grid:
        _number_grid(texts)
    for area in areas:
        left, top = min(_in_pixels(area.polygon, image).tolist(), key=lambda p: (p[1], p[0]))
        texts.write_below(area.name, left, top, area.colour)


def _in_pixels(polygon: Polygon, image: Image) -> NDArray[np.int32]:
    height, width = image.shape[:2]
    points = np.rint(np.array(polygon) * (width, height))
    inside: NDArray[np.int32] = np.minimum(points, (width - 1, height - 1)).astype(np.int32)
    return inside


def _hatch(image: Image, area: Area, line: int) -> None:
    height, width = image.shape[:2]
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [_in_pixels(area.polygon, image)], 1)
    apart = max(4 * line, round(height * HATCH_SHARE))
    diagonal = np.add.outer(np.arange(height), np.arange(width)) % apart < line
    image[(inside == 1) & diagonal] = area.colour


def _draw_grid(image: Image, line: int) -> None:
    height, width = image.shape[:2]
    ruled = image.copy()
    for colour, thickness in ((CASING_BGR, line + 2), (GRID_BGR, line)):
        for tenth in TENTHS:
            x, y = round(width * tenth / 10), round(height * tenth / 10)
            cv2.line(ruled, (x, 0), (x, height - 1), colour, thickness)
            cv2.line(ruled, (0, y), (width - 1, y), colour, thickness)
    cv2.addWeighted(ruled, GRID_WEIGHT, image, 1 - GRID_WEIGHT, 0, dst=image)


def _number_grid(texts: _Texts) -> None:
    for tenth in TENTHS:
        texts.write_at_edge(f"0.{tenth}", x_share=tenth / 10)
        texts.write_at_edge(f"0.{tenth}", y_share=tenth / 10)


class _Texts:
    """Writes texts that don't cover each other."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._height, self._width = image.shape[:2]
        self._taken: list[Box] = []

    def write_at_edge(
        self, text: str, *, x_share: float | None = None, y_share: float | None = None
    ) -> None:
        """At the top, or at the left; left out where there is no room."""
        letters = self._lettering(text)
        left = top = 0
        if x_share is not None:
            left = round(self._width * x_share) - letters.plate_width // 2
        if y_share is not None:
            top = round(self._height * y_share) - letters.plate_height // 2
        if self._free(letters, left, top):
            self._write(letters, left, top, GRID_BGR)

    def write_below(self, text: str, left: int, top: int, plate: Colour) -> None:
        """With the plate's corner there, or as little below as there is room."""
        letters = self._lettering(text)
        left = max(0, min(left, self._width - letters.plate_width))
        lowest = max(0, self._height - letters.plate_height)
        wanted = min(top, lowest)
        free = (y for y in range(wanted, lowest + 1) if self._free(letters, left, y))
        self._write(letters, left, next(free, wanted), plate)

    def _lettering(self, text: str) -> Lettering:
        # Also in an upright picture nine numbers fit beside each other.
        return lettering(text, min(self._height, self._width * 9 // 16), self._width)

    def _free(self, letters: Lettering, left: int, top: int) -> bool:
        plate = _plate(letters, left, top)
        return not any(intersection(plate, other) for other in self._taken)

    def _write(self, letters: Lettering, left: int, top: int, plate: Colour) -> None:
        write(self._image, letters, left, top, plate)
        self._taken.append(_plate(letters, left, top))


def _plate(letters: Lettering, left: int, top: int) -> Box:
    return left, top, left + letters.plate_width, top + letters.plate_height
