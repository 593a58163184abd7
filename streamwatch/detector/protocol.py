"""The detector's interfaces: `Detector` for the daemon, `Network` for each kind of checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from streamwatch.geometry import Box
from streamwatch.records import Detection, Picture, Vectors, Vocabulary


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One picture to search for a vocabulary; `floor` is the least confidence of a detection.

    `crop` is `(x1, y1, x2, y2)` in shares of width and height; only that part is searched.
    """

    picture: Picture
    vocabulary: Vocabulary
    floor: float
    crop: Box | None = None


Precision = Literal["full", "half", "int8"]
"""Numbers of 32 or 16 bits, or quantized to 8."""


@dataclass(frozen=True, slots=True)
class Running:
    """How a network runs. `problem` says why not as it was asked to, where that is so."""

    device: str
    backend: Literal["torch", "openvino"]
    precision: Precision
    problem: str | None = None


class Network(Protocol):
    """The network of one checkpoint. Not thread-safe: one thread owns it."""

    @property
    def running(self) -> Running:
        """From any thread."""
        ...

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        """Search `images` `(batch, height, width, 3)` BGR, each for its own `texts`.

        `texts` is `(batch, slots, 512)`. Returns `(batch, 4 + slots, anchors)`: boxes as centre x,
        centre y, width, height in pixels of `images`, then a confidence for every slot. Afterwards
        the caller writes into both again.
        """
        ...


class Detector(Protocol):
    """Finds prompts in pictures. Not thread-safe: one thread owns it."""

    @property
    def running(self) -> Running:
        """From any thread; may change by itself."""
        ...

    def detect(self, views: Sequence[View]) -> list[tuple[Detection, ...]]:
        """The detections of each view, in the views' order; boxes in pixels of its whole picture.

        Raises DetectorError.
        """
        ...
