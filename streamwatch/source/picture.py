"""A decoded frame as a picture: upright, with square pixels, and masked before anyone sees it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import cast

import av
import av.error
from av.video.reformatter import VideoReformatter

from streamwatch.config import mask_secrets_in
from streamwatch.errors import SourceError
from streamwatch.records import Image, Luma
from streamwatch.source.mask import Mask
from streamwatch.source.upright import Orientation

CHECKED_STEP = 8
"""Every eighth row and column goes into the checksum, enough to notice a sensor's noise."""
AVERAGING = "AREA"
"""FFmpeg's name for averaging: of its ways to scale down the fastest that leaves nothing out."""


@dataclass(frozen=True, slots=True, eq=False)
class RawPicture:
    """A decoded frame that shows nothing yet: see `masked`. Outlives its container.

    `codec` is FFmpeg's name, as `h264`; `square` is the (width, height) that it has with square
    pixels, before it is turned; `shown` names its input, for errors.
    """

    _frame: av.VideoFrame = field(repr=False)
    shown: str
    codec: str
    square: tuple[int, int]
    turned: Orientation

    @property
    def time(self) -> float | None:
        """The time stamp in seconds; None without one."""
        return self._frame.time

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright picture with square pixels."""
        return self.turned.size(*self.square)

    def checksum(self) -> int:
        """Of single pixels' brightness, which a sensor's noise changes. Raises SourceError."""
        width, height = self.size
        samples = max(1, width // CHECKED_STEP), max(1, height // CHECKED_STEP)
        return zlib.crc32(self._converted("gray", samples, "POINT").tobytes())

    def masked(self, mask: Mask) -> CameraPicture:
        return CameraPicture(self, mask)

    def _converted(self, form: str, size: tuple[int, int], scaling: str = AVERAGING) -> Image:
        """Upright, of `size`, in FFmpeg's pixel format `form`; may share memory with the decoder.

        Raises SourceError.
        """
        width, height = self.turned.size(*size)  # turned back: what is stored lies as it did
        try:
            # A reformatter of its own, since several threads may convert the same frame.
            converted = VideoReformatter().reformat(
                self._frame, width, height, form, interpolation=scaling, threads=1
            )
            image = converted.to_ndarray()
        except av.error.FFmpegError as error:
            reason = mask_secrets_in(getattr(error, "strerror", None) or type(error).__name__)
        else:
            return self.turned.applied(cast(Image, image))
        raise SourceError(f"{self.shown}: its picture can't be converted ({reason})")


@dataclass(frozen=True, slots=True, eq=False)
class CameraPicture:
    """A `records.Picture` of what a decoder gave. What its mask hides is black in all it gives."""

    _raw: RawPicture
    _mask: Mask

    @property
    def size(self) -> tuple[int, int]:
        return self._raw.size

    def luma(self, size: tuple[int, int]) -> Luma:
        grey: Luma = self._raw._converted("gray", size)
        return self._mask.applied(grey, self.size)

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        image = self._raw._converted("bgr24", self.size if size is None else size)
        return self._mask.applied(image, self.size)
