"""Live cameras: their pictures, timed, from an open connection; and RTSP and devices."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Literal

from streamwatch.errors import SourceError
from streamwatch.source.clock import Clock
from streamwatch.source.decoding import Gap, Input, Video, opened
from streamwatch.source.protocol import Decoded
from streamwatch.source.timing import Cadence, CaptureTime, Playout, WallTime

FIRST_INTERVAL_SECONDS = 30.0
"""So long the second picture may take: some cameras send one every few seconds."""

Times = Literal["camera", "arrival", "playout"]
"""What the times of frames are made of.

`camera`: the stream's time stamps, which for RTSP are the camera's clock. `arrival`: the moment a
frame comes, where there are no time stamps (MJPEG) or none to compare with (devices). `playout`:
the stream's time stamps, and each frame is waited for, where they come in bursts (HLS).
"""


class LiveReader:
    """Reads live streams of one camera, one connection after the other, and learns how often
    pictures come. What it raises says `shown` for the address."""

    def __init__(self, shown: str, clock: Clock) -> None:
        self.corrupt = 0
        self.away_since: float | None = None
        self._shown = shown
        self._clock = clock
        self._capture_time = CaptureTime()
        self._playout = Playout()
        self._wall_time = WallTime()
        self._cadence = Cadence(FIRST_INTERVAL_SECONDS)
        self.least_patience_seconds = 0.0
        """The longest silence between bursts, which the intervals of frames don't show."""

    @property
    def patience_seconds(self) -> float:
        return max(self.least_patience_seconds, self._cadence.patience_seconds)

    def begin(self) -> None:
        """Call before each connect: counts silence from now on."""
        self._capture_time.reset()
        self._playout.reset()
        self._cadence.excuse(self._clock.monotonic())

    def demand_pictures(self) -> None:
        """Raise SourceError if none came for too long; for any thread."""
        age = self._cadence.age_seconds(self._clock.monotonic())
        if age is None or age > self.patience_seconds:
            raise SourceError(f"{self._shown}: no picture for {self.patience_seconds:.0f} s")

    def note_waiting(self) -> None:
        """It is the camera that is waited for, in a way that can be broken off; for any thread."""
        if self.away_since is not None:
            self.away_since = self._clock.monotonic()

    def frames(
        self, video: Video, times: Times, stop: threading.Event
    ) -> Generator[Decoded, None, None]:
        """The stream's frames until `stop`. Any other end raises SourceError."""
        self.away_since = self._clock.monotonic()
        try:
            yield from self._frames(video, times, stop)
        finally:
            self.away_since = None
        if not stop.is_set():
            raise SourceError(f"{self._shown}: the connection was closed")

    def _frames(
        self, video: Video, times: Times, stop: threading.Event
    ) -> Generator[Decoded, None, None]:
        for picture in video.pictures():
            now = self.away_since = self._clock.monotonic()
            if stop.is_set():
                return
            if isinstance(picture, Gap):
                self.corrupt += picture is Gap.CORRUPT
                self.demand_pictures()
                continue
            if times == "playout":
                due = self._playout.due(picture.time, now)
                if due > now and self._clock.wait(stop, due - now):
                    return
                now = self.away_since = self._clock.monotonic()
                seconds = self._capture_time.estimate(None, due)
            else:
                pts = picture.time if times == "camera" else None
                seconds = self._capture_time.estimate(pts, now)
            # Not the arrival: a read that times out first releases a delayed frame.
            self._cadence.tick(seconds)
            captured_at = self._wall_time.at(seconds, now, self._clock.wall())
            video.note_time(picture, captured_at)
            yield Decoded(
                captured_at=captured_at,
                seconds=seconds,
                position=None,
                size=picture.size,
                codec=picture.codec,
                unmasked=picture,
            )


class LiveSource:
    """A live stream of RTSP or a device, which ends only with a SourceError or a stop."""

    def __init__(self, target: Input, *, times: Times, clock: Clock) -> None:
        self._target = target
        self._times: Times = times
        self._reader = LiveReader(target.shown, clock)
        self._clock = clock
        self._opening_since: float | None = None
        self.unchanged_at = None

    @property
    def corrupt(self) -> int:
        return self._reader.corrupt

    @property
    def away_since(self) -> float | None:
        since = self._reader.away_since
        return self._opening_since if since is None else since

    @property
    def patience_seconds(self) -> float:
        return self._reader.patience_seconds

    def frames(self, stop: threading.Event) -> Generator[Decoded, None, None]:
        self._opening_since = self._clock.monotonic()
        try:
            self._reader.begin()
            with opened(self._target) as video:
                self._reader.begin()
                yield from self._reader.frames(video, self._times, stop)
        finally:
            self._opening_since = None
