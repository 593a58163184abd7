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

from streamwatch.config import MqttSettings, OutboxSettings, SnapshotSettings
from streamwatch.publisher.alerts import Alerts, RawPictures
from streamwatch.publisher.contract.payloads import (
    OFFLINE,
    ONLINE,
    CameraState,
    ErrorReport,
    Info,
    Stats,
    encode,
)
from streamwatch.publisher.contract.requests import Command, Reply, answer_fields, answers
from streamwatch.publisher.contract.topics import Pair, Topics
from streamwatch.publisher.homeassistant_announcer import Announcer
from streamwatch.publisher.homeassistant_discovery import Device, Roster
from streamwatch.publisher.mqtt.attempt import Acknowledged, Arrived, Notice, Subscribed
from streamwatch.publisher.mqtt.connection import Change, Connection
from streamwatch.publisher.mqtt.delivery import Delivery, Message
from streamwatch.publisher.mqtt.listening import Listening
from streamwatch.publisher.mqtt.sweep import Declared
from streamwatch.publisher.outbox.durable import DurableOutbox
from streamwatch.publisher.outbox.outbox import Outbox, Waiting
from streamwatch.publisher.outbox.sqlite import SqliteOutbox
from streamwatch.records import Event, Remembered

logger = logging.getLogger(__name__)

MAX_TURN_SECONDS = 5.0
"""However little there is to do, the thread shows that it is alive."""
GOODBYE_RESERVE_SECONDS = 0.7
"""Of the time `stop` has, what is kept back to disconnect in."""
LEAVE_SECONDS = 2.0
"""To say goodbye to a broker that the settings name no more."""


class Publisher:
    """Publishes alerts, in a thread of its own; every method may be called from any thread.

    None but `wait_connected` and `stop` blocks, whatever the broker and the disk do: a call is
    noted, and drawing, saving and sending happen in the thread `publisher`. `folder` is where
    snapshots are kept, None for nowhere. The file `outbox` keeps the events until they are
    acknowledged; without it they die with the process. `on_command` is called in that thread with
    each command, while `mqtt.commands` is true; it must not block. `now` gives the time of day
    that is published, `seconds` the monotonic clock.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        snapshots: SnapshotSettings,
        folder: Path | None,
        *,
        outbox: Path | None = None,
        on_command: Callable[[Command], None] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mqtt = mqtt
        self._now = now
        self._seconds = seconds
        self._topics = Topics(mqtt.topic_prefix)
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._outbox = self._made_outbox(outbox, mqtt.outbox)
        self._connection = self._new_connection()
        self._delivery = Delivery(
            self._outbox, compose=self._compose, complain=self._complain, now=now, seconds=seconds
        )
        self._alerts = Alerts(
            self._outbox, self._delivery, complain=self._complain, now=now, seconds=seconds
        )
        self._announcer = Announcer(
            publish=self._publish_device, clear=self._delivery.clear, seconds=seconds
        )
        self._listening = Listening(
            mqtt,
            self._delivery,
            self._announcer,
            on_command,
            complain=self._complain,
            seconds=seconds,
        )
        self._move_to: MqttSettings | None = None
        self._leave_by = 0.0
        self._alerts.keep_snapshots(snapshots, folder)
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._connected = threading.Event()
        self._tried = False
        self._turned_at = seconds()
        self._stop_by: float | None = None
        self._failure: Exception | None = None
        self._raw_pictures = RawPictures()
        self._remembered = tuple(self._outbox.visits())
        self._last_stats: Stats | None = None

    @property
    def connected(self) -> bool:
        return self._connected.is_set()

    @property
    def tried(self) -> bool:
        """Whether it is known by now if the broker can be reached."""
        return self._tried

    @property
    def turned_at(self) -> float:
        """When the thread came round last, in monotonic seconds."""
        return self._turned_at

    @property
    def open_visits(self) -> dict[Pair, int]:
        """How many visits are open, by camera and watch; for any thread."""
        return self._alerts.open_visits

    @property
    def waiting(self) -> int:
        """How many events the broker has not acknowledged yet."""
        return len(self._outbox)

    @property
    def failure(self) -> Exception | None:
        """What ended the thread, if anything did: nothing is published any more then."""
        return self._failure

    @property
    def remembered(self) -> tuple[Remembered, ...]:
        """The visits of the life before this one: those it left open, and those its stop ended."""
        now = self._now()
        return tuple(
            Remembered(last, max(0.0, (now - last.captured_at).total_seconds()))
            for last in self._remembered
        )

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
            fate = "wait on the disk for the next start" if self._outbox.lasting else "are lost"
            logger.warning("%d alerts could not be delivered and %s", undelivered, fate)
        return undelivered

    def event(self, event: Event) -> None:
        """Publish an alert, its picture before it and the state after it."""
        picture_bytes = event.picture.image.nbytes if event.picture else 0
        fits = self._raw_pictures.reserve(picture_bytes)
        if not fits:
            picture_bytes = 0
            event = replace(event, picture=None)
        self._tasks.put(
            partial(self._take_event, event, self._now(), picture_bytes, left_out=not fits)
        )

    def remember(self, visits: Iterable[Event]) -> None:
        """Keep how the visits stand that would go on after a restart now: these and no others."""
        self._tasks.put(partial(self._outbox.remember, tuple(visits)))

    def info(self, info: Info) -> None:
        self._tasks.put(partial(self._take_info, info))

    def stats(self, stats: Stats) -> None:
        """Publish counters; while the broker is away they are dropped."""
        self._tasks.put(partial(self._take_stats, stats))

    def error(self, report: ErrorReport) -> None:
        report = replace(report, at=report.at or self._now())
        self._tasks.put(partial(self._take_error, report))

    def camera_status(self, camera: str, state: CameraState) -> None:
        self._tasks.put(partial(self._take_camera_status, camera, state))

    def declare(self, cameras: Iterable[str], pairs: Iterable[Pair]) -> None:
        """Tell all that there is; a state is published for each pair that has none yet.

        That is `ON` where a visit of an earlier life is still open, else `OFF`. The first time,
        what an earlier life left of anything else is looked for, and cleared.
        """
        self._tasks.put(partial(self._take_declared, Declared(frozenset(cameras), tuple(pairs))))

    def forget(self, cameras: Iterable[str], pairs: Iterable[Pair]) -> None:
        """Clear the retained topics of what there is no more, after all that was told of it."""
        self._tasks.put(partial(self._take_gone, tuple(cameras), tuple(pairs)))

    def answer(
        self,
        reply: Reply,
        verb: str,
        id: str | int | float | None,
        ok: bool,
        message: str | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        """Answer a command; without a connection nobody waits for that any more.

        Raises ValueError where `result` holds what JSON can't.
        """
        payload = encode(answer_fields(id, ok=ok, message=message, result=result))
        self._tasks.put(partial(self._take_answer, reply, verb, payload))

    def reconfigure(
        self, mqtt: MqttSettings, snapshots: SnapshotSettings, folder: Path | None
    ) -> None:
        """Go over to other settings; what is the same in them goes on untouched.

        Another broker or prefix gets all that is retained, and the alerts that still wait. The
        broker before is told `offline`; topics of a prefix before are cleared.
        """
        self._tasks.put(partial(self._take_settings, mqtt, snapshots, folder))

    def announce(self, roster: Roster) -> None:
        """Tell Home Assistant, where `mqtt.homeassistant` says so, what there is from now on.

        After `declare`, which looks for what is to be taken back before it is written over.
        """
        self._tasks.put(partial(self._announcer.announce, roster))

    def _note_notice(self, notice: Notice) -> None:
        self._tasks.put(partial(self._take_notice, notice))

    def _made_outbox(self, file: Path | None, settings: OutboxSettings) -> Outbox:
        if file is None:
            return SqliteOutbox(max_bytes=settings.max_size, max_age=settings.max_age)
        return DurableOutbox(
            file,
            max_bytes=settings.max_size,
            max_age=settings.max_age,
            complain=lambda sentence: self._tasks.put(partial(self._complain, sentence)),
            seconds=self._seconds,
        )

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
            self._outbox.close()

    def _turn(self) -> None:
        self._turned_at = self._seconds()
        if self._connection.seconds_to_attempt == 0:
            self._connection.attempt()
        self._alerts.clean_if_due()
        self._listening.turn()
        if self._announcer.seconds_to_repeat == 0:
            self._announcer.repeat()
        try:
            task = self._tasks.get(timeout=self._patience_seconds())
        except queue.Empty:
            pass
        else:
            task()
        self._delivery.pump()
        if self._move_to is not None and (self._delivery.idle or self._seconds() >= self._leave_by):
            self._move()

    def _patience_seconds(self) -> float:
        """How long nothing needs to be done unless somebody tells something."""
        times = [MAX_TURN_SECONDS]
        if self._connection.seconds_to_attempt is not None:
            times.append(self._connection.seconds_to_attempt)
        if self._listening.seconds_to_turn is not None:
            times.append(self._listening.seconds_to_turn)
        if self._announcer.seconds_to_repeat is not None:
            times.append(self._announcer.seconds_to_repeat)
        if self._move_to is not None:
            times.append(self._leave_by - self._seconds())
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
        if self._move_to is not None:
            self._move()
        self._delivery.retain("status", self._topics.status, OFFLINE)
        if not self._connection.up:
            self._connection.hurry()

    def _take_notice(self, notice: Notice) -> None:
        if notice.attempt != self._connection.number:
            return
        match notice:
            case Acknowledged():
                self._delivery.acknowledged(
                    notice.message, notice.refusal, forbidden=notice.forbidden
                )
            case Subscribed():
                self._listening.subscribed(notice)
            case Arrived():
                self._listening.arrived(notice)
            case _:
                self._take_change(self._connection.take(notice))
                self._tried = True

    def _take_change(self, change: Change | None) -> None:
        if change == "up":
            self._alerts.say_how_many_were_dropped()
            self._delivery.connected(self._connection)
            self._connected.set()
            self._listening.connected(self._connection)
        elif change == "down":
            self._connected.clear()
            self._delivery.lost()
            self._listening.lost()
            if self._move_to is not None:
                self._move()

    # --- other settings --------------------------------------------------------------------------

    def _take_settings(
        self, mqtt: MqttSettings, snapshots: SnapshotSettings, folder: Path | None
    ) -> None:
        self._alerts.keep_snapshots(snapshots, folder)
        self._outbox.limit(mqtt.outbox.max_size, mqtt.outbox.max_age)
        if self._move_to is not None:
            self._move_to = mqtt
        elif _of_connection(mqtt) == _of_connection(self._mqtt):
            self._mqtt = mqtt
            self._listening.change(mqtt)
        elif self._connection.up:
            self._leave_for(mqtt)
        else:
            self._move_to = mqtt
            self._move()

    def _new_connection(self) -> Connection:
        return Connection(
            self._mqtt, self._topics.status, post=self._note_notice, seconds=self._seconds
        )

    def _leave_for(self, mqtt: MqttSettings) -> None:
        """Say goodbye, then `_move`."""
        self._move_to = mqtt
        self._leave_by = self._seconds() + LEAVE_SECONDS
        old, new = self._mqtt.topic_prefix, mqtt.topic_prefix
        self._delivery.leave(
            Message(self._topics.status, OFFLINE), clear_below=None if old == new else old
        )

    def _move(self) -> None:
        """End the connection there was, and begin another."""
        if self._move_to is None:
            return
        before, self._mqtt, self._move_to = self._mqtt, self._move_to, None
        said_goodbye = self._connection.up and self._delivery.idle
        self._connection.close(will=not said_goodbye)
        self._connected.clear()
        self._delivery.left()
        self._delivery.move(
            before.topic_prefix,
            self._mqtt.topic_prefix,
            same_broker=before.address == self._mqtt.address,
            cleared=said_goodbye,
        )
        self._topics = Topics(self._mqtt.topic_prefix)
        self._connection = self._new_connection()
        self._listening.moved(self._mqtt)

    # --- what there is, and what there was ------------------------------------------------------

    def _take_declared(self, declared: Declared) -> None:
        for pair in declared.pairs:
            if not self._delivery.retains(self._topics.state(*pair)):
                self._alerts.publish_state(pair, self._topics)
        self._listening.declare(declared)

    def _take_gone(self, cameras: Iterable[str], pairs: Iterable[Pair]) -> None:
        for camera in cameras:
            self._delivery.clear(self._topics.camera_status(camera))
        self._alerts.forget(pairs, self._topics)

    # --- what is told ----------------------------------------------------------------------------

    def _take_event(
        self, event: Event, since: datetime, picture_bytes: int, *, left_out: bool
    ) -> None:
        if left_out:
            self._alerts.note_left_out()
        self._alerts.take(event, since, self._topics)
        self._raw_pictures.free(picture_bytes)

    def _take_camera_status(self, camera: str, state: CameraState) -> None:
        self._delivery.retain("camera", self._topics.camera_status(camera), state.encode())

    def _publish_device(self, topic: str, device: Device) -> None:
        payload = self._encode(topic, device)
        if payload is not None:
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

    def _take_answer(self, reply: Reply, verb: str, payload: bytes) -> None:
        for answer in answers(self._topics, reply, verb, payload):
            self._delivery.answer(answer)

    def _encode(self, topic: str, fields: Mapping[str, Any]) -> bytes | None:
        try:
            return encode(fields)
        except ValueError as error:
            logger.error("a message to %s can't be sent: %s", topic, error)
            return None

    def _compose(self, waiting: Waiting) -> Message:
        return self._alerts.compose(waiting, self._topics)

    def _complain(self, sentence: str) -> None:
        logger.error("%s", sentence)
        self._take_error(ErrorReport("publisher", sentence, at=self._now()))


def _of_connection(mqtt: MqttSettings) -> MqttSettings:
    """The settings without those that a connection goes on with when they change."""
    defaults = MqttSettings()
    kept = ("commands", "homeassistant", "outbox")
    return mqtt.model_copy(update={key: getattr(defaults, key) for key in kept})
