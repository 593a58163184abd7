"""Tracking things from frame to frame: ByteTrack's idea, in seconds instead of frames.

Changed so that identity holds at 1 frame a second as at 15:

- the filter steps by elapsed seconds, and a track is returned from its first strong detection;
- strong detections are matched to predictions by IoU, then weak ones keep the rest alive (Zhang et
  al., "ByteTrack", ECCV 2022, https://arxiv.org/abs/2110.06864), and then what is left of both is
  matched by distance over elapsed time, since at 1 fps a walker's boxes no longer overlap;
- a strong detection around a tracked thing, or around a part of it, starts no second track, and a
  track that overlaps an older one in half of its sightings is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import hypot

import lap
import numpy as np
from numpy.typing import NDArray

from streamwatch.geometry import Box, area, center, intersection, iou
from streamwatch.records import Detection, Track
from streamwatch.watch import kalman

STRONG_IOU = 0.2
"""The least IoU of a strong detection with a prediction (ByteTrack: 0.2)."""
WEAK_IOU = 0.5
"""The least IoU of a weak detection with a prediction (ByteTrack: 0.5)."""
SAME_THING_IOU = 0.5
"""From this IoU on, a second detection on a tracked thing is a double, not a neighbour."""
PART_INSIDE = 0.8
"""With this share of a box inside a tracked thing's, it may be a part of it; see SIZE_RATIO."""
COAST_SECONDS = 2.0
"""An unseen thing is assumed to move on for this long, and to stand still after that."""
NEWCOMER_SPEED = 2.5
"""Greatest speed of a thing seen once, in box diagonals a second: a runner is near 2, a car near
1.5 (measured on drawn and filmed streets)."""
SETTLED_SPEED = 1.5
"""The same around the prediction once its velocity is known: a parked truck may drive off."""
REACH = 0.5
"""How far off it may be at any speed, in box diagonals."""
SIZE_RATIO = 3.0
"""The greatest change of a box's area between two sightings matched by distance, and the greatest
ratio of a thing's box to a box around a part of it."""


@dataclass(slots=True, eq=False)
class _Followed:
    id: int
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    prompt: str
    box: Box
    first_seen: float
    last_seen: float
    confidence: float
    best_confidence: float
    sightings: int = 1
    doubled: int = 0

    def scale(self, x: float, y: float) -> None:
        """Multiply widths by `x` and heights by `y`."""
        factors = np.array([x, y, x / y, y] * 2)
        self.mean = self.mean * factors
        self.covariance = self.covariance * np.outer(factors, factors)
        self.box = (self.box[0] * x, self.box[1] * y, self.box[2] * x, self.box[3] * y)

    def track(self) -> Track:
        return Track(
            self.id,
            self.prompt,
            self.box,
            self.first_seen,
            self.last_seen,
            self.confidence,
            self.best_confidence,
        )


class Tracker:
    """Follows the things of one camera and watch.

    `strong` says which detections may start a track or be matched by distance; the others only keep
    tracks alive. `ids` numbers the tracks; a track unseen for `keep_seconds` is dropped.
    """

    def __init__(
        self, strong: Callable[[Detection], bool], keep_seconds: float, ids: Iterator[int]
    ) -> None:
        self._strong = strong
        self.keep_seconds = keep_seconds
        self._ids = ids
        self._followed: list[_Followed] = []
        self._seconds: float | None = None
        self._size: tuple[int, int] | None = None

    def update(
        self, seconds: float, size: tuple[int, int], detections: Sequence[Detection]
    ) -> tuple[Track, ...]:
        """The tracks seen at `seconds` (`Frame.seconds`), each with its detection of this frame.

        `size` is the frame's; when it changes, the tracked boxes are scaled with it.
        """
        self._fit(size)
        self._followed = [
            followed
            for followed in self._followed
            if seconds - followed.last_seen <= self.keep_seconds
        ]
        self._predict(seconds)
        strong = [detection for detection in detections if self._strong(detection)]
        weak = [detection for detection in detections if not self._strong(detection)]

        seen: list[_Followed] = []
        waiting, strong = self._match(self._followed, strong, _by_iou(STRONG_IOU), seconds, seen)
        waiting, _ = self._match(waiting, weak, _by_iou(WEAK_IOU), seconds, seen)
        _, strong = self._match(waiting, strong, _by_distance(seconds), seconds, seen)
        for detection in strong:
            if not any(_may_be_part(detection.box, followed.box) for followed in seen):
                seen.append(self._start(detection, seconds))
        return tuple(followed.track() for followed in self._without_doubles(seen))

    def _without_doubles(self, seen: Sequence[_Followed]) -> list[_Followed]:
        """Drop tracks that overlapped an older one in half of their sightings: doubles."""
        for followed in seen:
            followed.doubled += any(
                _same_thing(followed.box, other.box) for other in seen if other.id < followed.id
            )
        doubles = [followed for followed in seen if 2 * followed.doubled >= followed.sightings]
        self._followed = [followed for followed in self._followed if followed not in doubles]
        return [followed for followed in seen if followed not in doubles]

    def recent(self, memory_seconds: float) -> tuple[Track, ...]:
        """The tracks seen within this time before the last update, as last seen."""
        assert self._seconds is not None
        return tuple(
            followed.track()
            for followed in self._followed
            if self._seconds - followed.last_seen <= memory_seconds
        )

    def _fit(self, size: tuple[int, int]) -> None:
        before, self._size = self._size, size
        if before is not None and before != size:
            scale = size[0] / before[0], size[1] / before[1]
            for followed in self._followed:
                followed.scale(*scale)

    def _predict(self, seconds: float) -> None:
        elapsed = 0.0 if self._seconds is None else seconds - self._seconds
        self._seconds = seconds
        for followed in self._followed:
            if seconds - followed.last_seen > COAST_SECONDS:
                followed.mean[4:] = 0
            followed.mean, followed.covariance = kalman.step(
                followed.mean, followed.covariance, elapsed
            )

    def _match(
        self,
        followed: Sequence[_Followed],
        detections: Sequence[Detection],
        cost: Callable[[_Followed, Detection], float],
        seconds: float,
        seen: list[_Followed],
    ) -> tuple[list[_Followed], list[Detection]]:
        """Assign with least total cost; appends matches to `seen`, returns what is left of both."""
        if not followed or not detections:
            return list(followed), list(detections)
        costs = np.array([[cost(f, d) for d in detections] for f in followed], np.float64)
        # The Jonker-Volgenant algorithm: for each row its column, -1 for none within the limit.
        _, columns, rows = lap.lapjv(costs, extend_cost=True, cost_limit=1.0)
        for one, column in zip(followed, columns, strict=True):
            if column >= 0:
                self._sight(one, detections[column], seconds)
                seen.append(one)
        return (
            [one for one, column in zip(followed, columns, strict=True) if column < 0],
            [one for one, row in zip(detections, rows, strict=True) if row < 0],
        )

    def _sight(self, followed: _Followed, detection: Detection, seconds: float) -> None:
        followed.mean, followed.covariance = kalman.update(
            followed.mean, followed.covariance, kalman.measurement(detection.box)
        )
        followed.prompt, followed.box = detection.prompt, detection.box
        followed.confidence = detection.confidence
        followed.best_confidence = max(followed.best_confidence, detection.confidence)
        followed.last_seen = seconds
        followed.sightings += 1

    def _start(self, detection: Detection, seconds: float) -> _Followed:
        mean, covariance = kalman.initiate(kalman.measurement(detection.box))
        started = _Followed(
            next(self._ids),
            mean,
            covariance,
            detection.prompt,
            detection.box,
            seconds,
            seconds,
            detection.confidence,
            detection.confidence,
        )
        self._followed.append(started)
        return started


def _predicted(followed: _Followed) -> Box:
    x, y, aspect, height = followed.mean[:4]
    width = aspect * height
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _by_iou(least: float) -> Callable[[_Followed, Detection], float]:
    """A cost of at most 1 for what may be matched; 1 at the least IoU."""

    def cost(followed: _Followed, detection: Detection) -> float:
        return (1 - iou(_predicted(followed), detection.box)) / (1 - least)

    return cost


def _by_distance(seconds: float) -> Callable[[_Followed, Detection], float]:
    """Distance as a share of how far the thing can have moved; 1 at the limit.

    Measured from the prediction or from the last box, whichever is nearer: it may stop or turn.
    """

    def cost(followed: _Followed, detection: Detection) -> float:
        before, now = area(followed.box), area(detection.box)
        if not 1 / SIZE_RATIO <= now / max(before, 1e-6) <= SIZE_RATIO:
            return 2.0
        diagonal = hypot(followed.box[2] - followed.box[0], followed.box[3] - followed.box[1])
        speed = NEWCOMER_SPEED if followed.sightings == 1 else SETTLED_SPEED
        unseen = min(seconds - followed.last_seen, COAST_SECONDS)
        x, y = center(detection.box)
        moved = min(hypot(x - a, y - b) for a, b in (followed.mean[:2], center(followed.box)))
        return moved / (diagonal * (REACH + speed * unseen))

    return cost


def _same_thing(box: Box, other: Box) -> bool:
    """Whether `box` is a second box around the thing in `other`."""
    return iou(box, other) >= SAME_THING_IOU


def _may_be_part(box: Box, other: Box) -> bool:
    """Whether `box` is a second box around the thing in `other`, or around a large part of it, as
    one of two people whom the detector put into one box.
    """
    inside = intersection(box, other) >= PART_INSIDE * area(box)
    return _same_thing(box, other) or (inside and area(other) <= SIZE_RATIO * area(box))
