"""Live cameras: RTSP, HTTP and devices."""

from __future__ import annotations

import threading
from collections.abc import Generator
from functools import partial

from streamwatch.errors import SourceError
from streamwatch.source.clock import Clock
from streamwatch.source.decoding import Gap, Input, opened
from streamwatch.source.protocol import Decoded
from streamwatch.source.timing import Cadence, CaptureTime, WallTime


class LiveSource:
    """A live stream, which ends only with a SourceError or a stop.

    `own_times`: use the stream's time stamps, which for RTSP are the camera's clock. Those of HTTP
    are made up and those of devices not comparable, so there the time of arrival counts.
    """

    def __init__(self, target: Input, *, own_times: bool, clock: Clock) -> None:
        self.corrupt = 0
        self.away_since: float | None = None
        self._target = target
        self._own_times = own_times
        self._clock = clock
        self._capture_time = CaptureTime()
        self._wall_time = WallTime()

    def frames(self, stop: threading.Event) -> Generator[Decoded, None, None]:
        self.away_since = self._clock.monotonic()
        try:
            yield from self._frames(stop)
        finally:
            self.away_since = None

    def _frames(self, stop: threading.Event) -> Generator[Decoded, None, None]:
        self._capture_time.reset()
        with opened(self._target) as video:
            cadence = Cadence()
            cadence.excuse(self._clock.monotonic())
            for picture in video.pictures():
                now = self.away_since = self._clock.monotonic()
                if stop.is_set():
                    return
                if isinstance(picture, Gap):
                    self.corrupt += picture is Gap.CORRUPT
                    if cadence.silent(now):
                        raise SourceError(
                            f"{self._target.shown}: no picture for {cadence.patience_seconds:.0f} s"
                        )
                    continue
                pts = picture.time if self._own_times else None
                seconds = self._capture_time.estimate(pts, now)
                # Not the arrival: a read that times out first releases a delayed frame.
                cadence.tick(seconds)
                yield Decoded(
                    captured_at=self._wall_time.at(seconds, now, self._clock.wall()),
                    seconds=seconds,
                    position=None,
                    size=video.size(picture),
                    convert=partial(video.image, picture),
                )
        if not stop.is_set():
            raise SourceError(f"{self._target.shown}: the connection was closed")
