"""The detector's doors: what the daemon asks of it, and what it asks of its own parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamwatch.geometry import Box
from streamwatch.records import Detection, Image, Vectors, Vocabulary


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One picture to search: what, for which prompts, and from which confidence on.

    `crop` is `(x1, y1, x2, y2)` in shares of the picture; what lies outside is not looked at.
    """

    image: Image
    vocabulary: Vocabulary
    floor: float
    crop: Box | None = None


class Network(Protocol):
    """The bare network of one checkpoint. Not thread-safe: one thread owns it.

    Made of the checkpoint's file and a device; raises DetectorError where it is none of its kind.
    """

    @property
    def text_width(self) -> int:
        """How wide the vectors are that it takes."""
        ...

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        """Search `images` `(batch, height, width, 3)` BGR, each for its own `texts`.

        `texts` is `(batch, slots, 512)`. Returns `(batch, 4 + slots, anchors)`: boxes as centre x,
        centre y, width, height in pixels of `images`, then a confidence for every slot.
        """
        ...


class Detector(Protocol):
    """Finds prompts in pictures. Not thread-safe: one thread owns it."""

    @property
    def device(self) -> str: ...

    def detect(self, views: Sequence[View]) -> list[tuple[Detection, ...]]:
        """The detections of each view, in the views' order; boxes in pixels of its whole image."""
        ...
