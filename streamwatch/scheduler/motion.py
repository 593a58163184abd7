"""Whether anything in a camera's picture has changed from what stood there before.

Works on small pictures of the frames' brightness: a running mean of each cell is what stands there,
and a cell has changed where it differs from that by far more than it mostly does. How the light of
the whole picture changes is taken off first.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, floor

import cv2
import numpy as np
from numpy.typing import NDArray

from streamwatch.geometry import Box, Polygon

WIDTH = 128
"""Most cells across. A person 20 px high in a picture of 640x360 is 4 cells high and 2 wide."""
ASLEEP_SECONDS = 10.0
"""Time constant of the mean while nothing moves. What fades in over 8 s differs by two thirds of
its contrast at the end."""
AWAKE_SECONDS = 2.5
"""The same for `AWAKE_FOR_SECONDS` after motion, so that what has stopped belongs to the picture
after 4 to 8 s, depending on its contrast."""
AWAKE_FOR_SECONDS = 8.0
NOISE_SECONDS = 30.0
"""In this time of ever larger (or smaller) differences a cell's noise level grows (or shrinks) by
e. What stays for some seconds must not make its cells deaf."""
NEW_NOISE_SECONDS = 6.0
"""The same in the first `NEW_SECONDS`."""
NEW_SECONDS = 40.0
LEVELS_OF_NOISE = 6.7
"""A cell has changed beyond this many times its noise level, which is the median of its differences:
4.5 standard deviations of a normal distribution (4.5 / 0.6745)."""
LEAST_LEVELS = 2.6
"""Nothing smaller is a change: rounding, and what compression does to flat parts of a picture."""
MOST_LEVELS = 26.0
"""Anything greater is a change, however restless its cell is, but for `EDGE_SHARE`."""
EDGE_LEVELS = 12.0
SHAKE_OFF = 0.02
SHAKE_K = 6.0
EDGE_SHARE = 0.5
"""By this share of the brightness's range among a cell and its neighbours, a restless cell may
differ beyond `MOST_LEVELS`: where the camera shakes, an edge comes and goes."""
WEATHER_MARGIN = 2.0
"""What is far greater than what happens all over the picture is a change."""
WEATHER_PLACES = 0.25
"""All over the picture is in this share of the heat map's cells."""
WEATHER_RISE_SECONDS = 4.0
"""In this time of rain the level that counts as weather grows by e."""
WEATHER_FALL_SECONDS = 10.0
TOGETHER = 3
"""So many cells of 3x3 that have changed are motion."""
LIGHT_SHARE = 0.3
"""Most that the light may change from the mean; beyond it is motion, as where a lamp is lit."""
LIGHT_BANDS = 4
"""In how many bands of brightness, each with as many cells, the change of light is measured: more
than one, since cameras bend the curve, and some give black as 16."""
LIGHT_CELLS = 256
"""About how many cells a band is measured from."""
HIGHLIGHT = 224
"""What was, and is, at least so bright may be clipped, and its difference says nothing. White is
235 for most cameras."""
HEAT_SECONDS = 300.0
"""How long motion counts in `Motion.where`."""
HEAT_COLUMNS, HEAT_ROWS = 8, 6
HEAT_SHARE = 0.8
"""`Motion.where` holds this share of the motion."""

Luma = NDArray[np.uint8]
"""`(height, width)` uint8, the Y plane averaged down to at most `WIDTH` cells across."""
Valid = NDArray[np.bool_]
"""`(height, width)` of the same size: the cells that count."""
_Levels = NDArray[np.float32]


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
    # OpenCV fills every cell that the outline runs through, and those inside it. A cell's middle
    # has whole coordinates there, its edges those and a half.
    fraction_bits = 8
    for polygon in (*mask, *ignore):
        points = (np.array(polygon, np.float64) * (width, height) - 0.5) * 2**fraction_bits
        corners = points.round().astype(np.int32)
        cv2.fillPoly(valid, [corners], 0, cv2.LINE_8, fraction_bits)
    return valid.astype(bool)


class Motion:
    """Watches one camera's small pictures. Not for several threads at once.

    It learns in the first seconds, in which it may be wrong either way.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next picture is the first."""
        self._mean: _Levels | None = None

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

        `seconds` is monotonic. `valid` may be another array each time but is not to be written
        into; None lets all cells count. A picture of another size is a first one.
        """
        if self._mean is None or self._mean.shape != luma.shape:
            self._begin(luma, seconds)
            return False
        past = max(0.0, seconds - self._seconds)
        self._seconds = seconds
        self._age += past
        if valid is not self._valid:
            self._choose(valid)
        if not len(self._sample):
            return False

        difference = self._difference(self._mean, luma)
        limit = self._limit(self._mean, difference)
        changed = _clusters(difference, cv2.max(limit, self._weather))
        if changed is not None:
            self._follow_weather(changed, past)
            changed = _clusters(difference, cv2.max(limit, min(self._weather * WEATHER_MARGIN, MOST_LEVELS)))
        else: self._weather = max(self._weather * exp(-past / WEATHER_FALL_SECONDS), LEAST_LEVELS / WEATHER_MARGIN)
        moved = changed is not None
        if changed is not None:
            self._stirred[cv2.dilate(changed, np.ones((3, 3), np.uint8)) > 0] = seconds + AWAKE_FOR_SECONDS
        self._warm(changed if moved else None, past)
        self._learn(luma, difference, past)
        return moved

    def _follow_weather(self, changed, past: float) -> None:
        places = cv2.resize(changed.astype(np.float32), (HEAT_COLUMNS, HEAT_ROWS), interpolation=cv2.INTER_AREA)
        if np.count_nonzero(places) >= WEATHER_PLACES * HEAT_COLUMNS * HEAT_ROWS:
            self._weather = min(self._weather * exp(min(past, 2) / WEATHER_RISE_SECONDS), MOST_LEVELS)
        else:
            self._weather = max(self._weather * exp(-past / WEATHER_FALL_SECONDS), LEAST_LEVELS / WEATHER_MARGIN)

    def _begin(self, luma: Luma, seconds: float) -> None:
        self._mean = luma.astype(np.float32)
        self._noise = np.full(luma.shape, LEAST_LEVELS / LEVELS_OF_NOISE, np.float32)
        self._weather = LEAST_LEVELS / WEATHER_MARGIN
        self._stirred = np.full(luma.shape, -np.inf)
        self._heat = np.zeros((HEAT_ROWS, HEAT_COLUMNS), np.float32)
        self._seconds, self._age, self._awake_until = seconds, 0.0, float("-inf")
        self._choose(None)

    def _choose(self, valid: Valid | None) -> None:
        """The cells that the light is measured in: of those that count, each n-th."""
        assert self._mean is not None
        self._valid = valid
        self._counts = None if valid is None else valid.astype(np.uint8)
        cells = np.arange(self._mean.size) if valid is None else np.flatnonzero(valid)
        # An odd step, for an even one may see only every second column.
        step = max(1, len(cells) // (LIGHT_BANDS * LIGHT_CELLS)) | 1
        cells = cells[::step]
        bands = min(LIGHT_BANDS, len(cells))
        self._sample = cells[: len(cells) - len(cells) % bands] if bands else cells
        self._bands = bands

    def _difference(self, mean: _Levels, luma: Luma) -> _Levels:
        """How far each cell is from what stood there, in the light of now; 0 where none counts."""
        whole = mean.astype(np.uint8)
        expected = cv2.add(mean, cv2.LUT(whole, self._light(mean, luma)))
        difference = cv2.absdiff(expected, luma.astype(np.float32))
        difference[cv2.min(whole, luma) >= HIGHLIGHT] = 0
        if self._counts is not None:
            difference *= self._counts
        return difference  # type: ignore[no-any-return]

    def _light(self, mean: _Levels, luma: Luma) -> _Levels:
        """By how many levels the light of now has raised each of the 256 levels of the mean.

        The median of each band of brightness, straight between the bands' middles, and in
        proportion to the level outside of them. Something that covers most of a band is taken for
        light; then the rest of the band, or the limit, shows it.
        """
        before = mean.ravel()[self._sample]
        order = np.argsort(before).reshape(self._bands, -1)
        rise = luma.ravel()[self._sample] - before
        rises = np.median(rise[order], axis=1)
        middles = np.maximum(np.median(before[order], axis=1), 1.0)
        shares = np.clip(rises / middles, -LIGHT_SHARE, LIGHT_SHARE)
        return (np.interp(_LEVELS, middles, shares) * _LEVELS).astype(np.float32)

    def _limit(self, mean, difference):
        kernel = np.ones((3, 3), np.uint8)
        span = cv2.subtract(cv2.dilate(mean, kernel), cv2.erode(mean, kernel))
        spans = span.ravel()[self._sample]
        edges = spans > EDGE_LEVELS
        q = 0.
        if edges.sum() > 30:
            q = max(0., float(np.median(difference.ravel()[self._sample][edges]/spans[edges])) - SHAKE_OFF)
        return np.minimum(self._noise * LEVELS_OF_NOISE, MOST_LEVELS + EDGE_SHARE * span) + (SHAKE_K * q) * span

    def _learn(self, luma: Luma, difference: _Levels, past: float) -> None:
        fresh = past / (self._age + past) if past else 0.0
        slow, fast = (max(1 - exp(-past / each), fresh) for each in (ASLEEP_SECONDS, AWAKE_SECONDS))
        stirred = (self._stirred > self._seconds).view(np.uint8)
        cv2.accumulateWeighted(luma, self._mean, slow, 1 - stirred)
        cv2.accumulateWeighted(luma, self._mean, fast, stirred)
        pace = NEW_NOISE_SECONDS if self._age < NEW_SECONDS else NOISE_SECONDS
        growth = exp(min(past, 2.0) / pace)
        self._noise *= np.where(
            difference > self._noise, np.float32(growth), np.float32(1 / growth)
        )
        least, most = LEAST_LEVELS /2/ LEVELS_OF_NOISE, 100 / LEVELS_OF_NOISE
        np.clip(self._noise, least, most, out=self._noise)

    def _warm(self, changed: NDArray[np.uint8] | None, past: float) -> None:
        """Note where it moved, for as long as it did."""
        self._heat *= exp(-past / HEAT_SECONDS)
        if changed is not None:
            size = HEAT_COLUMNS, HEAT_ROWS
            shares = cv2.resize(changed.astype(np.float32), size, interpolation=cv2.INTER_AREA)
            self._heat += shares * min(past, 1.0)


_LEVELS = np.arange(256, dtype=np.float32)


def _clusters(difference, limit):
    """1 for each cell that has changed and has neighbours that did."""
    beyond = (difference > limit).view(np.uint8)
    near = cv2.boxFilter(beyond, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    changed = beyond & (near >= TOGETHER).view(np.uint8)
    return changed if changed.any() else None
