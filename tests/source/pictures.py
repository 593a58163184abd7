"""What decoded frames show."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from streamwatch.pixels import Pixels
from streamwatch.records import Image, Picture
from streamwatch.source import Decoded
from streamwatch.source.mask import Mask


def image_of(decoded: Decoded) -> Image:
    return decoded.unmasked.masked(Mask(())).bgr()


@dataclass(frozen=True)
class Drawn:
    """An image in place of what a decoder gives."""

    image: Image

    def checksum(self) -> int:
        return zlib.crc32(self.image.tobytes())

    def masked(self, mask: Mask) -> Picture:
        return Pixels(mask.applied(self.image))
