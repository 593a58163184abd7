"""What the broker holds of a fleet: the open visits and the status of each camera, and which
workers it hears, with their statistics."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from streamwatch.config import MqttSettings
from streamwatch.fleet.telling import is_stats
from streamwatch.publisher import Message, Reader, Topics
from streamwatch.publisher.contract.payloads import OFFLINE, STATS_SECONDS
from streamwatch.publisher.visits import visits_of
from streamwatch.records import Event

MOST_WAITING = 100_000
"""Messages that were not read yet: all that is retained comes at once."""
MOST_IDS = 200_000
"""So many of the newest visits are known by their id."""
READ_SECONDS = 1.0
STALE_SECONDS = 3 * STATS_SECONDS
"""Statistics that are older are those of a worker that is gone."""


class Ledger:
    """Reads the broker in a thread of its own, `ledger`; its methods are for any thread."""

    def __init__(self, mqtt: MqttSettings) -> None:
        topics = Topics(mqtt.topic_prefix)
        self._above_visits = topics.visits("")
        self._above_workers = topics.of("").status.removesuffix("/status")
        self._above_cameras = topics.camera_status("").removesuffix("/status")
        self._reader = Reader(
            mqtt,
            live=(topics.of("+").stats,),
            retained=(topics.visits("+"), topics.of("+").status, topics.camera_status("+")),
            most_waiting=MOST_WAITING,
        )
        self._lock = threading.Lock()
        self._visits: dict[str, list[Event]] = {}
        self._ids: dict[str, str] = {}
        """The camera of each visit."""
        self._ended: dict[str, None] = {}
        self._offline: set[str] = set()
        self._statuses: dict[str, str] = {}
        self._stats: dict[str, tuple[float, dict[str, Any]]] = {}
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

    def goes_on(self, visit: Event) -> bool:
        """Whether the broker has this visit as open, or has had its `end`."""
        with self._lock:
            there = self._visits.get(visit.camera, ())
            return visit.id in self._ended or any(event.id == visit.id for event in there)

    def camera_of(self, visit: str) -> str | None:
        """The camera of a visit, if that was ever seen at the broker."""
        with self._lock:
            return self._ids.get(visit)

    def is_offline(self, worker: str) -> bool:
        """Whether the broker says so of a worker."""
        with self._lock:
            return worker in self._offline

    @property
    def statuses(self) -> dict[str, str]:
        """`online`, `offline` or `disabled`, by camera."""
        with self._lock:
            return dict(self._statuses)

    @property
    def open_visits(self) -> dict[tuple[str, str], int]:
        """How many visits are open, by camera and watch."""
        with self._lock:
            visits = [visit for found in self._visits.values() for visit in found]
        return Counter((visit.camera, visit.watch) for visit in visits if visit.type != "end")

    def stats(self, workers: Collection[str]) -> list[dict[str, Any]]:
        """The newest statistics of these workers, unless they are too old."""
        oldest = time.monotonic() - STALE_SECONDS
        with self._lock:
            found = [self._stats[worker] for worker in workers if worker in self._stats]
        return [fields for came_at, fields in found if came_at >= oldest]

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
                self._ids |= {event.id: event.camera for event in events}
                self._ended |= {event.id: None for event in events if event.type == "end"}
                for known in (self._ids, self._ended):
                    while len(known) > MOST_IDS:
                        del known[next(iter(known))]
            return
        name, _, kind = message.topic.removeprefix(self._above_workers).partition("/")
        if message.topic.startswith(self._above_cameras):
            name, _, kind = message.topic.removeprefix(self._above_cameras).partition("/")
            with self._lock:
                self._statuses[name] = (message.payload or b"").decode(errors="replace")
        elif kind == "stats":
            self._take_stats(name, message.payload)
        else:
            self._take_status(name, message.payload)

    def _take_stats(self, worker: str, payload: bytes | None) -> None:
        try:
            fields = json.loads(payload or b"")
        except (ValueError, RecursionError):
            return
        if is_stats(fields):
            with self._lock:
                self._stats[worker] = time.monotonic(), fields

    def _take_status(self, worker: str, payload: bytes | None) -> None:
        with self._lock:
            if payload == OFFLINE:
                self._offline.add(worker)
            else:
                self._offline.discard(worker)
