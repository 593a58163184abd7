"""Tries a camera once, for `check --connect`: what it sends, and how soon."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from streamwatch.config import CameraSettings
from streamwatch.errors import StreamwatchError, first_line
from streamwatch.source.choice import source_for
from streamwatch.source.clock import Clock

log = logging.getLogger(__name__)

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
    """A camera that is being tried, in a thread of its own."""

    def __init__(self, camera: str, settings: CameraSettings) -> None:
        self._source = source_for(settings, Clock())
        self._stop = threading.Event()
        self._deadline = time.monotonic() + FIRST_FRAME_SECONDS
        self._result: Found | str = f"no picture within {FIRST_FRAME_SECONDS:.0f} s"
        self._has_begun = threading.Event()
        """Set at the first frame, and where none comes."""
        self._thread = threading.Thread(target=self._run, name=f"try-{camera}", daemon=True)
        self._thread.start()

    def result(self) -> Found | str:
        """What was found, or what is wrong in one sentence; waits for it."""
        self._has_begun.wait(max(0.0, self._deadline - time.monotonic()))
        if self._has_begun.is_set():
            self._thread.join(MEASURED_SECONDS)
        self._stop.set()
        self._thread.join(CLOSE_SECONDS)
        return self._result

    def _run(self) -> None:
        try:
            self._measure()
        except StreamwatchError as error:
            self._fail(str(error))
        except Exception as error:
            log.debug("reading failed in a way that was not foreseen", exc_info=error)
            self._fail(f"its frames can't be read ({first_line(error)})")
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
            first.to_image()
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
