"""Notices: what the configuration's `notify` says is told, beside MQTT."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from streamwatch.config import NotifySettings, OutboxSettings
from streamwatch.publisher.notices.durable import DurableQueue
from streamwatch.publisher.notices.sending import Send, send
from streamwatch.publisher.notices.service import FIRST_WAIT_SECONDS, Service, key_of
from streamwatch.publisher.notices.wording import Names, text_of, wants
from streamwatch.records import Event

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How one service does: notices that wait, and since the start were sent and given up."""

    label: str
    waiting: int
    sent: int
    given_up: int
    problem: str | None


class Notices:
    """Tells alerts to services, each in a thread of its own; for any thread.

    `file` is where notices wait until they are sent; without it they die with the process. `tell`
    is called with the key of a service that fails, and a sentence on it, and with None when it
    works again; `complain` with a sentence on what is lost.
    """

    def __init__(
        self,
        file: Path | None,
        settings: Sequence[NotifySettings],
        names: Names,
        limits: OutboxSettings,
        *,
        tell: Callable[[str, str | None], None],
        complain: Callable[[str], None],
        send: Send = send,
        wait_seconds: float = FIRST_WAIT_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._file = file
        self._tell = tell
        self._complain = complain
        self._send = send
        self._wait_seconds = wait_seconds
        self._now = now
        self._queue: DurableQueue | None = None
        self._services: dict[str, Service] = {}
        self._settings: tuple[NotifySettings, ...] = ()
        self._names = names
        self._lock = threading.RLock()
        self._stopped = False
        self._left: dict[str, int] = {}
        """What waited at the stop."""
        self.change(settings, names, limits)

    def change(
        self, settings: Sequence[NotifySettings], names: Names, limits: OutboxSettings
    ) -> None:
        """Apply other settings; what waits for a URL that is gone is dropped."""
        with self._lock:
            if self._queue is None:
                if not settings and (self._file is None or not self._file.exists()):
                    return
                self._queue = DurableQueue(
                    self._file,
                    max_bytes=limits.max_size,
                    max_age=limits.max_age,
                    complain=self._complain,
                    now=self._now,
                )
            self._queue.limit(limits.max_size, limits.max_age)
            self._settings, self._names = tuple(settings), names
            wanted = {key_of(each.url) for each in settings}
            for key in [*self._services]:
                if key not in wanted:
                    gone = self._services.pop(key)
                    gone.request_stop(at_once=True)
                    if gone.problem is not None:
                        self._tell(key, None)
            if dropped := self._queue.keep_only(wanted):
                log.warning(
                    "notices dropped for services that the configuration no longer has: %d", dropped
                )
            kept, self._services = self._services, {}
            for place, each in enumerate(settings):
                key, label = key_of(each.url), f"notify[{place}] ({each.scheme})"
                if key in self._services:  # the first of equal URLs names it
                    continue
                if key in kept:
                    self._services[key] = kept[key]
                    kept[key].label = label
                else:
                    self._begin(each, label, self._queue)

    @property
    def states(self) -> list[ServiceState]:
        with self._lock:
            waiting = self._left
            if self._queue is not None and not self._stopped:
                waiting = self._queue.waiting()
            return [
                ServiceState(
                    each.label,
                    waiting.get(each.key, 0),
                    each.sent,
                    each.given_up,
                    each.problem,
                )
                for each in self._services.values()
            ]

    def take(self, event: Event, picture: bytes | None) -> None:
        """Tell an alert to whom it concerns; on the disk when this returns. `picture` is a JPEG."""
        with self._lock:
            if self._queue is None or self._stopped:
                return
            dropped = 0
            for settings in self._settings:
                if wants(settings, event):
                    service = self._services[key_of(settings.url)]
                    text = text_of(settings, event, self._names)
                    dropped += self._queue.put(service.key, text, picture)
                    service.wake()
        if dropped:
            self._complain(f"notices dropped since there is no room for more: {dropped:,}")

    def stop(self, timeout: float) -> int:
        """Send what waits as far as that goes in this time; returns how many wait on."""
        with self._lock:
            if self._stopped or self._queue is None:
                return 0
            self._stopped = True
            services = [*self._services.values()]
        for service in services:
            service.request_stop()
        deadline = time.monotonic() + timeout
        ended = [service.join(max(0.0, deadline - time.monotonic())) for service in services]
        for service in services:
            service.request_stop(at_once=True)
        self._left = self._queue.waiting()
        left = sum(self._left.values())
        if left:
            fate = "wait on the disk for the next start" if self._queue.lasting else "are lost"
            log.warning("%d notices could not be sent and %s", left, fate)
        if all(ended):  # else one is just being sent, and removes its row yet
            self._queue.close()
        return left

    def _begin(self, settings: NotifySettings, label: str, queue: DurableQueue) -> None:
        service = Service(
            settings.url,
            label,
            queue,
            tell=partial(self._tell, key_of(settings.url)),
            complain=self._complain,
            send=self._send,
            wait_seconds=self._wait_seconds,
        )
        self._services[service.key] = service
        service.start()
