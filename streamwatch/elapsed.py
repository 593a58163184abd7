"""How much time has passed, whatever the time of day was set to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

STEP_SECONDS = 60.0
"""A time of day that moved by more than this against the monotonic clock was set."""
SETTLED_SECONDS = 300.0
"""A machine without a battery clock gets its time of day from the network some minutes after it
started, and a wrong one may be corrected at once: nothing is destroyed for its age before that."""


class Elapsed:
    """Seconds since it was made, and what the time of day was then by the clock as it is now.

    Not thread-safe. `seconds` is the monotonic clock, which goes on while the machine runs; `boot`
    names the start of the machine, None if unknown. `now` is the time of day.
    """

    def __init__(
        self, seconds: Callable[[], float], now: Callable[[], datetime], boot: str | None = None
    ) -> None:
        self._seconds = seconds
        self._now = now
        self.boot = boot
        self.began = self._unsettled_at = seconds()
        """Monotonic seconds."""
        self._began_at = self._wall_then()

    @property
    def seconds(self) -> float:
        return self.since(self._seconds())

    def since(self, monotonic: float) -> float:
        """The same at a moment of the monotonic clock."""
        return monotonic - self.began

    @property
    def began_at(self) -> float:
        """The time of day (Unix time) when it was made: corrected if the clock was set since."""
        self._look()
        return self._began_at

    @property
    def settled(self) -> bool:
        """Whether the clock was not set for some minutes, and the start is as long ago."""
        self._look()
        return self._seconds() - self._unsettled_at >= SETTLED_SECONDS

    def _look(self) -> None:
        began_at = self._wall_then()
        if abs(began_at - self._began_at) > STEP_SECONDS:
            self._unsettled_at = self._seconds()
            self._began_at = began_at

    def _wall_then(self) -> float:
        return self._now().timestamp() - (self._seconds() - self.began)


def this_boot() -> str | None:
    """The kernel's name of this start of the machine (random(4)); None where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
