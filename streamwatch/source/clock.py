"""The clocks a source reads, in one place, so that tests can put their own there."""

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

    `wait(stop, seconds)` returns True as soon as `stop` is set, False once the time is over.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = _utc_now
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait
