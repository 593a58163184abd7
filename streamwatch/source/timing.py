"""Capture times and frame intervals: pure arithmetic, reads no clock."""

from __future__ import annotations

import statistics
from collections import deque
from datetime import datetime, timedelta

SILENCE_SECONDS = 5.0
"""Without a frame for this long a camera is offline, unless its frame rate is lower."""

LEAK = 0.005
"""Rate at which the minimum delay rises, in seconds a second.

It must exceed the drift between two quartz clocks (0.0001) and follow a stream that fell behind by
a second within minutes; frames that reach the minimum every few seconds keep the ripple at some
milliseconds.
"""

CATCH_UP = 0.01
"""Share by which what comes in bursts is played too fast: so the delay that a late burst has caused
is gone after a hundred times as long, and a camera's clock that runs fast is kept up with."""

PLAYOUT_JUMP_SECONDS = 3.0
"""A step of the time stamps that is longer is a gap of the stream, and nothing to wait for."""

JUMP_SECONDS = 5.0
"""A delay that rises by more than this is a jump of the stream's clock, not a late frame."""

BACKWARD_SECONDS = 1.0
"""Time stamps that fall by more than this are a reset of the stream's clock; less is jitter."""

MOST_PTS_SECONDS = 1e10
"""Time stamps beyond it, 300 years, are none: their fractions would be lost in the sums below."""

STEP_SECONDS = 1e-4
"""Least difference between the times of two frames."""

WALL_STEP_SECONDS = 0.5
"""A wall clock that moved by more than this against the monotonic clock was set."""


class CaptureTime:
    """Estimates when the frames of one camera were taken, on the clock of their arrival.

    `pts + running minimum of (arrival - pts)`: the frame with the least delay gives the offset
    between the stream's clock and ours, which removes the jitter of the others. A constant delay of
    network and camera can't be measured and remains. Results rise strictly, over reconnects too.
    """

    def __init__(self) -> None:
        self._delay: float | None = None
        self._pts = 0.0
        self._step = STEP_SECONDS
        self._arrival = 0.0
        self._last = float("-inf")

    def reset(self) -> None:
        """Forget the offset of the stream's clock, which restarts at each connect."""
        self._delay = None

    def estimate(self, pts: float | None, arrival: float) -> float:
        """Capture time in seconds on the clock of `arrival`; `pts` and `arrival` in seconds.

        `pts` is None for streams without usable time stamps, and on others for the first frame
        and for the one after a read that timed out.
        """
        if pts is not None and abs(pts) <= MOST_PTS_SECONDS:
            seconds = pts + self._smallest_delay(pts, arrival)
        elif self._delay is not None:
            seconds = min(arrival, self._last + self._step)
        else:
            seconds = arrival
        self._last = max(seconds, self._last + STEP_SECONDS)
        return self._last

    def _smallest_delay(self, pts: float, arrival: float) -> float:
        delay = arrival - pts
        if self._delay is None or pts < self._pts - BACKWARD_SECONDS:
            self._delay = delay
        else:
            leaked = self._delay + LEAK * (arrival - self._arrival)
            self._delay = delay if delay > leaked + JUMP_SECONDS else min(delay, leaked)
        self._step = max(STEP_SECONDS, pts - self._pts)
        self._pts, self._arrival = pts, arrival
        return self._delay


class Playout:
    """When each frame of a stream that comes in bursts is due: at intervals of its own time stamps.

    A frame that comes late puts off all that follow, and frames are played a little too fast, so
    that the delay stays as short as the bursts allow.
    """

    def __init__(self) -> None:
        self._pts: float | None = None
        self._due = 0.0
        self._step = 0.0

    def reset(self) -> None:
        """Begin anew with the next frame, as after a connect."""
        self._pts = None

    def due(self, pts: float | None, now: float) -> float:
        """When to show the frame, never before `now`, at which it is at hand; all in seconds.

        `pts` is its time stamp, and None where it has none.
        """
        if pts is None and self._pts is not None:
            pts = self._pts + self._step
        if pts is None or self._pts is None:
            due = now
        else:
            step = pts - self._pts
            steady = -BACKWARD_SECONDS < step <= PLAYOUT_JUMP_SECONDS
            self._step = max(0.0, step) if steady else 0.0
            due = self._due + self._step / (1 + CATCH_UP) if steady else now
        self._pts, self._due = pts, max(now, due)
        return self._due


class WallTime:
    """Turns monotonic seconds into wall-clock time, keeping the order of frames.

    The offset between the clocks is kept until the wall clock is set (NTP on a machine without a
    battery clock, a suspended laptop); reading both for every frame would add scheduling jitter.
    """

    def __init__(self) -> None:
        self._zero: datetime | None = None

    def at(self, seconds: float, monotonic_now: float, wall_now: datetime) -> datetime:
        zero = wall_now - timedelta(seconds=monotonic_now)
        if self._zero is None or abs((zero - self._zero).total_seconds()) > WALL_STEP_SECONDS:
            self._zero = zero
        return self._zero + timedelta(seconds=seconds)


class Cadence:
    """The usual interval between frames, and from it how long a silence means offline.

    `first_seconds` is the patience as long as no interval is known.
    """

    def __init__(self, first_seconds: float = SILENCE_SECONDS) -> None:
        self._first_seconds = first_seconds
        self._last_frame: float | None = None
        self._silent_since: float | None = None
        self._intervals: deque[float] = deque(maxlen=9)

    @property
    def patience_seconds(self) -> float:
        """Longest silence of a working camera: three frame intervals, at least 5 s.

        The interval is the second longest of the last nine: one outage doesn't stretch it, and some
        frames that come together don't hide the wait for the next ones.
        """
        if not self._intervals:
            return self._first_seconds
        usual = sorted(self._intervals)[-2:][0]
        return max(SILENCE_SECONDS, 3 * usual)

    @property
    def usual_seconds(self) -> float | None:
        """The median of the last intervals; None before some are known."""
        enough = len(self._intervals) >= 3
        return statistics.median(self._intervals) if enough else None

    def tick(self, now: float) -> None:
        """Record a frame."""
        if self._last_frame is not None:
            self._intervals.append(now - self._last_frame)
        self._last_frame = self._silent_since = now

    def excuse(self, now: float) -> None:
        """Count silence from `now` on, since frames were not read before."""
        self._last_frame, self._silent_since = None, now

    def age_seconds(self, now: float) -> float | None:
        """Time since the last frame; None before the first."""
        return None if self._silent_since is None else max(0.0, now - self._silent_since)
