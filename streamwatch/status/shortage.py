"""Finds the cameras that the detector has too little time for. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from streamwatch.records import CameraCounts

MINUTE_SECONDS = 60.0
"""How long a camera is watched before it is judged: a batch that takes long is nothing to tell."""
PARTS = 12
"""So many times in a minute all cameras are judged, so that those that are slow together are told
together."""
SHORT_SHARE = 0.7
"""A camera is short while less than this of its due frames is analysed."""
ENOUGH_SHARE = 0.8
"""It is so until at least this is, in a whole minute: a share near the limit is told once."""
LEAST_DUE = 5
"""One frame replaced says nothing where a minute has two."""


@dataclass(frozen=True, slots=True)
class Short:
    """What a camera gets, and what it would get if the detector had time; frames a second.

    `due` is the camera's `fps`, or less where it gives fewer frames.
    """

    analysed: float
    due: float


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    analysed: int
    dropped: int


@dataclass(slots=True)
class _Minute:
    """What one camera has counted in the last minute, from the oldest sample to the newest."""

    samples: deque[_Sample] = field(default_factory=deque)
    conditions: tuple[float, int, bool] | None = None
    """A change of these begins the minute anew: `fps`, reconnects, whether a frame has come."""

    def add(self, now: float, fps: float, counts: CameraCounts) -> None:
        conditions = fps, counts.reconnects, counts.frames > 0
        last = self.samples[-1] if self.samples else None
        # A camera that was reopened or added again may have counted less.
        falls = last is not None and (
            counts.analysed < last.analysed or counts.dropped < last.dropped
        )
        if falls or conditions != self.conditions:
            self.samples.clear()
            self.conditions = conditions
        self.samples.append(_Sample(now, counts.analysed, counts.dropped))
        while len(self.samples) > 1 and now - self.samples[1].at >= MINUTE_SECONDS:
            self.samples.popleft()

    def judged(self, before: Short | None) -> Short | None:
        """How short the camera is, None if it is not; `before` until the minute is over."""
        first, last = self.samples[0], self.samples[-1]
        seconds = last.at - first.at
        if seconds < MINUTE_SECONDS:
            return before
        analysed = last.analysed - first.analysed
        due = analysed + last.dropped - first.dropped
        limit = SHORT_SHARE if before is None else ENOUGH_SHARE
        if due < LEAST_DUE or analysed >= limit * due:
            return None
        return Short(analysed / seconds, due / seconds)


class Shortage:
    """Finds which cameras are short of detector time, from one count after another.

    A camera is short if, for a minute, less than 0.7 of its due frames were analysed, because the
    others were replaced before the detector took them. As many frames are due as `fps` says; of a
    camera that gives fewer, those that it gives, so that such a camera, or one that is offline, is
    short only if the detector misses frames of it. Frames that were left out because nothing moved,
    or refused, count neither way. It is no longer short after a minute in which at least 0.8 were
    analysed or hardly any was due. The minute begins with the camera's first frame, and anew when
    its `fps` changes or it comes back after an outage.
    """

    def __init__(self) -> None:
        self._minutes: dict[str, _Minute] = {}
        self._short: dict[str, Short] = {}
        self._judged_at = float("-inf")

    def judge(
        self, now: float, counts: Mapping[str, CameraCounts], fps: Mapping[str, float]
    ) -> Mapping[str, Short]:
        """The cameras that are short, with the figures of the last judgement.

        `now` is in monotonic seconds. `fps` is that of each camera to judge: those that play in
        real time. Call it about once a second, or more often in tests with a shorter minute.
        """
        if now - self._judged_at >= MINUTE_SECONDS / PARTS:
            self._judged_at = now
            self._minutes = {
                name: self._minutes.get(name, _Minute()) for name in fps if name in counts
            }
            judged: dict[str, Short | None] = {}
            for name, minute in self._minutes.items():
                minute.add(now, fps[name], counts[name])
                judged[name] = minute.judged(self._short.get(name))
            self._short = {name: short for name, short in judged.items() if short is not None}
        return self._short
