"""The publisher stage's door: events in, messages out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from streamwatch.config import MqttSettings, SnapshotSettings
from streamwatch.publisher.commands import Reply
from streamwatch.publisher.homeassistant import Roster
from streamwatch.publisher.payloads import CameraState, ErrorReport, Info, Stats
from streamwatch.publisher.topics import Pair
from streamwatch.records import Event, Remembered


class Publishing(Protocol):
    """Tells the world. Every method may be called from any thread; none but the waits blocks."""

    @property
    def connected(self) -> bool: ...

    @property
    def waiting(self) -> int:
        """How many events the broker has not acknowledged yet."""
        ...

    @property
    def failure(self) -> Exception | None:
        """What ended the publisher's thread, if anything did."""
        ...

    def start(self) -> None: ...

    def wait_connected(self, timeout: float) -> bool: ...

    def stop(self, timeout: float = 5.0) -> int:
        """Deliver what waits, say goodbye, and return how many events could not be delivered."""
        ...

    @property
    def remembered(self) -> tuple[Remembered, ...]:
        """The visits of the life before this one: those it left open, and those its stop ended."""
        ...

    def event(self, event: Event) -> None: ...

    def remember(self, visits: Iterable[Event]) -> None:
        """Keep how the visits stand that would go on after a restart now: these and no others."""
        ...

    def info(self, info: Info) -> None: ...

    def stats(self, stats: Stats) -> None: ...

    def error(self, report: ErrorReport) -> None: ...

    def camera_status(self, camera: str, state: CameraState) -> None: ...

    def announce(self, roster: Roster) -> None:
        """Tell Home Assistant, where that is configured, what there is from now on."""
        ...

    def declare(self, cameras: Iterable[str], pairs: Iterable[Pair]) -> None:
        """Tell all that there is; a state is published for each pair that has none yet."""
        ...

    def forget(self, cameras: Iterable[str], pairs: Iterable[Pair]) -> None:
        """Clear the retained topics of what there is no more."""
        ...

    def answer(
        self,
        reply: Reply,
        verb: str,
        id: str | int | float | None,
        ok: bool,
        message: str | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> None: ...

    def reconfigure(
        self, mqtt: MqttSettings, snapshots: SnapshotSettings, folder: Path | None
    ) -> None:
        """Go over to other settings, without losing an alert."""
        ...
