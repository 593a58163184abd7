"""The parent's side of `child.py`: an image tower in a process of its own, restarted if it dies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from streamwatch.config.catalogue import ImageKind
from streamwatch.errors import DetectorError
from streamwatch.processes.parent import ChildProcess
from streamwatch.records import Image, Vectors
from streamwatch.second_look.crops import resized

LOADING_SECONDS = 180.0
"""CLIP takes 4 s on two idle cores, and more on a small or busy machine."""
ANSWER_SECONDS = 10.0
"""A crop takes milliseconds with toybox' tower, and CLIP's less than a second on one slow core."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
"""Pauses before a process that failed is started again: twice as long each time, until it answers.
"""


class TowerProcess:
    """Encodes crops. Loads the tower when first asked, or by `start`. For one thread at a time.

    `seconds` is the monotonic clock.
    """

    def __init__(
        self, kind: ImageKind, path: Path, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._kind = kind
        self._path = path
        self._seconds = seconds
        self._running: _Running | None = None
        self._pause_seconds = 0.0
        self._not_before = float("-inf")
        self._why = ""

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return None if self._running is None else self._running.pid

    def start(self) -> None:
        """Start the process and wait until the tower is loaded. Raises DetectorError.

        One that ended while nobody asked it is replaced. After a failure it raises at once until a
        pause is over.
        """
        if self._running is not None:
            if self._running.runs:
                return
            self.stop()
        if self._seconds() < self._not_before:
            raise DetectorError(self._why)
        try:
            self._running = _Running(self._kind, self._path)
        except DetectorError as error:
            self._failed(error)
            raise

    def encode(self, crop: Image) -> tuple[Vectors, float]:
        """The unit vector of a crop of any size, `(width,)`, and the scale for cosines with it.

        Raises DetectorError.
        """
        self.start()
        assert self._running is not None
        try:
            vector = self._running.encode(crop)
        except DetectorError as error:
            self.stop()
            self._failed(error)
            raise
        self._pause_seconds = 0.0
        return vector, self._running.scale

    def stop(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running = None

    def _failed(self, error: DetectorError) -> None:
        self._why = str(error)
        self._pause_seconds = min(
            LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, 2 * self._pause_seconds)
        )
        self._not_before = self._seconds() + self._pause_seconds


class _Running(ChildProcess):
    """A process whose tower is loaded."""

    def __init__(self, kind: ImageKind, path: Path) -> None:
        super().__init__("the image tower", "streamwatch.second_look.child", (kind, str(path)))
        try:
            loaded = self._answer(LOADING_SECONDS)
        except DetectorError:
            self.kill()
            raise
        self._size = int(loaded["size"])
        self.scale = float(loaded["scale"])

    def encode(self, crop: Image) -> Vectors:
        self.send(resized(crop, self._size).tobytes())
        self._answer(ANSWER_SECONDS)
        return np.frombuffer(self.receive(ANSWER_SECONDS), np.float32).copy()

    def _answer(self, timeout_seconds: float) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.receive(timeout_seconds))
        if "error" in answer:
            raise DetectorError(answer["error"])
        return answer
