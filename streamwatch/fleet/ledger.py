"""What the broker holds of a fleet: the open visits of each camera, and which workers it hears."""

from __future__ import annotations

import threading
from collections.abc import Collection
from datetime import UTC, datetime

from streamwatch.config import MqttSettings
from streamwatch.publisher import Message, Reader, Topics
from streamwatch.publisher.contract.payloads import OFFLINE
from streamwatch.publisher.visits import visits_of
from streamwatch.records import Event

MOST_WAITING = 100_000
"""Messages that were not read yet: all that is retained comes at once."""
MOST_IDS = 200_000
"""So many of the newest visits are known by their id."""
READ_SECONDS = 1.0


class Ledger:
    """Reads the broker in a thread of its own, `ledger`; its methods are for any thread."""

    def __init__(self, mqtt: MqttSettings) -> None:
        topics = Topics(mqtt.topic_prefix)
        self._above_visits = topics.visits("")
        status = topics.of("+").status
        self._around_worker = tuple(status.split("+"))
        self._reader = Reader(
            mqtt,
            live=(),
            retained=(topics.visits("+"), status),
            most_waiting=MOST_WAITING,
        )
        self._lock = threading.Lock()
        self._visits: dict[str, list[Event]] = {}
        self._ids: dict[str, None] = {}
        self._offline: set[str] = set()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._reader.stop()
        self._thread.join()

    def visits(self, cameras: Collection[str]) -> list[Event]:
        """The newest event of each open visit of these cameras."""
        with self._lock:
            return [event for camera in cameras for event in self._visits.get(camera, ())]

    def knows(self, visit: str) -> bool:
        """Whether a visit of this id was ever seen at the broker."""
        with self._lock:
            return visit in self._ids

    def is_offline(self, worker: str) -> bool:
        """Whether the broker says so of a worker."""
        with self._lock:
            return worker in self._offline

    def _run(self) -> None:
        with self._reader:
            while not self._stopping:
                news = self._reader.next(READ_SECONDS)
                if isinstance(news, Message):
                    self._take(news)

    def _take(self, message: Message) -> None:
        if message.topic.startswith(self._above_visits):
            camera = message.topic.removeprefix(self._above_visits)
            events = [visit.last for visit in visits_of(message.payload, datetime.now(UTC))]
            with self._lock:
                self._visits[camera] = events
                self._ids |= {event.id: None for event in events}
                while len(self._ids) > MOST_IDS:
                    del self._ids[next(iter(self._ids))]
            return
        before, after = self._around_worker
        worker = message.topic.removeprefix(before).removesuffix(after)
        with self._lock:
            if message.payload == OFFLINE:
                self._offline.add(worker)
            else:
                self._offline.discard(worker)
