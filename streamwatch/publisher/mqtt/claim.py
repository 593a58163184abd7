"""Whether a topic prefix is free: two daemons with one would clear each other's topics.

`P/info` and `P/stats` carry the instance id of the daemon that publishes there. Before anything is
declared or cleared they are read: if `P/info` is another's, a `P/stats` of it shows that it lives.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from streamwatch.publisher.contract.payloads import OFFLINE, STATS_SECONDS
from streamwatch.publisher.contract.topics import Topics
from streamwatch.publisher.mqtt.attempt import Arrived, Subscribed
from streamwatch.publisher.mqtt.connection import Connection

logger = logging.getLogger(__name__)

QUIET_SECONDS = 0.5
"""How long retained messages may take to come: brokers don't say which is the last."""
SUBSCRIBE_SECONDS = 5.0
"""How long to wait for the broker's answer to the subscription."""
SILENCE_SECONDS = 2 * STATS_SECONDS + 1
"""So long without a `P/stats` another daemon does not live: two intervals, and some delay."""
MOST_CONNECTIONS = 2
"""Some brokers close the connection where a subscription is not allowed: then nothing is known."""


class Claim:
    """Not thread-safe: the publisher's thread owns it. `instance` is our own id."""

    def __init__(self, topics: Topics, instance: str, seconds: Callable[[], float]) -> None:
        self._topics = topics
        self._instance = instance
        self._seconds = seconds
        self._connections = 0
        self._subscription: int | None = None
        self._until = float("inf")
        self._offline = False
        self._other: str | None = None
        """The id in `P/info`, if that is another's."""
        self.owner: str | None = None
        """The id of another daemon that lives."""

    def begin(self, connection: Connection) -> None:
        """On each connect, until it is decided."""
        self._connections += 1
        topics = self._topics
        filters = (topics.info, topics.status, topics.stats)
        self._subscription = connection.subscribe(filters, retained=True)
        self._until = self._seconds() + SUBSCRIBE_SECONDS
        if self._subscription is None or self._connections > MOST_CONNECTIONS:
            self._until = self._seconds()

    def lost(self) -> None:
        self._subscription = None
        self._until = float("inf")

    @property
    def seconds_left(self) -> float:
        """Seconds until the prefix is free if nothing else arrives; infinite without a
        connection."""
        return max(0.0, self._until - self._seconds())

    @property
    def is_free(self) -> bool:
        return self.owner is None and self.seconds_left == 0

    def subscribed(self, notice: Subscribed) -> None:
        if notice.subscription == self._subscription and self._other is None:
            quiet = 0.0 if notice.refusal is not None else QUIET_SECONDS
            self._until = self._seconds() + quiet

    def arrived(self, arrived: Arrived) -> None:
        if arrived.topic == self._topics.status:
            self._offline = arrived.payload == OFFLINE
        elif arrived.topic == self._topics.stats:
            self.owner = self._another(arrived) or self.owner
            return
        elif arrived.topic == self._topics.info:
            self._other = self._another(arrived)
        if self._other is not None:  # one that is offline can't send any
            self._until = self._seconds() + (QUIET_SECONDS if self._offline else SILENCE_SECONDS)

    def _another(self, arrived: Arrived) -> str | None:
        """The instance id in a message, if it is not ours."""
        found = _instance(arrived.payload)
        return None if found == self._instance else found


def _instance(payload: bytes | None) -> str | None:
    """None where it tells none, as those of former versions."""
    try:
        fields: Any = json.loads(payload or b"")
    except (ValueError, RecursionError):
        return None
    found = fields.get("instance") if isinstance(fields, dict) else None
    return found if isinstance(found, str) else None
