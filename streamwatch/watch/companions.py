"""What is near a watch's things: the prompts of `with` and `without`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from math import hypot

from streamwatch.config import WatchSettings
from streamwatch.geometry import gap, iou
from streamwatch.records import Detection, Track
from streamwatch.watch import rules
from streamwatch.watch.tracker import Tracker

MEMORY_SECONDS = 1.0
"""A companion unseen for this long, or for one frame if that is longer, is assumed to be still
there: a detector misses a thing in one frame and finds it in the next."""


class Companions:
    """Checks each thing of a watch against `with` and `without`.

    A companion counts from its first detection with at least the watch's confidence, and as long as
    weaker ones follow. For `without` it is remembered for MEMORY_SECONDS; for `with` it must be
    seen in the same frame, since remembering would turn one false detection into many.
    """

    def __init__(self, settings: WatchSettings, confidence: float) -> None:
        self._near = settings.near
        self._confidence = confidence
        self._wanted = _Group(settings.with_, self._is_sure) if settings.with_ else None
        self._unwanted = _Group(settings.without, self._is_sure) if settings.without else None

    def need(self, confidence: float) -> None:
        """Let companions count from this confidence on."""
        self._confidence = confidence

    def _is_sure(self, detection: Detection) -> bool:
        return detection.confidence >= self._confidence

    @property
    def lacking(self) -> str:
        """Why a thing does not count that is not in the right company."""
        if self._unwanted is None:
            return "nothing of `with` is near"
        if self._wanted is None:
            return "something of `without` is near"
        return "nothing of `with` is near, or something of `without`"

    def change_rate(self, fps: float) -> None:
        """The camera's frame rate from now on; call before the first frame."""
        if self._unwanted is not None:
            self._unwanted.remember(max(MEMORY_SECONDS, 1.5 / fps))

    def update(
        self,
        seconds: float,
        size: tuple[int, int],
        detections: Sequence[Detection],
        things: Sequence[Track],
    ) -> frozenset[int]:
        """The ids of those `things`, all seen in this frame, that satisfy both keys.

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
    """The companions of one key, `with` or `without`."""

    def __init__(self, prompts: Sequence[str], is_sure: Callable[[Detection], bool]) -> None:
        self._prompts = frozenset(prompts)
        self._memory_seconds = 0.0
        self._tracker = Tracker(
            strong=is_sure,
            keep_seconds=MEMORY_SECONDS,
            ids=itertools.count(),
        )
        self._selves: dict[int, frozenset[int]] = {}
        """By companion, the things that are the same object as it, when it was last seen."""

    def remember(self, seconds: float) -> None:
        """Assume that a companion is still there for this long after it was last seen."""
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
