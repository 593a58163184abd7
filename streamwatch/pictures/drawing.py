"""Pictures as JPEG: a frame with boxes, labels and areas, and the thing cut out of it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2

from streamwatch.errors import SourceError
from streamwatch.geometry import Box
from streamwatch.pictures.areas import Area, draw_areas, zones
from streamwatch.pictures.lettering import lettering, write
from streamwatch.pixels import Pixels
from streamwatch.records import Image, MarkedPicture

PLATE_BGR = (64, 200, 255)
"""Amber: it contrasts with grass, tarmac, sky and skin, and dark text is readable on it."""
LINE_SHARE = 1 / 270
"""Width of the box's line as a share of the picture's height: 2 px to 540p, 8 px at 4K."""
CROP_MARGIN = 0.2
"""Around the box on each side, as a share of its longer side: enough to see where the thing is."""
NOT_DRAWN = (ValueError, cv2.error, SourceError)
"""What drawing raises: SourceError where the frame can't be converted."""


def render(marked: MarkedPicture, quality: int) -> bytes:
    """`marked` as a JPEG of `quality` (1 to 100). Raises ValueError for one without pixels, and
    SourceError for one that can't be converted.

    The picture itself is left as it is. A label wider than it is written smaller.
    """
    marks = [(marked.box, marked.label)]
    return render_all(marked.picture.bgr(), marks, quality, areas=zones(marked.zones))


def render_all(
    image: Image,
    marks: Iterable[tuple[Box, str]],
    quality: int,
    *,
    areas: Iterable[Area] = (),
    grid: bool = False,
) -> bytes:
    """The same with any number of boxes with their labels, and of areas, perhaps with a grid."""
    return jpeg(drawn(image, marks, areas=areas, grid=grid), quality)


def drawn(
    image: Image,
    marks: Iterable[tuple[Box, str]],
    *,
    areas: Iterable[Area] = (),
    grid: bool = False,
) -> Image:
    """The same as an image of its own."""
    image = image.copy()
    if image.size == 0:
        raise ValueError("the picture has no pixels")
    draw_areas(image, areas, grid=grid)
    height, width = image.shape[:2]
    line = max(2, round(height * LINE_SHARE))
    for box, label in marks:
        x1, y1, x2, y2 = (round(edge) for edge in box)
        x1, x2 = (min(max(x, 0), width - 1) for x in (x1, x2))
        y1, y2 = (min(max(y, 0), height - 1) for y in (y1, y2))
        cv2.rectangle(image, (x1, y1), (x2, y2), PLATE_BGR, line)
        if label:
            _write(image, label, x1, y1, y2)
    return image


def render_crop(marked: MarkedPicture, quality: int) -> bytes:
    """The box with a margin, nothing drawn on it, as a JPEG of `quality` (1 to 100).

    Raises as `render` does.
    """
    return jpeg(cut_out(marked).picture.bgr(), quality)


def cut_out(marked: MarkedPicture) -> MarkedPicture:
    """The box with a margin alone, which takes far less memory than the frame.

    Raises what is `NOT_DRAWN`. A box at or beyond an edge is cut, to one pixel at least.
    """
    image = marked.picture.bgr()
    if image.size == 0:
        raise ValueError("the picture has no pixels")
    height, width = image.shape[:2]
    x1, y1, x2, y2 = marked.box
    margin = CROP_MARGIN * max(x2 - x1, y2 - y1)
    left = min(max(math.floor(x1 - margin), 0), width - 1)
    top = min(max(math.floor(y1 - margin), 0), height - 1)
    right = max(math.ceil(x2 + margin), left + 1)
    bottom = max(math.ceil(y2 + margin), top + 1)
    # A copy, since a part would keep the whole in memory.
    crop = image[top:bottom, left:right].copy()
    box = (x1 - left, y1 - top, x2 - left, y2 - top)
    return MarkedPicture(Pixels(crop), box, marked.label)


def jpeg(image: Image, quality: int) -> bytes:
    """Raises ValueError where it can't be written."""
    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        height, width = image.shape[:2]
        raise ValueError(f"the picture of {width}x{height} px can't be written as JPEG")
    return bytes(content)


def _write(image: Image, label: str, box_left: int, box_top: int, box_bottom: int) -> None:
    """Put the label above the box; if there is no room, below it, else inside at its top."""
    height, width = image.shape[:2]
    letters = lettering(label, height, width)
    if box_top >= letters.plate_height:
        top = box_top - letters.plate_height
    elif box_bottom + letters.plate_height < height:
        top = box_bottom + 1
    else:
        top = box_top
    top = max(0, min(top, height - letters.plate_height))
    left = max(0, min(box_left, width - letters.plate_width))
    write(image, letters, left, top, PLATE_BGR)
