"""When a frame was taken and how often frames come: pure arithmetic, no clock is read here."""

from __future__ import annotations

import statistics
from collections import deque
from datetime import datetime, timedelta

SILENCE_SECONDS = 5.0
"""Without a frame for this long a camera counts as gone, unless its frames come rarely."""

LEAK = 0.005
"""Seconds a second by which the smallest delay seen is forgotten.

It must outrun the drift between two quartz clocks (0.0001) and get over a stream that fell behind
by a second within minutes; frames that reach the minimum every few seconds keep its ripple at
some milliseconds.
"""

JUMP_SECONDS = 5.0
"""A frame that seems this late is not late: the stream's own clock jumped."""

BACKWARD_SECONDS = 1.0
"""Time stamps that fall by more than this start anew; by less, the camera is only untidy."""

STEP_SECONDS = 1e-4
"""Least distance between the times of two frames."""

WALL_STEP_SECONDS = 0.5
"""A wall clock that moved by more than this against the monotonic one was set."""


class CaptureTime:
    """Estimates when the frames of one camera were taken, on the clock of their arrival.

    `pts + running minimum of (arrival - pts)`: the quickest frame tells how far the stream's clock
    is from ours, so the jitter of the others vanishes. A constant delay of the network and the
    camera can't be seen and stays in it. Results rise strictly, over reconnects too.
    """

    def __init__(self) -> None:
        self._delay: float | None = None
        self._pts = 0.0
        self._step = STEP_SECONDS
        self._arrival = 0.0
        self._last = float("-inf")

    def reset(self) -> None:
        """Forget the stream's clock, which starts anew at each connect."""
        self._delay = None

    def estimate(self, pts: float | None, arrival: float) -> float:
        """Seconds on the clock of `arrival`, itself in seconds as `pts` is.

        `pts` is None where the stream has no time of its own, and now and then where it has: in
        the first frame, and in the one after a read that ran into its time-out.
        """
        if pts is not None:
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


class WallTime:
    """Turns monotonic seconds into wall time, so that frames keep their order.

    The distance between the two clocks is kept until the wall clock is visibly set (NTP on a
    machine without a battery clock, a suspended laptop); reading both for every frame would add
    the scheduler's jitter to each.
    """

    def __init__(self) -> None:
        self._zero: datetime | None = None

    def at(self, seconds: float, monotonic_now: float, wall_now: datetime) -> datetime:
        zero = wall_now - timedelta(seconds=monotonic_now)
        if self._zero is None or abs((zero - self._zero).total_seconds()) > WALL_STEP_SECONDS:
            self._zero = zero
        return self._zero + timedelta(seconds=seconds)


class Cadence:
    """How often frames come, and how long without one therefore means that none comes any more."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._intervals: deque[float] = deque(maxlen=5)

    @property
    def patience_seconds(self) -> float:
        """Three frames' time, but at least 5 s.

        The median of the last few intervals, so that one outage doesn't stretch it.
        """
        usual = statistics.median_low(self._intervals) if self._intervals else 0.0
        return max(SILENCE_SECONDS, 3 * usual)

    def tick(self, now: float) -> None:
        """A frame came."""
        if self._last is not None:
            self._intervals.append(now - self._last)
        self._last = now

    def excuse(self, now: float) -> None:
        """Count silence from now on: nobody was listening before."""
        self._last = now

    def age_seconds(self, now: float) -> float | None:
        """Time since the last frame; None before the first."""
        return None if self._last is None else max(0.0, now - self._last)

    def silent(self, now: float) -> bool:
        """Whether the frames have stopped, or never began."""
        age = self.age_seconds(now)
        return age is None or age > self.patience_seconds
