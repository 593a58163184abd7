"""Finds stuck threads and cameras whose frames nobody analyses. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from streamwatch.records import CameraCounts

STUCK_SECONDS = 30.0
"""A thread is stuck if it does not turn for this long; systemd's watchdog waits another half
minute."""
RELOAD_STUCK_SECONDS = 600.0
"""The same for the reloading thread: loading another model may take minutes on a small machine."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """When each thread turned last, in monotonic seconds.

    `reload_at` is None if no file is followed. `cameras` are the enabled ones.
    """

    detector_at: float
    publisher_at: float
    cameras: Mapping[str, CameraCounts]
    reload_at: float | None = None


class Liveness:
    """Finds what is stuck, from one pulse after another. An offline camera is not."""

    def __init__(self) -> None:
        self._well: dict[str, tuple[CameraCounts, float]] = {}
        """By camera, its counts when it was last all right, and when that was."""

    def stuck(self, pulse: Pulse, now: float) -> tuple[str, ...]:
        """A sentence for each part that is stuck."""
        return (
            *idle("the detector's thread", pulse.detector_at, now),
            *idle("the publisher's thread", pulse.publisher_at, now),
            *self._unseen_cameras(pulse, now),
            *idle("the reloading thread", pulse.reload_at or now, now, RELOAD_STUCK_SECONDS),
        )

    def _unseen_cameras(self, pulse: Pulse, now: float) -> Iterator[str]:
        before, self._well = self._well, {}
        for name, camera in pulse.cameras.items():
            well, at = before.get(name, (camera, now))
            if (
                not camera.online
                or camera.analysed != well.analysed
                or camera.offered == well.offered
            ):
                well, at = camera, now
            self._well[name] = well, at
            if now - at > STUCK_SECONDS:
                yield f"no frame of {name} was analysed for {now - at:.0f} s, though they come"


def idle(what: str, at: float, now: float, longest_seconds: float | None = None) -> Iterator[str]:
    """A sentence if `what` turned last too long ago."""
    if now - at > (STUCK_SECONDS if longest_seconds is None else longest_seconds):
        yield f"{what} has done nothing for {now - at:.0f} s"
