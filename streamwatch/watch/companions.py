"""What is near a watch's things: the prompts of `with` and `without`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import hypot

from streamwatch.config import WatchSettings
from streamwatch.geometry import gap, iou
from streamwatch.records import Detection, Track
from streamwatch.watch import rules
from streamwatch.watch.tracker import Tracker

MEMORY_SECONDS = 1.0
"""A companion unseen for so long, or for one frame if that is longer, is taken to be where it was:
a detector misses what it sees a moment later, and doubt must not make an alert."""


class Companions:
    """Tells of each thing of a watch whether it is in the company that the watch asks for.

    A companion is there from its first detection of at least the watch's confidence, and as long
    as weaker ones follow. For `without` it is remembered for a moment; for `with` it must be seen
    in the same frame, since there memory would turn one false sighting into many.
    """

    def __init__(self, settings: WatchSettings, confidence: float) -> None:
        self._near = settings.near
        self._wanted = _Group(settings.with_, confidence) if settings.with_ else None
        self._unwanted = _Group(settings.without, confidence) if settings.without else None

    def change_rate(self, fps: float) -> None:
        """Frames come so often from now on; to be called before the first."""
        if self._unwanted is not None:
            self._unwanted.remember(max(MEMORY_SECONDS, 1.5 / fps))

    def update(
        self,
        seconds: float,
        size: tuple[int, int],
        detections: Sequence[Detection],
        things: Sequence[Track],
    ) -> frozenset[int]:
        """The ids of those `things`, all seen now, whose company is right.

        `detections` may hold other prompts.
        """
        near_px = self._near * hypot(*size)
        right = {thing.id for thing in things}
        if self._wanted is not None:
            right &= self._wanted.beside(seconds, size, detections, things, near_px)
        if self._unwanted is not None:
            right -= self._unwanted.beside(seconds, size, detections, things, near_px)
        return frozenset(right)


class _Group:
    """The companions of one of the two keys."""

    def __init__(self, prompts: Sequence[str], confidence: float) -> None:
        self._prompts = frozenset(prompts)
        self._memory_seconds = 0.0
        self._tracker = Tracker(
            strong=lambda detection: detection.confidence >= confidence,
            keep_seconds=MEMORY_SECONDS,
            ids=itertools.count(),
        )
        self._selves: dict[int, frozenset[int]] = {}
        """By companion, the things that it turned out to be itself when it was seen last."""

    def remember(self, seconds: float) -> None:
        """Take a companion to be where it was for so long after it was seen last."""
        self._memory_seconds = self._tracker.keep_seconds = seconds

    def beside(
        self,
        seconds: float,
        size: tuple[int, int],
        detections: Sequence[Detection],
        things: Sequence[Track],
        near_px: float,
    ) -> set[int]:
        """The ids of the things that have one of the group within `near_px`."""
        mine = [detection for detection in detections if detection.prompt in self._prompts]
        seen = self._tracker.update(seconds, size, rules.merge(mine))
        companions = self._tracker.recent(self._memory_seconds)
        self._selves = {
            companion.id: self._selves.get(companion.id, frozenset()) for companion in companions
        } | {companion.id: _selves(companion, things) for companion in seen}
        return {
            thing.id
            for thing in things
            for companion in companions
            if thing.id not in self._selves[companion.id]
            and gap(thing.box, companion.box) <= near_px
        }


def _selves(companion: Track, things: Sequence[Track]) -> frozenset[int]:
    return frozenset(
        thing.id for thing in things if iou(thing.box, companion.box) >= rules.MERGE_IOU
    )
