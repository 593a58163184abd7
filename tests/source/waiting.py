"""Helpers that wait for another thread."""

from __future__ import annotations

import time
from collections.abc import Callable

from streamwatch.records import Frame
from streamwatch.source import Slot


def until(met: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def taken(slot: Slot, seconds: float = 5.0) -> Frame:
    """The next frame of `slot`."""
    deadline = time.monotonic() + seconds
    while (frame := slot.take()) is None:
        assert time.monotonic() < deadline, "no frame came in time"
        time.sleep(0.005)
    return frame
