"""Tries a camera once, for `check --connect` and `look`: what it sends, and how soon."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from streamwatch.config import CameraSettings
from streamwatch.records import Picture
from streamwatch.source.choice import source_for
from streamwatch.source.clock import Clock
from streamwatch.source.mask import Mask
from streamwatch.source.protocol import as_source_error

FIRST_FRAME_SECONDS = 30.0
"""How long the first picture may take: opening takes 20 s at most."""
MEASURED_SECONDS = 2.0
"""How long frames are counted."""
CLOSE_SECONDS = 1.5
"""A read returns every second."""


@dataclass(frozen=True, slots=True)
class Found:
    """`size` in pixels, upright; `codec` as `h264`; `first_seconds` from the start until the first
    frame was there; `fps` None where too few frames came to tell."""

    size: tuple[int, int]
    codec: str
    first_seconds: float
    fps: float | None


class Trial:
    """A camera that is being tried, in a thread of its own: opening it can't be interrupted, and
    must not hold up the end of the program."""

    def __init__(
        self, camera: str, settings: CameraSettings, patience_seconds: float | None = None
    ) -> None:
        """`patience_seconds`: how long the first picture may take, in place of the usual."""
        patience = FIRST_FRAME_SECONDS if patience_seconds is None else patience_seconds
        self._source = source_for(settings, Clock())
        self._stop = threading.Event()
        self._deadline = time.monotonic() + patience
        self._result: Found | str = f"no picture within {patience:.0f} s"
        self._first: Picture | None = None
        self._mask = Mask(settings.mask)
        self._has_begun = threading.Event()
        """Set at the first frame, and where none comes."""
        self._thread = threading.Thread(target=self._run, name=f"try-{camera}", daemon=True)
        self._thread.start()

    def result(self) -> Found | str:
        """What was found, or what is wrong in one sentence; waits for it."""
        if self._begins():
            self._thread.join(MEASURED_SECONDS)
        self._end()
        return self._result

    def first_picture(self) -> Picture | str | None:
        """The first one, masked, or what is wrong in one sentence; None if nothing came in time."""
        begins = self._begins()
        self._end()
        if isinstance(self._result, Found):
            return self._first
        return self._result if begins else None

    def _begins(self) -> bool:
        return self._has_begun.wait(max(0.0, self._deadline - time.monotonic()))

    def _end(self) -> None:
        self._stop.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            self._measure()
        except Exception as error:
            self._fail(str(as_source_error(error)))
        finally:
            self._has_begun.set()

    def _fail(self, problem: str) -> None:
        if not isinstance(self._result, Found) and not self._stop.is_set():
            self._result = problem

    def _measure(self) -> None:
        begun = time.monotonic()
        with closing(self._source.frames(self._stop)) as frames:
            first = next(frames, None)
            if first is None:
                self._fail("it holds no picture")
                return
            self._first = first.unmasked.masked(self._mask)
            first_at = time.monotonic()
            self._result = Found(first.size, first.codec, first_at - begun, None)
            self._has_begun.set()
            times = [first.seconds]
            for frame in frames:
                times.append(frame.seconds)
                # The median, since the times of the first frames are not sure yet.
                interval = median(later - former for former, later in pairwise(times))
                self._result = Found(first.size, first.codec, first_at - begun, 1 / interval)
                if time.monotonic() - first_at > MEASURED_SECONDS:
                    return
