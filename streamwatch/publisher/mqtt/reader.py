"""Reads what a daemon publishes, as any other program at the broker would, for as long as it likes.

It writes nothing, and has a client id of its own, so it takes the session of no daemon and of no
other reader.
"""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from streamwatch.config import MqttSettings
from streamwatch.publisher.mqtt.attempt import (
    Accepted,
    Arrived,
    Closed,
    NotEncrypted,
    Notice,
    Refused,
    Subscribed,
)
from streamwatch.publisher.mqtt.connection import (
    UNSUPPORTED_VERSION,
    WE_ARE_REFUSED,
    Connection,
)

MAX_MESSAGE_BYTES = 8_000_000
"""A picture of a large camera has up to half of them."""
MOST_WAITING = 1000
"""Messages that were not read yet; those beyond are dropped, and counted."""


@dataclass(frozen=True, slots=True)
class Up:
    """Connected, and subscribed: for the first time, or again."""


@dataclass(frozen=True, slots=True)
class Down:
    """The connection was lost, and is made anew."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt to connect has failed, and others follow. `sentence` says why.

    `lasting` where that helps only once a person has changed something.
    """

    sentence: str
    lasting: bool


@dataclass(frozen=True, slots=True)
class Message:
    """`payload` is None where it was too large; `retained` if it was sent before we subscribed."""

    topic: str
    payload: bytes | None
    retained: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """So many messages came faster than they were read."""

    messages: int


News = Up | Down | Failed | Message | Dropped


class Reader:
    """One thread calls `next` again and again, which also connects and reconnects.

    `live` are filters of which only new messages are wanted, `retained` those of which the retained
    are too. With MQTT 5 the broker keeps messages of QoS 1 for a minute while the connection is
    lost.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        live: Sequence[str],
        retained: Sequence[str],
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._most_waiting = most_waiting
        self._broker = f"broker {settings.address}"
        self._live = live
        self._retained = retained
        self._subscription: int | None = None
        self._dropped = 0
        """Since the start; counted in paho's thread alone."""
        self._dropped_told = 0
        self._is_stopped = False
        self._is_lasting = False
        self._is_other_version_next = False
        self._notices: queue.SimpleQueue[Notice | None] = queue.SimpleQueue()
        self._connection = Connection(
            settings,
            None,
            post=self._post,
            seconds=time.monotonic,
            guest=f"-reading-{secrets.token_hex(4)}",
            max_incoming_bytes=MAX_MESSAGE_BYTES,
        )

    def next(self, patience_seconds: float | None = None) -> News | None:
        """What happens next; None where nothing does for so long, or once it was stopped."""
        deadline = None if patience_seconds is None else time.monotonic() + patience_seconds
        while not self._is_stopped:
            if self._notices.empty() and (lost := self._dropped - self._dropped_told):
                self._dropped_told += lost
                return Dropped(lost)
            if self._connection.seconds_to_attempt == 0.0 and not self._could_attempt():
                return Failed(self._connection.problem or "", lasting=True)
            waits = [
                None if deadline is None else max(deadline - time.monotonic(), 0.0),
                self._connection.seconds_to_attempt,
            ]
            try:
                notice = self._notices.get(
                    timeout=min((wait for wait in waits if wait is not None), default=None)
                )
            except queue.Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    return None
                continue
            if notice is not None and (news := self._news(notice)) is not None:
                return news
        return None

    def stop(self) -> None:
        """Have `next` return None from now on. From any thread, and from a signal's handler."""
        self._is_stopped = True
        self._notices.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close(will=False)

    def _post(self, notice: Notice) -> None:
        """From paho's thread."""
        if isinstance(notice, Arrived) and self._notices.qsize() >= self._most_waiting:
            self._dropped += 1
        else:
            self._notices.put(notice)

    def _could_attempt(self) -> bool:
        """False where the settings forbid it: a certificate is gone, or the host's name is none."""
        self._is_lasting = self._is_other_version_next = False
        self._connection.attempt()
        return self._connection.seconds_to_attempt is None

    def _news(self, notice: Notice) -> News | None:
        if notice.attempt != self._connection.number:
            return None
        match notice:
            case Arrived(topic=topic, payload=payload, retained=retained):
                return Message(topic, payload, retained)
            case Subscribed(subscription=number, refusal=refusal):
                return self._subscribed(refusal) if number == self._subscription else None
            case Accepted():
                self._connection.take(notice)
                return self._subscribe()
            case Refused(code=code):
                self._is_lasting = code in WE_ARE_REFUSED
                self._is_other_version_next = code == UNSUPPORTED_VERSION
                self._connection.take(notice)
                return None
            case NotEncrypted():
                self._is_lasting = True
                self._connection.take(notice)
                return None
            case Closed(reason=reason):
                if self._connection.take(notice) == "down":
                    return Down(reason)
                if self._is_other_version_next:
                    return None
                return Failed(self._connection.problem or "", self._is_lasting)
        return None

    def _subscribe(self) -> Failed | None:
        subscriptions = [
            self._connection.subscribe(filters, retained=retained, qos=1)
            for filters, retained in ((self._live, False), (self._retained, True))
            if filters
        ]
        self._subscription = subscriptions[0]
        if None in subscriptions:
            return Failed(f"{self._broker} knows no wildcards: alerts can't be read", lasting=True)
        return None

    def _subscribed(self, refusal: str | None) -> Up | Failed:
        if refusal is None:
            return Up()
        return Failed(
            f"{self._broker} does not let us subscribe to {' and '.join(self._live)}"
            f" ({refusal.lower()}): its access list has to let us read there",
            lasting=True,
        )
