"""Recordings, in files or on a web server, played in real time or as fast as frames are taken."""

from __future__ import annotations

import threading
from collections.abc import Generator
from datetime import datetime, timedelta
from pathlib import Path

from streamwatch import files
from streamwatch.errors import SourceError
from streamwatch.source.bounds import MOST_SECONDS
from streamwatch.source.clock import Clock
from streamwatch.source.decoding import Gap, Input, Video, opened
from streamwatch.source.protocol import Decoded
from streamwatch.source.timing import SILENCE_SECONDS


class FileSource:
    """A file or a recording on a web server, played once or in a loop.

    `paced` delays each frame until its media time has passed since the start. Corrupt packets are
    skipped; a file without any decodable frame is a SourceError.
    """

    def __init__(self, target: Input, *, loop: bool, paced: bool, clock: Clock) -> None:
        self.corrupt = 0
        self.away_since = None
        self.unchanged_at = None
        self.patience_seconds = SILENCE_SECONDS
        self._target = target
        self._loop = loop
        self._paced = paced
        self._clock = clock
        self._next_seconds = 0.0
        """Media time of the next frame, summed over all passes of the loop."""
        self._started_at: datetime | None = None
        """Wall-clock time of media time 0."""

    def frames(
        self, stop: threading.Event, video: Video | None = None
    ) -> Generator[Decoded, None, None]:
        """As `Source.frames`; a `video` that is open already is played first."""
        played_before = timedelta(seconds=self._next_seconds)
        zero_at = self._clock.wall() - played_before
        # Reopened after a failure: `captured_at` must not go back.
        self._started_at = zero_at if self._started_at is None else max(zero_at, self._started_at)
        began = self._clock.monotonic() - self._next_seconds
        if video is not None:
            yield from self._played(video, stop, began)
            if not self._loop:
                return
        while not stop.is_set():
            if "://" not in self._target.address:
                self._check_regular()
            with opened(self._target) as video:
                yield from self._played(video, stop, began)
            if not self._loop:
                return

    def _played(
        self, video: Video, stop: threading.Event, began: float
    ) -> Generator[Decoded, None, None]:
        """One pass."""
        pass_began = self._next_seconds
        position: float | None = None
        for picture in video.pictures():
            if stop.is_set():
                return
            if isinstance(picture, Gap):
                self.corrupt += picture is Gap.CORRUPT
                continue
            position = _next_position(position, picture.time, video)
            if position > MOST_SECONDS:
                raise SourceError(
                    f"{self._target.shown}: its time stamps jump ahead by"
                    f" {position / 86_400:,.0f} days"
                )
            seconds = pass_began + position
            self._next_seconds = seconds + video.frame_seconds
            if self._paced:
                early_seconds = began + seconds - self._clock.monotonic()
                if early_seconds > 0 and self._clock.wait(stop, early_seconds):
                    return
            assert self._started_at is not None
            captured_at = self._started_at + timedelta(seconds=seconds)
            video.note_time(picture, captured_at)
            yield Decoded(
                captured_at=captured_at,
                seconds=seconds,
                position=position,
                size=picture.size,
                codec=picture.codec,
                unmasked=picture,
            )
        if position is None and not stop.is_set():
            raise SourceError(f"{self._target.shown}: not one picture of it can be decoded")

    def _check_regular(self) -> None:
        """FFmpeg would wait for ever for somebody to write into a pipe, whatever the timeout."""
        try:
            files.demand_regular(Path(self._target.address))
        except files.NotRegular as error:
            raise SourceError(
                f"{self._target.shown}: this is a {error.kind}, not a regular file"
            ) from None
        except IsADirectoryError:
            raise SourceError(f"{self._target.shown}: this is a folder") from None
        except OSError:
            pass  # FFmpeg says what it is


def _next_position(last: float | None, pts: float | None, video: Video) -> float:
    """Seconds into the file; a time stamp that is missing or doesn't rise is replaced by the last
    one plus a frame's duration."""
    position = None if pts is None else pts - video.start_seconds
    if last is None:
        return max(0.0, position or 0.0)
    if position is None or position <= last:
        return last + video.frame_seconds
    return position
