"""The publisher: takes events and reports from any thread, and delivers them to the broker."""

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

from streamwatch.config import MqttSettings, OutboxSettings, SnapshotSettings
from streamwatch.elapsed import Elapsed, this_boot
from streamwatch.learning.learnt import NearMiss
from streamwatch.publisher.alerts import OnAlert, RawPictures
from streamwatch.publisher.contract.payloads import (
    CameraState,
    ErrorReport,
    Info,
    Stats,
    encode,
    near_fields,
)
from streamwatch.publisher.contract.requests import Command, Reply, answer_fields
from streamwatch.publisher.contract.topics import Pair
from streamwatch.publisher.homeassistant_discovery import Roster
from streamwatch.publisher.loop import PublisherLoop
from streamwatch.publisher.mqtt.sweep import Declared
from streamwatch.publisher.outbox.durable import DurableOutbox
from streamwatch.publisher.outbox.outbox import Outbox
from streamwatch.publisher.outbox.sqlite import SqliteOutbox
from streamwatch.publisher.visits import OnLost
from streamwatch.records import Clip, Event, MarkedPicture, Remembered

logger = logging.getLogger(__name__)

GOODBYE_RESERVE_SECONDS = 0.7
"""The part of `stop`'s time that is reserved for disconnecting."""


def _drawn_bytes(marked: MarkedPicture) -> int:
    """Of what a picture becomes when it is drawn."""
    width, height = marked.picture.size
    return width * height * 3


class Publisher:
    """Publishes alerts, in a thread of its own; every method may be called from any thread.

    Only `wait_connected` and `stop` block, whatever the broker and the disk do: a call is queued,
    and drawing, saving and sending happen in the thread `publisher`. `folder` is where
    snapshots are kept, None for nowhere. The file `outbox` keeps the events until they are
    acknowledged; without it they die with the process. `instance` is the id that `P/info` and
    `P/stats` carry: with it nothing is published to topics of another that lives, and `failure`
    says so. `on_command` is called in that thread with each command, while `mqtt.commands` is true;
    it must not block. `on_alert` is called there with each alert and its JPEG. As `worker`, one of
    several on the prefix, it publishes of the cameras that it adopts, has a status, info and
    statistics of its own, and clears nothing else; `on_lost` is called there with a camera that
    another has got.
    `now` gives the time of day that is published, `seconds` the monotonic clock.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        snapshots: SnapshotSettings,
        folder: Path | None,
        *,
        outbox: Path | None = None,
        instance: str | None = None,
        on_command: Callable[[Command], None] | None = None,
        on_alert: OnAlert | None = None,
        worker: str | None = None,
        on_lost: OnLost = lambda _camera, _visits: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._seconds = seconds
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._elapsed = Elapsed(seconds, now, this_boot())
        self._outbox = self._made_outbox(outbox, mqtt.outbox)
        self._remembered = tuple(self._outbox.visits())
        self._remembered_at = seconds()
        self._raw_pictures = RawPictures()
        self._loop = PublisherLoop(
            mqtt,
            self._tasks,
            self._outbox,
            self._remembered,
            instance=instance,
            on_command=on_command,
            now=now,
            seconds=seconds,
            elapsed=self._elapsed,
            on_alert=on_alert,
            worker=worker,
            on_lost=on_lost,
        )
        self._loop.alerts.keep_snapshots(snapshots, folder)
        self._thread = threading.Thread(target=self._loop.run, name="publisher", daemon=True)

    @property
    def connected(self) -> bool:
        """Whether the broker is connected, and acknowledges what it is sent."""
        return self._loop.connected.is_set() and not self._loop.unanswered

    @property
    def tried(self) -> bool:
        """Whether connecting was tried at least once."""
        return self._loop.tried

    @property
    def turned_at(self) -> float:
        """When the thread came round last, in monotonic seconds."""
        return self._loop.turned_at

    @property
    def open_visits(self) -> dict[Pair, int]:
        """How many visits are open, by camera and watch; for any thread."""
        return self._loop.alerts.open_visits

    @property
    def waiting(self) -> int:
        """How many events the broker has not acknowledged yet."""
        return len(self._outbox)

    @property
    def dropped(self) -> int:
        """How many events were dropped for lack of room since the start."""
        return self._outbox.dropped

    @property
    def expired(self) -> int:
        """How many events were dropped because of their age since the start."""
        return self._outbox.expired

    @property
    def failure(self) -> Exception | None:
        """What ended the thread, if anything did: nothing is published any more then."""
        return self._loop.failure

    @property
    def remembered(self) -> tuple[Remembered, ...]:
        """The visits of the previous run: those it left open, and those its stop ended."""
        passed = self._seconds() - self._remembered_at
        return tuple(
            replace(visit, age_seconds=visit.age_seconds + passed) for visit in self._remembered
        )

    def start(self) -> None:
        """Start connecting; an unreachable broker is not an error."""
        self._thread.start()

    def wait_connected(self, timeout: float) -> bool:
        """Whether the broker was reached within `timeout` seconds."""
        return self._loop.connected.wait(timeout)

    def stop(self, timeout: float = 5.0) -> int:
        """Deliver what waits, publish `offline`, disconnect; returns how many events were not
        delivered.

        Takes at most `timeout` seconds, and less if there is nothing to wait for. Later calls of
        other methods publish nothing. A second call does nothing.
        """
        if not self._thread.is_alive():
            return self.waiting
        self._tasks.put(
            partial(self._loop.begin_stop, self._seconds() + timeout - GOODBYE_RESERVE_SECONDS)
        )
        self._thread.join(timeout)
        undelivered = self.waiting
        if undelivered:
            fate = "wait on the disk for the next start" if self._outbox.lasting else "are lost"
            logger.warning("%d alerts could not be delivered and %s", undelivered, fate)
        return undelivered

    def event(self, event: Event) -> None:
        """Publish an alert, its picture before it and the state after it."""
        size = 0 if event.picture is None else _drawn_bytes(event.picture)
        fits = self._raw_pictures.reserve(size)
        if not fits:
            event = replace(event, picture=None)
        came_at = self._seconds()

        def take() -> None:
            self._loop.take_event(event, came_at, left_out=not fits)
            if fits:
                self._raw_pictures.free(size)

        self._tasks.put(take)

    def clip(self, clip: Clip) -> None:
        """Tell that a visit's video is whole."""
        self._tasks.put(partial(self._loop.take_clip, clip, self._seconds()))

    def near_miss(self, miss: NearMiss, crop_path: Path | None) -> None:
        """Publish what was found and not told, with where its picture is kept, if anywhere;
        dropped while the broker is away."""
        # Without the picture, which must not stay in memory while this waits.
        fields = near_fields(miss, crop_path)
        pair = miss.subject.camera, miss.subject.watch
        self._tasks.put(partial(self._loop.take_near_miss, pair, fields))

    def remember(self, visits: Iterable[Event]) -> None:
        """Store the open visits, each as its newest event, to be continued after a crash."""
        self._tasks.put(partial(self._loop.take_remembered, tuple(visits)))

    def adopt(self, cameras: Iterable[str], visits: Iterable[Event], *, resend: bool) -> None:
        """As a worker: publish of these cameras too, going on with the `visits` there that another
        has begun; with `resend` the last event of each is sent again, which that perhaps did not.

        `P/cameras/<camera>/worker` must name this worker by then.
        """
        self._tasks.put(
            partial(self._loop.take_adopted, tuple(cameras), tuple(visits), resend=resend)
        )

    @property
    def left_over(self) -> tuple[Event, ...]:
        """As a worker: the last event of each visit that a former run could not tell of. They wait,
        since another worker may have gone on with them: send or drop them."""
        return self._loop.left_over

    def send_left_over(self, visits: Iterable[str]) -> None:
        """As a worker: send what waits of these visits, by id, which nobody was told of."""
        self._tasks.put(partial(self._loop.take_left_over, tuple(visits), send=True))

    def drop_left_over(self, visits: Iterable[str]) -> None:
        """As a worker: another goes on with these visits."""
        self._tasks.put(partial(self._loop.take_left_over, tuple(visits), send=False))

    def end(self, ends: Iterable[Event]) -> None:
        """As a worker or a controller: publish the `end` of visits that nobody goes on with."""
        self._tasks.put(partial(self._loop.take_ends, tuple(ends)))

    def leave(self, cameras: Iterable[str]) -> None:
        """As a worker: publish no more of these cameras, and leave what is retained to another."""
        self._tasks.put(partial(self._loop.take_left, tuple(cameras)))

    def info(self, info: Info) -> None:
        self._tasks.put(partial(self._loop.take_info, info))

    def stats(self, stats: Stats) -> None:
        """Publish counters; dropped while the broker is away."""
        self._tasks.put(partial(self._loop.take_stats, stats))

    def summed_stats(self, fields: Mapping[str, Any]) -> None:
        """As a controller: publish the counters of all workers; dropped while the broker is
        away."""
        self._tasks.put(partial(self._loop.take_stats_fields, fields))

    def error(self, report: ErrorReport) -> None:
        report = replace(report, at=report.at or self._now())
        self._tasks.put(partial(self._loop.take_error, report))

    def camera_status(self, camera: str, state: CameraState) -> None:
        self._tasks.put(partial(self._loop.take_camera_status, camera, state))

    def declare(
        self,
        cameras: Iterable[str],
        pairs: Iterable[Pair],
        workers: Iterable[str] | None = None,
    ) -> None:
        """Set which cameras and (camera, watch) pairs exist, and publish each pair's state.

        `ON` if a visit of the previous run is still open, else `OFF`. The first time, retained
        topics of anything else are looked for on the broker and cleared. Where `workers` share the
        prefix, they publish the states, and this publisher is that of their controller.
        """
        there = None if workers is None else frozenset(workers)
        declared = Declared(frozenset(cameras), tuple(pairs), there)
        self._tasks.put(partial(self._loop.take_declared, declared))

    def give(self, owners: Mapping[str, str]) -> None:
        """As a controller: make workers the owners of cameras, who tell the cameras' status."""
        self._tasks.put(partial(self._loop.take_owners, dict(owners)))

    def flush(self, timeout: float) -> bool:
        """Wait until everything so far is acknowledged; False after `timeout` seconds."""
        flushed = threading.Event()
        self._tasks.put(partial(self._loop.take_flush, flushed))
        return flushed.wait(timeout)

    def forget(self, cameras: Iterable[str], pairs: Iterable[Pair]) -> None:
        """Clear the retained topics of what no longer exists, after its last messages."""
        self._tasks.put(partial(self._loop.take_gone, tuple(cameras), tuple(pairs)))

    def answer(
        self,
        reply: Reply,
        verb: str,
        id: str | int | float | None,
        ok: bool,
        message: str | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        """Answer a command; dropped while disconnected. Raises ValueError if `result` is not valid
        JSON.
        """
        payload = encode(answer_fields(id, ok=ok, message=message, result=result))
        self._tasks.put(partial(self._loop.take_answer, reply, verb, payload))

    def reconfigure(
        self, mqtt: MqttSettings, snapshots: SnapshotSettings, folder: Path | None
    ) -> None:
        """Apply other settings; what did not change continues untouched.

        A new broker or prefix gets all retained messages and the alerts that still wait. The former
        broker gets `offline`; topics of a former prefix are cleared.
        """
        self._tasks.put(partial(self._loop.take_settings, mqtt, snapshots, folder))

    def announce(self, roster: Roster) -> None:
        """Announce cameras and watches to Home Assistant, if `mqtt.homeassistant` says so.

        Call after `declare`, which finds former announcements before they are overwritten.
        """
        self._tasks.put(partial(self._loop.announcer.announce, roster))

    def _made_outbox(self, file: Path | None, settings: OutboxSettings) -> Outbox:
        if file is None:
            return SqliteOutbox(
                max_bytes=settings.max_size, max_age=settings.max_age, elapsed=self._elapsed
            )
        return DurableOutbox(
            file,
            max_bytes=settings.max_size,
            max_age=settings.max_age,
            # It may complain before there is a loop.
            complain=lambda sentence: self._tasks.put(lambda: self._loop.complain(sentence)),
            seconds=self._seconds,
            elapsed=self._elapsed,
        )
