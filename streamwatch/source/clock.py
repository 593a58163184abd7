"""The clocks a source reads, replaceable in tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic` in seconds, `wall` timezone-aware.

    `wait(stop, seconds)` returns True as soon as `stop` is set, False at the timeout.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = _utc_now
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait
