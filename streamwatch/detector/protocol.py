"""The detector's doors: what the daemon asks of it, and what it asks of its own parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamwatch.geometry import Box
from streamwatch.records import Detection, Image

TEXT_WIDTH = 512
"""How wide a text vector is: CLIP ViT-B/32's projection, which YOLO-World's text input takes."""

Vectors = NDArray[np.float32]
"""`(prompts, 512)` float32, each row of unit length."""


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """The prompts one camera looks for, with their vectors, in the same order."""

    prompts: tuple[str, ...]
    vectors: Vectors


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One picture to search: what, for which prompts, and from which confidence on.

    `crop` is `(x1, y1, x2, y2)` in shares of the picture; what lies outside is not looked at.
    """

    image: Image
    vocabulary: Vocabulary
    floor: float
    crop: Box | None = None


class TextEncoder(Protocol):
    """Turns prompts into vectors `width` wide, of unit length.

    Made of the folder of its files; raises DetectorError where they are broken. Its memory comes
    back only with the end of its process: see `encoding.py`.
    """

    @property
    def width(self) -> int: ...

    @property
    def longest(self) -> int:
        """How many tokens of a prompt it reads, start and end included; the rest is cut off."""
        ...

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens each prompt has, start and end included, nothing cut."""
        ...

    def encode(self, prompts: Sequence[str]) -> Vectors: ...


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
