"""The publisher's thread: takes what the daemon tells, and sees it through to the broker."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from streamwatch.config.models import MqttSettings, SnapshotSettings
from streamwatch.publisher.connection import Acknowledged, Connection, Notice
from streamwatch.publisher.delivery import Delivery, Message
from streamwatch.publisher.drawing import render, render_crop
from streamwatch.publisher.homeassistant import Device, Discovery, Roster, replacing
from streamwatch.publisher.outbox import MemoryOutbox, Outbox, Waiting
from streamwatch.publisher.payloads import (
    OFF,
    OFFLINE,
    ON,
    ONLINE,
    CameraState,
    ErrorReport,
    Info,
    Stats,
    encode,
    event_fields,
)
from streamwatch.publisher.snapshots import Gallery, SnapshotFolder
from streamwatch.publisher.topics import Topics
from streamwatch.records import Event

logger = logging.getLogger(__name__)

DELAYED_AFTER_SECONDS = 60.0
MAX_TURN_SECONDS = 60.0
MAX_RAW_BYTES = 256_000_000
"""Frames that wait to be drawn; beyond it an event goes without its picture."""
GOODBYE_RESERVE_SECONDS = 0.7
"""Of the time `stop` has, what is kept back to disconnect in."""

Pair = tuple[str, str]
"""A camera and a watch."""


class Publisher:
    """Publishes alerts, in a thread of its own; every method may be called from any thread.

    None but `wait_connected` and `stop` blocks, whatever the broker and the disk do: a call is
    noted, and drawing, saving and sending happen in the thread `publisher`. `folder` is where
    snapshots are kept, None for nowhere. `now` gives the time of day that is published, `seconds`
    the monotonic clock that delays are measured with.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        snapshots: SnapshotSettings,
        folder: Path | None,
        *,
        outbox: Outbox | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quality = snapshots.quality
        self._now = now
        self._seconds = seconds
        self._topics = Topics(mqtt.topic_prefix)
        self._outbox = MemoryOutbox() if outbox is None else outbox
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._connection = Connection(
            mqtt, self._topics.status, post=self._note_notice, seconds=seconds
        )
        self._delivery = Delivery(
            self._outbox, compose=self._compose, complain=self._complain, seconds=seconds
        )
        self._gallery = None
        if folder is not None:
            self._gallery = Gallery(
                SnapshotFolder(folder, keep=snapshots.keep, max_bytes=snapshots.max_size),
                complain=self._complain,
                now=now,
                seconds=seconds,
            )
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._connected = threading.Event()
        self._stop_by: float | None = None
        self._failure: Exception | None = None
        self._raw_bytes = 0
        self._raw_lock = threading.Lock()
        self._open: dict[Pair, set[str]] = {}
        self._newest_visit: dict[Pair, str] = {}
        self._last_stats: Stats | None = None
        self._discovery = None
        if mqtt.discovery_prefix is not None:
            self._discovery = Discovery(self._topics, mqtt.discovery_prefix, mqtt.commands)
        self._announced: dict[str, Device] = {}
        self._pictures_left_out = 0
        self._dropping = False
        self._dropped_said = 0

    @property
    def connected(self) -> bool:
        return self._connected.is_set()

    @property
    def waiting(self) -> int:
        """How many events the broker has not acknowledged yet."""
        return len(self._outbox)

    @property
    def failure(self) -> Exception | None:
        """What ended the thread, if anything did: nothing is published any more then."""
        return self._failure

    def start(self) -> None:
        """Begin to connect; a broker that is away is no error."""
        self._delivery.retain("status", self._topics.status, ONLINE)
        self._thread.start()

    def wait_connected(self, timeout: float) -> bool:
        """Whether the broker was reached within `timeout` seconds."""
        return self._connected.wait(timeout)

    def stop(self, timeout: float = 5.0) -> int:
        """Deliver what waits, publish `offline`, disconnect; returns how many events were lost.

        It takes `timeout` seconds at most, and less where there is nothing to wait for. What is
        told afterwards is not published. A second call does nothing.
        """
        if not self._thread.is_alive():
            return self.waiting
        self._tasks.put(
            partial(self._begin_stop, self._seconds() + timeout - GOODBYE_RESERVE_SECONDS)
        )
        self._thread.join(timeout)
        undelivered = self.waiting
        if undelivered:
            logger.warning("%d alerts could not be delivered before the end", undelivered)
        return undelivered

    def event(self, event: Event) -> None:
        """Publish an alert, its picture before it and the state after it."""
        picture_bytes = event.picture.image.nbytes if event.picture else 0
        with self._raw_lock:
            fits = self._raw_bytes + picture_bytes <= MAX_RAW_BYTES
            if fits:
                self._raw_bytes += picture_bytes
        if not fits:
            picture_bytes = 0
            event = replace(event, picture=None)
        self._tasks.put(
            partial(self._take_event, event, self._seconds(), picture_bytes, left_out=not fits)
        )

    def info(self, info: Info) -> None:
        self._tasks.put(partial(self._take_info, info))

    def stats(self, stats: Stats) -> None:
        """Publish counters; while the broker is away they are dropped."""
        self._tasks.put(partial(self._take_stats, stats))

    def error(self, report: ErrorReport) -> None:
        report = replace(report, at=report.at or self._now())
        self._tasks.put(partial(self._take_error, report))

    def camera_status(self, camera: str, state: CameraState) -> None:
        self._tasks.put(
            partial(
                self._delivery.retain,
                "camera",
                self._topics.camera_status(camera),
                state.encode(),
            )
        )

    def declare_states(self, pairs: Iterable[Pair]) -> None:
        """Publish `OFF` for each (camera, watch) in which nothing is there."""
        self._tasks.put(partial(self._take_pairs, tuple(pairs)))

    def announce(self, roster: Roster) -> None:
        """Tell Home Assistant, where `mqtt.homeassistant` says so, what there is from now on."""
        self._tasks.put(partial(self._take_roster, roster))

    def _note_notice(self, notice: Notice) -> None:
        self._tasks.put(partial(self._take_notice, notice))

    # From here on everything runs in the publisher's thread.

    def _run(self) -> None:
        try:
            while not self._finished():
                self._turn()
        except Exception as error:
            self._failure = error
            logger.exception("the publisher has stopped, nothing is published any more")
        finally:
            self._connected.clear()
            self._connection.close(will=self._failure is not None or not self._delivery.idle)

    def _turn(self) -> None:
        if self._connection.seconds_to_attempt == 0:
            self._connection.attempt()
        if self._gallery is not None:
            self._gallery.clean_if_due()
        try:
            task = self._tasks.get(timeout=self._patience_seconds())
        except queue.Empty:
            return
        task()
        self._delivery.pump()

    def _patience_seconds(self) -> float:
        """How long nothing needs to be done unless somebody tells something."""
        times = [MAX_TURN_SECONDS]
        if self._connection.seconds_to_attempt is not None:
            times.append(self._connection.seconds_to_attempt)
        if self._stop_by is not None:
            times.append(self._stop_by - self._seconds())
        return max(0.0, min(times))

    def _finished(self) -> bool:
        if self._stop_by is None:
            return False
        if self._seconds() >= self._stop_by:
            return True
        if not self._tasks.empty():
            return False
        return self._delivery.idle if self._connection.up else len(self._outbox) == 0

    def _begin_stop(self, stop_by: float) -> None:
        self._stop_by = stop_by
        self._delivery.retain("status", self._topics.status, OFFLINE)

    def _take_notice(self, notice: Notice) -> None:
        if isinstance(notice, Acknowledged):
            if notice.attempt == self._connection.number:
                self._delivery.acknowledged(
                    notice.message, notice.refusal, forbidden=notice.forbidden
                )
            return
        change = self._connection.take(notice)
        if change == "up":
            self._say_what_was_dropped()
            self._delivery.connected(self._connection)
            self._connected.set()
        elif change == "down":
            self._connected.clear()
            self._delivery.lost()

    def _take_event(
        self, event: Event, since_seconds: float, picture_bytes: int, *, left_out: bool
    ) -> None:
        pair = event.camera, event.watch
        if event.type == "new":
            self._newest_visit[pair] = event.id
        if left_out:
            self._note_left_out()
        if event.picture is not None:
            self._publish_picture(event)
            with self._raw_lock:
                self._raw_bytes -= picture_bytes
        self._delivery.alert(replace(event, picture=None), since_seconds)
        self._note_dropped()
        self._follow_state(event)

    def _publish_picture(self, event: Event) -> None:
        if event.picture is None:
            return
        try:
            jpeg = render(event.picture, self._quality)
            if self._gallery is not None:
                self._gallery.keep(event, jpeg, render_crop(event.picture, self._quality))
        except (ValueError, cv2.error) as error:
            self._complain(f"a snapshot of {event.camera} can't be drawn: {error}")
            return
        pair = event.camera, event.watch
        # An older visit's better picture must not stand where people look for the newest.
        if self._newest_visit.get(pair, event.id) == event.id:
            self._delivery.retain("snapshot", self._topics.snapshot(*pair), jpeg)

    def _follow_state(self, event: Event) -> None:
        pair = event.camera, event.watch
        open_visits = self._open.setdefault(pair, set())
        was_on = bool(open_visits)
        if event.type == "end":
            open_visits.discard(event.id)
        else:
            open_visits.add(event.id)
        if was_on != bool(open_visits):
            self._publish_state(pair)

    def _publish_state(self, pair: Pair) -> None:
        self._delivery.retain(
            "state", self._topics.state(*pair), ON if self._open.get(pair) else OFF
        )

    def _take_pairs(self, pairs: Iterable[Pair]) -> None:
        for pair in pairs:
            self._publish_state(pair)

    def _take_roster(self, roster: Roster) -> None:
        if self._discovery is None:
            return
        devices = self._discovery.devices(roster)
        for topic, device in devices.items():
            former = self._announced.get(topic)
            self._announce(topic, device if former is None else replacing(device, former))
        for topic in self._announced.keys() - devices.keys():
            del self._announced[topic]
            self._delivery.retain("discovery", topic, b"")

    def _announce(self, topic: str, device: Device) -> None:
        payload = self._encode(topic, device)
        if payload is not None:
            self._announced[topic] = device
            self._delivery.retain("discovery", topic, payload)

    def _take_info(self, info: Info) -> None:
        payload = self._encode(self._topics.info, info.fields())
        if payload is not None:
            self._delivery.retain("info", self._topics.info, payload)

    def _take_stats(self, stats: Stats) -> None:
        payload = self._encode(self._topics.stats, stats.fields(self._last_stats))
        self._last_stats = stats
        if payload is not None:
            self._delivery.stats(Message(self._topics.stats, payload))

    def _take_error(self, report: ErrorReport) -> None:
        payload = self._encode(self._topics.errors, report.fields())
        if payload is not None:
            self._delivery.report(Message(self._topics.errors, payload))

    def _encode(self, topic: str, fields: Mapping[str, Any]) -> bytes | None:
        try:
            return encode(fields)
        except ValueError as error:
            logger.error("a message to %s can't be sent: %s", topic, error)
            return None

    def _compose(self, waiting: Waiting) -> Message:
        event = waiting.event
        fields = event_fields(
            event,
            self._topics,
            snapshot_path=self._gallery.path_of(event) if self._gallery else None,
            published_at=self._now(),
            delayed=self._seconds() - waiting.since_seconds > DELAYED_AFTER_SECONDS,
        )
        return Message(self._topics.event(event.camera, event.watch), encode(fields))

    def _complain(self, sentence: str) -> None:
        logger.error("%s", sentence)
        self._take_error(ErrorReport("publisher", sentence, at=self._now()))

    def _note_left_out(self) -> None:
        self._pictures_left_out += 1
        if self._pictures_left_out == 1:
            self._complain("pictures come faster than they can be drawn; some alerts have none")

    def _note_dropped(self) -> None:
        if self._outbox.dropped > self._dropped_said and not self._dropping:
            self._dropping = True
            self._complain(
                f"{len(self._outbox):,} alerts wait for the broker, there is no room for more:"
                " updates are dropped, then whole visits, the oldest first"
            )

    def _say_what_was_dropped(self) -> None:
        if self._dropping:
            count = self._outbox.dropped - self._dropped_said
            logger.warning("%d alerts were dropped while the broker was away", count)
            self._dropped_said = self._outbox.dropped
            self._dropping = False
