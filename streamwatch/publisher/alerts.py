"""Alerts: an event's picture, the state it leads to, and its row in the outbox."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from streamwatch.config import SnapshotSettings
from streamwatch.elapsed import Elapsed
from streamwatch.pictures.drawing import NOT_DRAWN, render, render_crop
from streamwatch.pictures.folder import Gallery, SnapshotFolder
from streamwatch.pixels import Pixels
from streamwatch.publisher.contract.payloads import (
    OFF,
    ON,
    clip_fields,
    encode,
    event_fields,
    rejected_fields,
)
from streamwatch.publisher.contract.topics import Pair, Topics
from streamwatch.publisher.mqtt.delivery import Delivery
from streamwatch.publisher.mqtt.steps import Message
from streamwatch.publisher.outbox.outbox import Outbox, Waiting
from streamwatch.records import Clip, Event, Remembered

logger = logging.getLogger(__name__)

DELAYED_SECONDS = 60.0
MAX_RAW_BYTES = 256_000_000
"""Limit for frames that wait to be drawn; beyond it an event is published without its picture."""


OnAlert = Callable[[Event, bytes | None], None]
"""Takes each alert, with its picture as a JPEG where it has one."""


class RawPictures:
    """Counts the bytes of frames that wait to be drawn. Thread-safe."""

    def __init__(self) -> None:
        self._bytes = 0
        self._lock = threading.Lock()

    def reserve(self, size: int) -> bool:
        """Reserve room for a picture of this many bytes; False if there is none."""
        with self._lock:
            fits = self._bytes + size <= MAX_RAW_BYTES
            if fits:
                self._bytes += size
        return fits

    def free(self, size: int) -> None:
        with self._lock:
            self._bytes -= size


class Alerts:
    """Queues each event for delivery, after its picture and before the state that it causes.

    Only for the publisher's thread, except `open_visits`. `remembered` are the visits of the
    previous run. `complain` is called with a sentence when something goes wrong, and `on_alert`
    with each alert before it enters the outbox.
    """

    def __init__(
        self,
        outbox: Outbox,
        delivery: Delivery,
        remembered: Iterable[Remembered],
        *,
        complain: Callable[[str], None],
        now: Callable[[], datetime],
        seconds: Callable[[], float],
        elapsed: Elapsed,
        on_alert: OnAlert | None = None,
    ) -> None:
        self._on_alert = on_alert
        self._outbox = outbox
        self._delivery = delivery
        self._complain = complain
        self._now = now
        self._seconds = seconds
        self._elapsed = elapsed
        self._snapshots = SnapshotSettings()
        self._folder: Path | None = None
        self._gallery: Gallery | None = None
        self._open: dict[Pair, set[str]] = {}
        """The ids of the visits without an `end` yet."""
        for visit in remembered:
            if visit.open:
                pair = visit.last.camera, visit.last.watch
                self._open.setdefault(pair, set()).add(visit.last.id)
        self._newest_visit: dict[Pair, str] = {}
        self._pictures_left_out = 0
        self._dropping = False
        self._dropped_said = self._expired_said = self._set_aside_said = 0

    @property
    def open_visits(self) -> dict[Pair, int]:
        """How many visits are open, by camera and watch; for any thread."""
        return {pair: len(visits) for pair, visits in tuple(self._open.items())}

    def keep_snapshots(self, settings: SnapshotSettings, folder: Path | None) -> None:
        """Apply these settings; `folder` is where snapshots are kept, None for nowhere."""
        if (settings, folder) == (self._snapshots, self._folder):
            return
        self._snapshots, self._folder, self._gallery = settings, folder, None
        if folder is not None:
            self._gallery = Gallery(
                SnapshotFolder(folder, keep=settings.keep, max_bytes=settings.max_size),
                complain=self._complain,
                now=self._now,
                seconds=self._seconds,
                elapsed=self._elapsed,
            )

    def clean_if_due(self) -> None:
        """Remove snapshots that are too old or too many."""
        if self._gallery is not None:
            self._gallery.clean_if_due()

    def take(self, event: Event, came_at: float, topics: Topics) -> None:
        """Publish an event that came to the publisher at `came_at`, in monotonic seconds."""
        if event.type == "rejected":
            self._publish_rejected(event, topics)
            return
        if event.type == "new":
            self._newest_visit[event.camera, event.watch] = event.id
        jpeg = self._publish_picture(event, topics)
        if self._on_alert is not None:  # first: a crash in between must not lose it
            self._on_alert(event, jpeg)
        self._delivery.alert(replace(event, picture=None), came_at)
        self._say_that_some_are_dropped()
        self._follow_state(event, topics)

    def note_left_out(self) -> None:
        """Report once that pictures are left out."""
        self._pictures_left_out += 1
        if self._pictures_left_out == 1:
            self._complain("pictures come faster than they can be drawn; some alerts have none")

    def compose(self, waiting: Waiting, topics: Topics) -> Message:
        """The message of what is in the outbox, to be sent now."""
        event = waiting.told
        if isinstance(event, Clip):
            return Message(topics.clip(event.camera, event.watch), encode(clip_fields(event)))
        fields = event_fields(
            event,
            topics,
            snapshot_path=self._gallery.path_of(event) if self._gallery else None,
            published_at=self._now(),
            delayed=waiting.waited_seconds > DELAYED_SECONDS,
        )
        return Message(topics.event(event.camera, event.watch), encode(fields))

    def publish_state(self, pair: Pair, topics: Topics) -> None:
        self._delivery.retain("state", topics.state(*pair), ON if self._open.get(pair) else OFF)

    def adopt(self, visits: Iterable[Event], topics: Topics) -> None:
        """Count these as open, which another has begun."""
        for event in visits:
            pair = event.camera, event.watch
            self._open.setdefault(pair, set()).add(event.id)
            self.publish_state(pair, topics)

    def leave(self, cameras: Collection[str], declared: Iterable[Pair], topics: Topics) -> None:
        """Leave these cameras to another, with what the broker retains of them."""
        known = {*declared, *self._open, *self._newest_visit}
        for pair in [pair for pair in known if pair[0] in cameras]:
            self._open.pop(pair, None)
            self._newest_visit.pop(pair, None)
            self._delivery.drop(topics.state(*pair))
            self._delivery.drop(topics.snapshot(*pair))

    def forget(self, pairs: Iterable[Pair], topics: Topics) -> None:
        """Clear the retained topics of these pairs."""
        for pair in pairs:
            self._open.pop(pair, None)
            self._newest_visit.pop(pair, None)
            self._delivery.clear(topics.state(*pair))
            self._delivery.clear(topics.snapshot(*pair))

    def say_how_many_were_dropped(self) -> None:
        """After a connect: log how many alerts were dropped meanwhile."""
        if self._dropping:
            count = self._outbox.dropped - self._dropped_said
            logger.warning("%d alerts were dropped while the broker was away", count)
            self._dropped_said = self._outbox.dropped
            self._dropping = False

    def say_what_was_not_kept(self) -> None:
        """Report how many alerts have waited too long or are not understood, if any."""
        expired = self._outbox.expired - self._expired_said
        self._expired_said = self._outbox.expired
        if expired:
            self._complain(
                f"alerts dropped after waiting longer than mqtt.outbox.max_age: {expired:,}"
            )
        aside = self._outbox.set_aside - self._set_aside_said
        self._set_aside_said = self._outbox.set_aside
        if aside:
            self._complain(
                f"alerts in the outbox not understood by this version of streamwatch: {aside:,};"
                " they are kept there, in the table set_aside, and not sent"
            )

    def _publish_rejected(self, event: Event, topics: Topics) -> None:
        """Tell once of a visit that was held back, and keep the picture of the thing alone."""
        path = None
        if event.picture is not None and self._gallery is not None:
            try:
                crop = render_crop(event.picture, self._snapshots.quality)
            except NOT_DRAWN as error:
                self._complain(f"a picture of {event.camera} can't be drawn: {error}")
            else:
                path = self._gallery.keep_crop(event, crop)
        payload = encode(rejected_fields(event, path))
        self._delivery.pass_on(Message(topics.rejected(event.camera, event.watch), payload))

    def _publish_picture(self, event: Event, topics: Topics) -> bytes | None:
        """Returns the JPEG, if one could be drawn."""
        if event.picture is None:
            return None
        try:
            # Converted once for both.
            marked = replace(event.picture, picture=Pixels(event.picture.picture.bgr()))
            jpeg = render(marked, self._snapshots.quality)
            if self._gallery is not None:
                self._gallery.keep(event, jpeg, render_crop(marked, self._snapshots.quality))
        except NOT_DRAWN as error:
            self._complain(f"a snapshot of {event.camera} can't be drawn: {error}")
            return None
        pair = event.camera, event.watch
        # A better picture of an older visit must not replace the newest visit's.
        if self._newest_visit.get(pair, event.id) == event.id:
            self._delivery.retain("snapshot", topics.snapshot(*pair), jpeg)
        return jpeg

    def _follow_state(self, event: Event, topics: Topics) -> None:
        pair = event.camera, event.watch
        open_visits = self._open.setdefault(pair, set())
        was_on = bool(open_visits)
        if event.type == "end":
            open_visits.discard(event.id)
        else:
            open_visits.add(event.id)
        if was_on != bool(open_visits):
            self.publish_state(pair, topics)

    def _say_that_some_are_dropped(self) -> None:
        if self._outbox.dropped > self._dropped_said and not self._dropping:
            self._dropping = True
            self._complain(
                f"{len(self._outbox):,} alerts wait for the broker, there is no room for more:"
                " updates are dropped, then whole visits, the oldest first"
            )
