"""A slot for the newest frame of a camera."""

from __future__ import annotations

import threading

from streamwatch.records import Frame

STOP_CHECK_SECONDS = 0.25
"""An Event can't wake a Condition, so a waiting capture thread polls its stop event this often."""


class Slot:
    """Passes the newest frame from a capture thread to the detector's thread.

    All slots share the condition, so that one thread can wait for any of them: it is notified
    when a frame is put or taken and when a slot is closed. Its lock must be re-entrant, as that of
    `threading.Condition()` is. One thread puts, one takes.
    """

    def __init__(self, condition: threading.Condition) -> None:
        self._condition = condition
        self._frame: Frame | None = None
        self._dropped = 0
        self._closed = False

    @property
    def dropped(self) -> int:
        """Frames replaced by a newer one before they were taken."""
        with self._condition:
            return self._dropped

    @property
    def drained(self) -> bool:
        """Whether the slot is closed and its last frame taken: no frame will follow."""
        with self._condition:
            return self._closed and self._frame is None

    def put(self, frame: Frame) -> None:
        """Put `frame`, replacing one not yet taken; never waits."""
        with self._condition:
            if self._closed:
                return
            if self._frame is not None:
                self._dropped += 1
            self._frame = frame
            self._condition.notify_all()

    def put_and_wait(self, frame: Frame, stop: threading.Event) -> None:
        """Put `frame` and wait until it is taken, `stop` is set or the slot is closed."""
        with self._condition:
            self.put(frame)
            while self._frame is frame and not self._closed and not stop.is_set():
                self._condition.wait(STOP_CHECK_SECONDS)

    def peek(self) -> Frame | None:
        """What `take` would give."""
        with self._condition:
            return self._frame

    def take(self) -> Frame | None:
        """The newest frame, or None if it was taken already; never waits."""
        with self._condition:
            frame, self._frame = self._frame, None
            if frame is not None:
                self._condition.notify_all()
            return frame

    def close(self) -> None:
        """Ignore frames put from now on; the last one can still be taken."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
