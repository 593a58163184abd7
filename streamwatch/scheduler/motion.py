"""Whether anything in a camera's picture has changed from what stood there before.

Works on small pictures of the frames' brightness: a running mean of each cell is what stands there,
and a cell has changed where it differs from that by far more than it mostly does. What happens to
the whole picture at once is no motion: its light changes, rain falls on it, the camera shakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, floor

import cv2
import numpy as np
from numpy.typing import NDArray

from streamwatch.geometry import Box, Polygon
from streamwatch.records import Luma

WIDTH = 128
"""Most cells across. A person 20 px high in a picture of 640x360 is 4 cells high and 2 wide."""
RESTING_SECONDS = 10.0
"""Time constant of a cell's mean while it doesn't change. What fades in over 8 s differs by two
thirds of its contrast at the end."""
PASSING_SECONDS = 1.5
"""While a cell has changed for less than that, its mean stays as it is, or those that pass would
leave something of themselves behind."""
STAYING_SECONDS = 2.0
"""Time constant after that: what has stopped belongs to the picture after 5 to 8 s in all,
depending on its contrast."""
STIRRED_FOR_SECONDS = 8.0
"""How long a cell counts as stirred after it, or one next to it, has changed."""
NOISE_SECONDS = 30.0
"""While a cell's differences are above its noise level, or below, that grows, or shrinks, by e in
this time. What passes, or stays for some seconds, must not make a cell deaf."""
NEW_NOISE_SECONDS = 6.0
"""The same in the first `NEW_SECONDS`, and in stirred cells, whose edges may be new."""
NEW_SECONDS = 40.0
LEVELS_OF_NOISE = 6.7
"""A cell has changed beyond this many times its noise level, the median of its differences: 4.5
standard deviations of a normal distribution (4.5 / 0.6745)."""
LEAST_LEVELS = 2.6
"""Nothing smaller is a change: rounding, and what compression does to flat parts of a picture. A
person in the dark may differ by no more than 4."""
MOST_LEVELS = 26.0
"""Anything greater is a change, however restless its cell is, but for `EDGE_SHARE`."""
EDGE_SHARE = 0.5
"""By this share of the range of brightness around a cell, a restless one may differ beyond
`MOST_LEVELS`: an edge that sways to and fro between two cells."""
TOGETHER = 3
"""So many cells of 3x3 that have changed are motion."""

LIGHT_SHARE = 0.3
"""Most that the light may change from the mean; beyond it is motion, as where a lamp is lit."""
LIGHT_BANDS = 4
"""In how many bands of brightness, each with as many cells, the change of light is measured: more
than one, since cameras bend the curve, and most give black as 16."""
LIGHT_CELLS = 256
"""About how many cells a band is measured from."""
HIGHLIGHT = 224
"""What is at least so bright may be clipped, and brighter in truth. White is 235 for most
cameras."""

EDGE_LEVELS = 12.0
"""Cells with such a range of brightness around them show whether the camera shakes: there, most
differences are a share of the range, as large as the move."""
LEAST_EDGES = 30
"""In fewer cells of the sample, one thing that moves might look like a shaking camera."""
SHAKE_MARGIN = 4.0
"""A move may make this many times the median share of a cell's range: some edges are sharper."""

WEATHER_PLACES = 0.25
"""What changes in this share of the heat map's places, each a part of the picture, is weather."""
WEATHER_MARGIN = 2.0
"""What differs more than weather by this factor is a change."""
WEATHER_RISE_SECONDS = 4.0
"""In this time of rain what counts as weather grows by e."""
WEATHER_FALL_SECONDS = 10.0
"""And shrinks by e in this time without."""

BAD_WEATHER_LEVELS = 4.0
"""The weather is bad where changes must be greater than that."""
FASTEST_CELLS = 15
"""What is not clear goes no faster in bad weather, in cells a second: a seventh of the width."""

HEAT_COLUMNS, HEAT_ROWS = 8, 6
HEAT_SECONDS = 300.0
"""How long motion counts in `Motion.where`."""
HEAT_SHARE = 0.8
"""`Motion.where` holds this share of the motion."""

Valid = NDArray[np.bool_]
"""`(height, width)` of a luma's size: the cells that count."""
_Levels = NDArray[np.float32]
_Flags = NDArray[np.uint8]
"""1 or 0 for each cell."""

_ALL_LEVELS = np.arange(256, dtype=np.float32)
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_FINER = 8
"""So many times finer than its cells, each way, a picture's masks are drawn."""
_FRACTION_BITS = 8
_NOISE_RANGE = (
    LEAST_LEVELS / WEATHER_MARGIN / LEVELS_OF_NOISE,
    (MOST_LEVELS + EDGE_SHARE * 255) / LEVELS_OF_NOISE,
)
"""No noise level outside of it would make another limit."""


def valid_cells(
    shape: tuple[int, int],
    crop: Box | None = None,
    mask: Sequence[Polygon] = (),
    ignore: Sequence[Polygon] = (),
) -> Valid:
    """The cells of a (height, width) picture in which motion counts.

    All in shares of the whole picture: a cell must lie inside `crop`, and no polygon of `mask` or
    `ignore` may touch it.
    """
    height, width = shape
    valid = np.ones(shape, np.uint8)
    if crop is not None:
        x1, y1 = ceil(crop[0] * width - 1e-6), ceil(crop[1] * height - 1e-6)
        x2, y2 = floor(crop[2] * width + 1e-6), floor(crop[3] * height + 1e-6)
        valid[:] = 0
        valid[y1:y2, x1:x2] = 1
    # Drawn finer than a cell, and wider by one of those finer steps, since OpenCV leaves out some
    # of what an outline only touches.
    touched = np.zeros((height * _FINER, width * _FINER), np.uint8)
    for polygon in (*mask, *ignore):
        corners = np.array(polygon, np.float64) * (width * _FINER, height * _FINER) - 0.5
        fixed = (corners * 2**_FRACTION_BITS).round().astype(np.int32)
        cv2.fillPoly(touched, [fixed], 1, cv2.LINE_8, _FRACTION_BITS)
    wide: _Flags = cv2.dilate(touched, _NEIGHBOURS)
    masked = wide.reshape(height, _FINER, width, _FINER).any(axis=(1, 3))
    return valid.astype(bool) & ~masked


class Motion:
    """Watches one camera's small pictures. Not for several threads at once.

    It learns in the first minute, in which it may be wrong either way.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next picture is the first."""
        self._mean: _Levels | None = None
        self._seconds = self._age = 0.0

    @property
    def where(self) -> Box | None:
        """The part of the picture, in shares, that most of the last minutes' motion came from."""
        if self._mean is None or not self._heat.any():
            return None
        order = np.argsort(self._heat, axis=None)[::-1]
        reached = np.cumsum(self._heat.ravel()[order]) >= HEAT_SHARE * self._heat.sum()
        rows, columns = np.divmod(order[: int(reached.argmax()) + 1], HEAT_COLUMNS)
        return (
            float(columns.min() / HEAT_COLUMNS),
            float(rows.min() / HEAT_ROWS),
            float((columns.max() + 1) / HEAT_COLUMNS),
            float((rows.max() + 1) / HEAT_ROWS),
        )

    def update(self, luma: Luma, seconds: float, valid: Valid | None) -> bool:
        """Whether something has moved, come or gone in this picture.

        `luma` is the frame's, averaged down to at most `WIDTH` cells across; one of another size is
        a first one. `seconds` is monotonic. `valid` may be another array each time, but none that
        was given may be written into; None lets all cells count.
        """
        if self._mean is None or self._mean.shape != luma.shape:
            self._begin(luma, seconds)
            self._choose(valid)
            return False
        past = max(0.0, seconds - self._seconds)
        self._seconds = seconds
        self._age += past
        if valid is not self._valid:
            self._choose(valid)
        if not self._sample.size:
            return False

        surplus = luma - self._expected(self._mean, luma)
        difference = self._difference(self._mean, luma, surplus)
        limit = self._limit(self._mean, difference)
        stirring = _clusters(difference, np.maximum(limit, self._weather))
        self._follow_weather(stirring, past)
        changed = _clusters(difference, np.maximum(limit, self._above_weather))
        told = self._told(changed, difference, limit, past)
        moved = bool(told.any())
        self._heat *= exp(-past / HEAT_SECONDS)
        if moved:
            self._heat += _places(told) * min(past, 1.0)
        around = cv2.dilate(changed, _NEIGHBOURS).view(np.bool_)
        self._stirred_until[around] = seconds + STIRRED_FOR_SECONDS
        # Not at once 0 where it hasn't: what stays may hardly differ from behind here and there.
        self._changed_for += np.where(around, np.float32(past), np.float32(-past))
        np.maximum(self._changed_for, 0, out=self._changed_for)
        if past:
            self._learn(self._mean, luma, surplus, around, past)
            self._follow_noise(difference, past)
        return moved

    def _begin(self, luma: Luma, seconds: float) -> None:
        self._mean = luma.astype(np.float32)
        self._noise = np.full(luma.shape, LEAST_LEVELS / LEVELS_OF_NOISE, np.float32)
        self._weather = LEAST_LEVELS / WEATHER_MARGIN
        self._changed = np.zeros(luma.shape, np.uint8)
        self._heat = np.zeros((HEAT_ROWS, HEAT_COLUMNS), np.float32)
        self._changed_for = np.zeros(luma.shape, np.float32)
        self._stirred_until = np.full(luma.shape, -np.inf)
        self._seconds, self._age = seconds, 0.0

    def _choose(self, valid: Valid | None) -> None:
        """Take up which cells count, and each n-th of them as the sample that shows the light."""
        assert self._mean is not None
        self._valid = valid
        counts = np.ones(self._mean.shape, np.uint8) if valid is None else valid.view(np.uint8)
        self._counts = counts
        self._places_used = int(np.count_nonzero(_places(counts)))
        cells = np.flatnonzero(counts)
        # An odd step, for an even one may see only every second column.
        cells = cells[:: max(1, cells.size // (LIGHT_BANDS * LIGHT_CELLS)) | 1]
        self._bands = max(1, min(LIGHT_BANDS, cells.size))
        self._sample = cells[: cells.size - cells.size % self._bands]

    def _expected(self, mean: _Levels, luma: Luma) -> _Levels:
        """What stood there, in the light of now."""
        rise: _Levels = cv2.LUT(mean.astype(np.uint8), self._light(mean, luma))
        return mean + rise

    def _difference(self, mean: _Levels, luma: Luma, surplus: _Levels) -> _Levels:
        """How far each cell is from what is expected; 0 where that says nothing or can't count."""
        difference: _Levels = np.abs(surplus)
        clipped_now, clipped_before = luma >= HIGHLIGHT, mean >= HIGHLIGHT
        difference[(clipped_now & (surplus < 0)) | (clipped_before & (surplus > 0))] = 0
        difference *= self._counts
        return difference

    def _light(self, mean: _Levels, luma: Luma) -> _Levels:
        """By how many levels the light of now has raised each of the 256 levels of the mean.

        The median of each band of brightness, straight between the bands' middles, and in
        proportion to the level outside of them. Something that covers most of a band is taken for
        light; then the rest of the band, or the limit, shows it.
        """
        before = mean.ravel()[self._sample]
        order = np.argsort(before).reshape(self._bands, -1)
        rises = np.median((luma.ravel()[self._sample] - before)[order], axis=1)
        middles = np.maximum(np.median(before[order], axis=1), 1.0)
        shares = np.clip(rises / middles, -LIGHT_SHARE, LIGHT_SHARE)
        rise: _Levels = np.interp(_ALL_LEVELS, middles, shares).astype(np.float32) * _ALL_LEVELS
        return rise

    def _limit(self, mean: _Levels, difference: _Levels) -> _Levels:
        """Beyond which difference each cell has changed, but for the weather."""
        span: _Levels = cv2.dilate(mean, _NEIGHBOURS) - cv2.erode(mean, _NEIGHBOURS)
        limit: _Levels = np.minimum(self._noise * LEVELS_OF_NOISE, MOST_LEVELS + EDGE_SHARE * span)
        spans = span.ravel()[self._sample]
        edges = spans > EDGE_LEVELS
        if np.count_nonzero(edges) >= LEAST_EDGES:
            noise = np.median(self._noise.ravel()[self._sample])
            beyond_noise = difference.ravel()[self._sample][edges] - noise
            shaken = float(np.median(beyond_noise / spans[edges]))
            if shaken > 0:
                limit += span * np.float32(SHAKE_MARGIN * shaken)
        return limit

    @property
    def _above_weather(self) -> float:
        return min(self._weather * WEATHER_MARGIN, MOST_LEVELS)

    def _told(self, changed: _Flags, difference: _Levels, limit: _Levels, past: float) -> _Flags:
        """Of the cells that have changed those that are motion: in bad weather, where drops fall
        together now and then, what is clear or was near there in the picture before too."""
        before, self._changed = self._changed, changed
        if self._above_weather < BAD_WEATHER_LEVELS or not changed.any():
            return changed
        reach = max(1, round(min(past, 1.0) * FASTEST_CELLS))
        near = cv2.dilate(before, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
        clear = _clusters(difference, np.maximum(limit, MOST_LEVELS))
        told: _Flags = (changed & near) | clear
        return told

    def _follow_weather(self, stirring: _Flags, past: float) -> None:
        stirred = np.count_nonzero(_places(stirring)) if stirring.any() else 0
        if stirred >= WEATHER_PLACES * self._places_used:
            self._weather *= exp(min(past, 1.0) / WEATHER_RISE_SECONDS)
        else:
            self._weather *= exp(-past / WEATHER_FALL_SECONDS)
        self._weather = min(max(self._weather, LEAST_LEVELS / WEATHER_MARGIN), MOST_LEVELS)

    def _learn(
        self, mean: _Levels, luma: Luma, surplus: _Levels, changed: NDArray[np.bool_], past: float
    ) -> None:
        # At first the mean of all pictures, or the first would weigh most for long.
        new = past / (self._age + past)
        resting, staying = 1 - exp(-past / RESTING_SECONDS), 1 - exp(-past / STAYING_SECONDS)
        cv2.accumulateWeighted(luma, mean, max(new, resting))
        if new > resting or not changed.any():
            return
        # Without the light's change, which the mean must follow everywhere at the same pace.
        stays = self._changed_for > PASSING_SECONDS
        more = np.where(stays, np.float32(staying - resting), np.float32(-resting))
        mean += surplus * more * changed

    def _follow_noise(self, difference: _Levels, past: float) -> None:
        stirred = (self._stirred_until > self._seconds).view(np.uint8)
        resting = NEW_NOISE_SECONDS if self._age < NEW_SECONDS else NOISE_SECONDS
        quick, slow = (exp(min(past, 1.0) / each) for each in (NEW_NOISE_SECONDS, resting))
        factors = np.zeros(256, np.float32)
        factors[:4] = 1 / slow, slow, 1 / quick, quick
        above = (difference > self._noise).view(np.uint8)
        self._noise *= cv2.LUT(above | (stirred << 1), factors)
        np.clip(self._noise, *_NOISE_RANGE, out=self._noise)


def _clusters(difference: _Levels, limit: _Levels) -> _Flags:
    """The cells that have changed and have enough neighbours that did."""
    beyond = (difference > limit).view(np.uint8)
    if cv2.countNonZero(beyond) < TOGETHER:
        return np.zeros_like(beyond)
    near = cv2.boxFilter(beyond, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    changed: _Flags = beyond & (near >= TOGETHER).view(np.uint8)
    return changed


def _places(cells: _Flags) -> _Levels:
    """The share of such cells in each place of the heat map."""
    size = HEAT_COLUMNS, HEAT_ROWS
    shares: _Levels = cv2.resize(cells.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return shares
