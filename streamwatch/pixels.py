"""A picture that is an array already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2

from streamwatch.records import Image, Luma


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """`image` as a `records.Picture`. The array is shared: never write into it."""

    image: Image

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[1], self.image.shape[0]

    def luma(self, size: tuple[int, int]) -> Luma:
        grey = cv2.cvtColor(self.image, cv2.COLOR_BGR2GRAY)
        return cast(Luma, cv2.resize(grey, size, interpolation=cv2.INTER_AREA))

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        if size is None or size == self.size:
            return self.image
        return cast(Image, cv2.resize(self.image, size, interpolation=cv2.INTER_LINEAR))
