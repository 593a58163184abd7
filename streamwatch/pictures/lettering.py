"""Text on a coloured plate, of a size that fits the picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from streamwatch.records import Image

Colour = tuple[int, int, int]
"""Blue, green, red."""

TEXT_BGR = (24, 24, 24)
FONT = cv2.FONT_HERSHEY_SIMPLEX
LETTER_SHARE = 0.034
"""Height of a letter as a share of the picture's: 12 px at 360p, 73 px at 4K."""
MIN_LETTER_PX = 9


@dataclass(frozen=True, slots=True)
class Lettering:
    """A text's size at one font scale; all but the scale in pixels."""

    text: str
    scale: float
    thickness: int
    width: int
    height: int
    below_baseline: int
    padding: int

    @property
    def plate_width(self) -> int:
        return self.width + 2 * self.padding

    @property
    def plate_height(self) -> int:
        return self.height + self.below_baseline + 2 * self.padding


def lettering(text: str, image_height: int, image_width: int) -> Lettering:
    """For a picture of this size; smaller than usual where the plate would be wider than it."""
    letter_px = max(MIN_LETTER_PX, image_height * LETTER_SHARE)
    (_, unit_height), _ = cv2.getTextSize(text, FONT, 1.0, 1)
    scale = letter_px / max(unit_height, 1)
    letters = _measure(text, scale, letter_px)
    if letters.plate_width > image_width:
        shrink = image_width / letters.plate_width
        letters = _measure(text, scale * shrink, letter_px * shrink)
    return letters


def write(image: Image, letters: Lettering, left: int, top: int, plate: Colour) -> None:
    """Write into the image, with the plate's top left corner there."""
    bottom_right = (left + letters.plate_width - 1, top + letters.plate_height - 1)
    cv2.rectangle(image, (left, top), bottom_right, plate, cv2.FILLED)
    baseline = (left + letters.padding, top + letters.padding + letters.height)
    cv2.putText(
        image,
        letters.text,
        baseline,
        FONT,
        letters.scale,
        TEXT_BGR,
        letters.thickness,
        cv2.LINE_AA,
    )


def _measure(text: str, scale: float, letter_px: float) -> Lettering:
    thickness = max(1, round(letter_px / 12))
    (width, height), below_baseline = cv2.getTextSize(text, FONT, scale, thickness)
    return Lettering(text, scale, thickness, width, height, below_baseline, round(letter_px / 3))
