"""The publisher's thread: one task after another, until it is told to stop."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from streamwatch.config import MqttSettings, SnapshotSettings
from streamwatch.elapsed import Elapsed
from streamwatch.errors import PublisherError
from streamwatch.publisher.alerts import Alerts, OnAlert
from streamwatch.publisher.contract.payloads import (
    OFFLINE,
    ONLINE,
    CameraState,
    ErrorReport,
    Info,
    Stats,
    encode,
)
from streamwatch.publisher.contract.requests import Command, Reply, answers
from streamwatch.publisher.contract.topics import Pair, Topics
from streamwatch.publisher.homeassistant_announcer import Announcer
from streamwatch.publisher.homeassistant_discovery import Device
from streamwatch.publisher.mqtt.admission import Admission
from streamwatch.publisher.mqtt.answers import Answers
from streamwatch.publisher.mqtt.attempt import Acknowledged, Arrived, Notice, Subscribed
from streamwatch.publisher.mqtt.claim import Claim
from streamwatch.publisher.mqtt.connection import Change, Connection
from streamwatch.publisher.mqtt.delivery import ANSWER_SECONDS, Delivery
from streamwatch.publisher.mqtt.fence import Fence
from streamwatch.publisher.mqtt.listening import Listening
from streamwatch.publisher.mqtt.steps import Message
from streamwatch.publisher.mqtt.sweep import Declared
from streamwatch.publisher.outbox.outbox import Outbox, Waiting
from streamwatch.publisher.share import WORKERS_PACE, WORKERS_TURN_SECONDS, Share
from streamwatch.publisher.visits import OnLost
from streamwatch.records import Clip, Event, Remembered

logger = logging.getLogger(__name__)

MAX_TURN_SECONDS = 5.0
"""The thread turns at least this often, to show that it is alive."""
DROPPED_SECONDS = 1.0
"""How often it is told how many messages were dropped."""
LEAVE_SECONDS = 2.0
"""Time to disconnect properly from a broker that the settings no longer name."""


class PublisherLoop:
    """The work of the thread `publisher`, which alone calls the methods, as tasks from the queue.

    Public attributes may be read by any thread. `run` returns after a stop.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        tasks: queue.SimpleQueue[Callable[[], None]],
        outbox: Outbox,
        remembered: Iterable[Remembered],
        *,
        instance: str | None,
        on_command: Callable[[Command], None] | None,
        now: Callable[[], datetime],
        seconds: Callable[[], float],
        elapsed: Elapsed,
        on_alert: OnAlert | None = None,
        worker: str | None = None,
        on_lost: OnLost = lambda _camera, _visits: None,
    ) -> None:
        self._mqtt = mqtt
        self._tasks = tasks
        self._outbox = outbox
        self._now = now
        self._seconds = seconds
        self._topics = Topics(mqtt.topic_prefix, worker)
        self._instance = instance
        self._claim = self._new_claim()
        self._settling = False
        """Whether the first attempt after the claim has no answer yet."""
        self._admission = Admission()
        self._dropped_told_at = float("-inf")
        self._connection = self._new_connection()
        self._delivery = Delivery(
            outbox, compose=self._compose, complain=self.complain, seconds=seconds
        )
        self._answers = Answers(self._delivery)
        self._flushes: list[threading.Event] = []
        """Set once everything that was to be sent is acknowledged."""
        self.alerts = Alerts(
            outbox,
            self._delivery,
            remembered if worker is None else (),
            complain=self.complain,
            now=now,
            seconds=seconds,
            elapsed=elapsed,
            on_alert=on_alert,
        )
        self._share: Share | None = None
        if worker is not None:
            self._share = Share(
                self._topics,
                self.alerts,
                self._delivery,
                outbox,
                on_lost,
                seconds=seconds,
                complain=self.complain,
            )
        self.announcer = Announcer(
            publish=self._publish_device, clear=self._delivery.clear, seconds=seconds
        )
        self._listening = Listening(
            mqtt,
            self._delivery,
            self._answers,
            self.announcer,
            on_command,
            drop=self._admission.drop,
            complain=self.complain,
            seconds=seconds,
        )
        self._shortcomings_said: set[str] = set()
        self._move_to: MqttSettings | None = None
        self._leave_by = 0.0
        self._stop_by: float | None = None
        self._last_stats: Stats | None = None
        self.connected = threading.Event()
        self.unanswered = False
        """Whether the broker stopped to acknowledge what it is sent."""
        self.tried = False
        """Whether connecting was tried at least once."""
        self.turned_at = seconds()
        """When the thread turned last, in monotonic seconds."""
        self.failure: Exception | None = None
        """The unexpected error that ended the thread, if any: then nothing is published any
        more."""
        self._delivery.retain("status", self._topics.status, ONLINE)

    def run(self) -> None:
        try:
            while not self._finished():
                self._turn()
        except PublisherError as error:
            self.failure = error
        except Exception as error:
            self.failure = error
            logger.exception("the publisher has stopped, nothing is published any more")
        finally:
            self.connected.clear()
            self._connection.close(
                will=self.failure is not None or self._is_fenced or not self._delivery.idle
            )
            self._outbox.close()

    def _turn(self) -> None:
        self.turned_at = self._seconds()
        self._notice_a_pause()
        if self._claim is not None:
            self._decide(self._claim)
        if self._share is not None and self._share.passes():
            self._begin()
        if self._connection.seconds_to_attempt == 0:
            self._connection.attempt()
        self.alerts.clean_if_due()
        self._listening.turn()
        if self.announcer.seconds_to_repeat == 0:
            self.announcer.repeat()
        try:
            task = self._tasks.get(timeout=self._patience_seconds())
        except queue.Empty:
            self._notice_a_pause()
        else:
            self._notice_a_pause()
            task()
            self._notice_a_pause()
        self._delivery.pump()
        self._give_up_on_a_silent_broker()
        while self._answers.pass_on():
            self._delivery.pump()
        if self._flushes and self.connected.is_set() and self._delivery.idle:
            for flushed in self._flushes:
                flushed.set()
            self._flushes.clear()
        self._say_how_many_were_dropped()
        self.alerts.say_what_was_not_kept()
        if self._move_to is not None and (self._delivery.idle or self._seconds() >= self._leave_by):
            self._move()

    def _decide(self, claim: Claim) -> None:
        """Raises PublisherError if the topic prefix belongs to another daemon."""
        if claim.owner is not None:
            raise PublisherError(
                f"mqtt.topic_prefix: {self._mqtt.topic_prefix} belongs to another streamwatch on"
                f" the broker {self._mqtt.address} (instance {claim.owner}); give each its own"
            )
        if claim.is_free:
            self._claim = None
            self._connection.settle(self._topics.status)
            self._settling = True

    def _notice_a_pause(self) -> None:
        if self._share is not None and self._share.stood_still():
            self._connection.cut()

    def _give_up_on_a_silent_broker(self) -> None:
        """Connect again where no acknowledgement comes, though the connection stands."""
        if not (self._connection.up and self._delivery.unanswered):
            return
        if not self.unanswered:
            self.unanswered = True
            self.complain(
                f"the broker has acknowledged nothing for {ANSWER_SECONDS:.0f} s; connecting again,"
                " alerts wait"
            )
        self._connection.cut()

    def _say_how_many_were_dropped(self) -> None:
        if self._seconds() - self._dropped_told_at < DROPPED_SECONDS:
            return
        if dropped := self._admission.take_dropped():
            self._dropped_told_at = self._seconds()
            logger.warning(
                "dropped %d messages to %s/command/…: more come than can be taken",
                dropped,
                self._topics.prefix,
            )

    def _patience_seconds(self) -> float:
        """How long to wait for a task before something else is due."""
        times = [MAX_TURN_SECONDS]
        if self._share is not None:
            times.append(WORKERS_TURN_SECONDS)
            if self._share.is_fenced:
                times.append(self._share.fence.seconds_left)
        if self._connection.seconds_to_attempt is not None:
            times.append(self._connection.seconds_to_attempt)
        if self._listening.seconds_to_turn is not None:
            times.append(self._listening.seconds_to_turn)
        if self._claim is not None:
            times.append(self._claim.seconds_left)
        if self.announcer.seconds_to_repeat is not None:
            times.append(self.announcer.seconds_to_repeat)
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
        if self._connection.up:
            return self._claim is None and not self._is_fenced and self._delivery.idle
        if self._settling:
            return False
        # Why a start failed is worth the first attempt to connect.
        return len(self._outbox) == 0 and (self.tried or not self._delivery.has_reports)

    def begin_stop(self, stop_by: float) -> None:
        self._stop_by = stop_by
        if self._move_to is not None:
            self._move()
        self._answers.pass_all_on()
        self._delivery.retain("status", self._topics.status, OFFLINE)
        if not self._connection.up:
            self._connection.hurry()

    def take_notice(self, notice: Notice) -> None:
        if isinstance(notice, Arrived):
            self._admission.leave(notice)
        if notice.attempt != self._connection.number:
            return
        match notice:
            case Acknowledged():
                self.unanswered = False
                self._delivery.acknowledged(
                    notice.message, notice.refusal, forbidden=notice.forbidden
                )
            case Subscribed():
                self._subscriber.subscribed(notice)
            case Arrived():
                self._subscriber.arrived(notice)
            case _:
                self._take_change(self._connection.take(notice))
                self.tried = True
                self._settling = False

    @property
    def _subscriber(self) -> Claim | Fence | Listening:
        """Whose subscriptions there are on this connection."""
        if self._claim is not None:
            return self._claim
        return self._listening if self._share is None else self._share.fence

    def _take_change(self, change: Change | None) -> None:
        if self._claim is not None:
            if change == "up":
                self._claim.begin(self._connection)
            elif change == "down":
                self._claim.lost()
        elif change == "up" and self._share is not None:
            self._share.up(self._connection)
        elif change == "up":
            self._begin()
        elif change == "down":
            self.connected.clear()
            self._delivery.lost()
            self._listening.lost()
            if self._share is not None:
                self._share.down()
        if change == "down" and self._move_to is not None:
            self._move()

    def _begin(self) -> None:
        """Send what waits, and listen."""
        self.alerts.say_how_many_were_dropped()
        for sentence in self._connection.shortcomings:
            if sentence not in self._shortcomings_said:
                self._shortcomings_said.add(sentence)
                self.complain(sentence)
        self._delivery.connected(self._connection)
        self.connected.set()
        if self._share is None:
            self._listening.connected(self._connection)

    # --- other settings --------------------------------------------------------------------------

    def take_settings(
        self, mqtt: MqttSettings, snapshots: SnapshotSettings, folder: Path | None
    ) -> None:
        self.alerts.keep_snapshots(snapshots, folder)
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

    def _new_claim(self) -> Claim | None:
        """None where the prefix can't be another's: the embedded broker is our own."""
        if self._instance is None or self._mqtt.embedded:
            return None
        return Claim(self._topics, self._instance, self._seconds)

    def _new_connection(self) -> Connection:
        will_topic = self._topics.status if self._claim is None else None
        return Connection(
            self._mqtt,
            will_topic,
            post=self._post,
            seconds=self._seconds,
            pace=None if self._topics.worker is None else WORKERS_PACE,
            worker=self._topics.worker,
        )

    def _post(self, notice: Notice) -> None:
        """From paho's thread."""
        if isinstance(notice, Arrived) and not self._admission.enter(notice):
            return
        self._tasks.put(partial(self.take_notice, notice))

    def _leave_for(self, mqtt: MqttSettings) -> None:
        """Disconnect properly, then `_move`."""
        self._move_to = mqtt
        self._leave_by = self._seconds() + LEAVE_SECONDS
        self._answers.pass_all_on()
        old, new = self._mqtt.topic_prefix, mqtt.topic_prefix
        self._delivery.leave(
            Message(self._topics.status, OFFLINE), clear_below=None if old == new else old
        )

    def _move(self) -> None:
        """Close the connection and open one with the new settings."""
        if self._move_to is None:
            return
        before, self._mqtt, self._move_to = self._mqtt, self._move_to, None
        said_goodbye = self._connection.up and self._delivery.idle
        self._connection.close(will=not said_goodbye)
        self.connected.clear()
        self._delivery.left()
        self._delivery.move(
            before.topic_prefix,
            self._mqtt.topic_prefix,
            same_broker=before.address == self._mqtt.address,
            cleared=said_goodbye,
        )
        self._topics = Topics(self._mqtt.topic_prefix, self._topics.worker)
        if self._share is not None:
            self._share.moved(self._topics)
        if _place(before) != _place(self._mqtt):
            self._claim = self._new_claim()
        self._connection = self._new_connection()
        self._listening.moved(self._mqtt)

    # --- what there is, and what there was ------------------------------------------------------

    def take_declared(self, declared: Declared) -> None:
        for pair in declared.pairs:
            if (
                declared.workers is None
                and self._is_own(pair[0])
                and not self._delivery.retains(self._topics.state(*pair))
            ):
                self.alerts.publish_state(pair, self._topics)
        if self._share is None:
            self._listening.declare(declared)
        else:
            self._share.declare(declared.pairs)

    def take_gone(self, cameras: Collection[str], pairs: Iterable[Pair]) -> None:
        pairs = [pair for pair in pairs if self._is_own(pair[0])]
        for camera in filter(self._is_own, cameras):
            self._delivery.clear(self._topics.camera_status(camera))
            if self._delivery.retains(owner := self._topics.owner(camera)):
                self._delivery.clear(owner)
                self._delivery.clear(self._topics.visits(camera))
        self.alerts.forget(pairs, self._topics)
        if self._share is not None:
            self._share.forget(cameras)

    # --- of several on the prefix ------------------------------------------------------------

    def take_owners(self, owners: Mapping[str, str]) -> None:
        for camera, worker in owners.items():
            self._delivery.retain("owner", self._topics.owner(camera), worker.encode())
            self._delivery.drop(self._topics.camera_status(camera))

    def take_flush(self, flushed: threading.Event) -> None:
        self._flushes.append(flushed)

    def take_adopted(
        self, cameras: Collection[str], visits: Iterable[Event], *, resend: bool
    ) -> None:
        assert self._share is not None
        self._share.adopt(cameras, visits, resend=resend)

    def take_left(self, cameras: Collection[str]) -> None:
        assert self._share is not None
        self._share.leave(cameras)

    @property
    def left_over(self) -> tuple[Event, ...]:
        """See `Publisher.left_over`."""
        return () if self._share is None else self._share.left_over

    def take_left_over(self, visits: Iterable[str], *, send: bool) -> None:
        assert self._share is not None
        if send:
            self._share.send_left_over(visits)
        else:
            self._share.drop_left_over(visits)

    def take_ends(self, ends: Iterable[Event]) -> None:
        for event in ends if self._share is None else self._share.after_what_was_told(ends):
            self._delivery.alert(event, self._seconds())

    def take_remembered(self, visits: Iterable[Event]) -> None:
        visits = tuple(visits)
        self._outbox.remember(visits)
        if self._share is not None:
            self._share.remember(visits)

    @property
    def _is_fenced(self) -> bool:
        """Whether nothing may be sent yet on this connection."""
        return self._share is not None and self._share.is_fenced

    def _is_own(self, camera: str) -> bool:
        return self._share is None or self._share.owns(camera)

    # --- what is published -----------------------------------------------------------------------

    def take_event(self, event: Event, came_at: float, *, left_out: bool) -> None:
        """`came_at` is when it came, in monotonic seconds; `left_out` means that its picture was
        dropped, since too many waited to be drawn."""
        if not self._is_own(event.camera):
            return
        if left_out:
            self.alerts.note_left_out()
        if self._share is None:
            self.alerts.take(event, came_at, self._topics)
        else:
            self._share.take(event, came_at)

    def take_clip(self, clip: Clip, came_at: float) -> None:
        """Also of a camera that is another's by now: its file is here."""
        self._delivery.alert(clip, came_at)

    def take_near_miss(self, pair: Pair, fields: Mapping[str, Any]) -> None:
        if not self._is_own(pair[0]):
            return
        topic = self._topics.near(*pair)
        payload = self._encode(topic, fields)
        if payload is not None:
            self._delivery.pass_on(Message(topic, payload))

    def take_camera_status(self, camera: str, state: CameraState) -> None:
        if self._is_own(camera):
            self._delivery.retain("camera", self._topics.camera_status(camera), state.encode())

    def _publish_device(self, topic: str, device: Device) -> None:
        payload = self._encode(topic, device)
        if payload is not None:
            self._delivery.retain("discovery", topic, payload)

    def take_info(self, info: Info) -> None:
        payload = self._encode(self._topics.info, info.fields())
        if payload is not None:
            self._delivery.retain("info", self._topics.info, payload)

    def take_stats(self, stats: Stats) -> None:
        fields = stats.fields(self._last_stats)
        self._last_stats = stats
        self.take_stats_fields(fields)

    def take_stats_fields(self, fields: Mapping[str, Any]) -> None:
        payload = self._encode(self._topics.stats, fields)
        if payload is not None:
            self._delivery.pass_on(Message(self._topics.stats, payload), newest_only=True)

    def take_error(self, report: ErrorReport) -> None:
        report = replace(report, worker=self._topics.worker)
        payload = self._encode(self._topics.errors, report.fields())
        if payload is not None:
            self._delivery.report(Message(self._topics.errors, payload))

    def take_answer(self, reply: Reply, verb: str, payload: bytes) -> None:
        self._answers.give(answers(self._topics, reply, verb, payload))

    def _encode(self, topic: str, fields: Mapping[str, Any]) -> bytes | None:
        try:
            return encode(fields)
        except ValueError as error:
            logger.error("a message to %s can't be sent: %s", topic, error)
            return None

    def _compose(self, waiting: Waiting) -> Message:
        return self.alerts.compose(waiting, self._topics)

    def complain(self, sentence: str) -> None:
        logger.error("%s", sentence)
        self.take_error(ErrorReport("publisher", sentence, at=self._now()))


def _place(mqtt: MqttSettings) -> tuple[str, str]:
    """Where the topics are."""
    return mqtt.address, mqtt.topic_prefix


def _of_connection(mqtt: MqttSettings) -> MqttSettings:
    """The settings without those that may change without a new connection."""
    defaults = MqttSettings()
    kept = ("commands", "homeassistant", "outbox")
    return mqtt.model_copy(update={key: getattr(defaults, key) for key in kept})
