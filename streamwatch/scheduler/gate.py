"""The motion gate of one camera: in which due frames nothing has moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from streamwatch.geometry import Box, Polygon
from streamwatch.records import Picture
from streamwatch.scheduler.motion import WIDTH, Motion, Valid, valid_cells

AFTER_START_SECONDS = 60.0
"""So long every frame is analysed after a start, a reconnect, another size or other words: what
moves there is learnt, and whatever is there already is found."""
AFTER_MOTION_SECONDS = 5.0
"""So long every frame is analysed after motion: what came may be found only some frames later."""
RESTLESS_SECONDS = 300.0
"""Time constant of the share of time in which something moves."""
RESTLESS_SHARE = 0.9
"""From this share on the picture never calms down, as one with a tree in the wind."""


@dataclass(frozen=True, slots=True)
class Areas:
    """Which parts of the picture wake the gate, in shares: those within `crop`, without those in
    `mask` and `ignore`."""

    crop: Box | None
    mask: Sequence[Polygon]
    ignore: Sequence[Polygon]


class Gate:
    """Says of each due frame whether all in it is still.

    `is_still` is for the camera's capture thread; everything else for any thread. Time is that
    of the frames, so that a file is gated the same way however fast it is read.
    """

    def __init__(self, areas: Areas | None) -> None:
        """Without `areas` it is switched off: no frame is still."""
        self._areas = areas
        self._motion = Motion()
        self._begins = True
        """Whether all is to be learnt anew with the next frame."""
        self._woken = False
        """Whether `wake` was called since the last frame."""
        self._size: tuple[int, int] | None = None
        self._valid: Valid | None = None
        self._valid_areas: Areas | None = None
        """What `_valid` was made from."""
        self._learning_until = self._moving_until = float("-inf")
        self._seconds: float | None = None
        """Of the newest frame."""
        self._moving_share = 0.0

    def change(self, areas: Areas | None) -> None:
        """Go on with these."""
        if self._areas is None:  # it has not seen what came meanwhile
            self._begins = True
        self._areas = areas

    def wake(self) -> None:
        """Other things are looked for: let the next frames be analysed, for a minute."""
        self._woken = True

    def begin(self) -> None:
        """The camera is opened: what comes may look different."""
        self._begins = True

    @property
    def moving(self) -> bool:
        """Whether something moved in the last frames."""
        seconds = self._seconds
        return seconds is not None and seconds <= self._moving_until

    @property
    def learning(self) -> bool:
        """Whether all is analysed since it was opened or changed a moment ago."""
        seconds = self._seconds
        return seconds is None or seconds < self._learning_until

    @property
    def restless(self) -> Box | None:
        """The part of the picture, in shares, whose motion keeps the camera awake nearly always;
        None if it sleeps now and then."""
        awake = self._moving_share >= RESTLESS_SHARE and self._areas is not None
        return self._motion.where if awake else None

    def is_still(self, picture: Picture, seconds: float) -> bool:
        """Whether nothing moves in this frame nor did just before. Raises SourceError.

        `seconds` is `Frame.seconds`.
        """
        areas = self._areas
        if areas is None:
            return False
        width, height = picture.size
        if self._begins or self._size != picture.size:
            self._begins, self._size = False, picture.size
            self._motion.reset()
            self._valid_areas = None
            self._woken = True
        if self._woken:
            self._woken = False
            self._learning_until = seconds + AFTER_START_SECONDS
        columns = min(WIDTH, width)
        rows = max(1, round(height * columns / width))
        if areas is not self._valid_areas:
            shape = rows, columns
            self._valid = valid_cells(shape, areas.crop, areas.mask, areas.ignore)
            self._valid_areas = areas
        if self._motion.update(picture.luma((columns, rows)), seconds, self._valid):
            self._moving_until = seconds + AFTER_MOTION_SECONDS
        past = 0.0 if self._seconds is None else max(0.0, seconds - self._seconds)
        self._seconds = seconds
        self._moving_share += (1 - exp(-past / RESTLESS_SECONDS)) * (
            self.moving - self._moving_share
        )
        return not self.moving and seconds >= self._learning_until
