"""Which way up a picture belongs, and how wide its pixels are: applied where it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np

from streamwatch.records import Image

SQUARE = Fraction(1)
LEAST_STRETCH = Fraction(51, 50)
"""Less than 2 % is left as it is: encoders round 640x359 and the like to such aspects."""
MOST_STRETCH = Fraction(8)
"""Above it the sample aspect ratio is a mistake."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """How the stored picture becomes the upright one: transposed, then its axes reversed."""

    transposed: bool = False
    columns_reversed: bool = False
    rows_reversed: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the upright picture."""
        return (height, width) if self.transposed else (width, height)

    def applied(self, image: Image) -> Image:
        """The upright picture of `image`, `(height, width, 3)`; itself if it is upright."""
        if self == AS_STORED:
            return image
        turned = image.swapaxes(0, 1) if self.transposed else image
        rows, columns = (slice(None, None, -1 if reversed_ else 1) for reversed_ in self._reversals)
        return cast(Image, np.ascontiguousarray(turned[rows, columns]))

    @property
    def _reversals(self) -> tuple[bool, bool]:
        return self.rows_reversed, self.columns_reversed


AS_STORED = Orientation()
CLOCKWISE = {
    0: AS_STORED,
    90: Orientation(transposed=True, columns_reversed=True),
    180: Orientation(columns_reversed=True, rows_reversed=True),
    270: Orientation(transposed=True, rows_reversed=True),
}
"""By degrees."""


def orientation(picture: av.VideoFrame) -> Orientation:
    """What the picture's display matrix asks for, in steps of 90°, mirrored or not.

    Phones and doorbells write one into the file, H.264 into a message of the stream, JPEG into its
    EXIF. Its entries a, b, c, d put the stored point (x, y) at (ax + cy, bx + dy); see FFmpeg's
    libavutil/display.h.
    """
    try:
        stored = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:  # of all that is noted beside a picture, PyAV doesn't know EXIF
        return CLOCKWISE[round(-picture.rotation / 90) % 4 * 90]
    if stored is None:
        return AS_STORED
    matrix = np.frombuffer(cast(bytes, stored), np.int32)
    a, b, c, d = (int(entry) for entry in matrix[[0, 1, 3, 4]])
    if max(abs(b), abs(c)) > max(abs(a), abs(d)):
        return Orientation(True, columns_reversed=c < 0, rows_reversed=b < 0)
    return Orientation(False, columns_reversed=a < 0, rows_reversed=d < 0)


def square_size(width: int, height: int, sample_aspect: Fraction | None) -> tuple[int, int]:
    """The size in square pixels of a picture whose pixels are `sample_aspect` times as wide as
    high. The shorter side of a pixel is stretched, so that nothing is lost."""
    if sample_aspect is None or sample_aspect <= 0:
        return width, height
    stretch = max(sample_aspect, 1 / sample_aspect)
    if not LEAST_STRETCH <= stretch <= MOST_STRETCH:
        return width, height
    if sample_aspect > SQUARE:
        return round(width * stretch), height
    return width, round(height * stretch)
