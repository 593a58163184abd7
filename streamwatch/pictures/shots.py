"""A camera's picture with what is to be drawn over it, for those who look at it live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from streamwatch.geometry import Box


@dataclass(frozen=True, slots=True)
class Mark:
    """A thing to draw. `box` is in shares of width and height; `watches` are those for which it
    counts; where it counts for none, `why` says why, in words."""

    prompt: str
    confidence: float
    box: Box
    watches: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One picture of a camera. `size` is (width, height) of the whole frame in pixels."""

    camera: str
    captured_at: datetime
    size: tuple[int, int]
    marks: tuple[Mark, ...]
    jpeg: bytes


def in_shares(box: Box, size: tuple[int, int]) -> Box:
    """A box in pixels of a picture of (width, height), in shares of these."""
    width, height = size
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height
