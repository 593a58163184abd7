"""One service that notices go to: a thread that sends what waits for it, in order."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections.abc import Callable

from pydantic import SecretStr

from streamwatch.errors import first_line
from streamwatch.publisher.notices.durable import DurableQueue
from streamwatch.publisher.notices.queue import Notice
from streamwatch.publisher.notices.sending import Failure, Send, without_secrets

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 300.0
REFUSALS = 5
"""How often a service must refuse one notice until that is given up."""
EXPIRE_SECONDS = 60.0
"""How often it is looked whether notices have waited too long."""


def key_of(url: SecretStr) -> str:
    """Names a URL in the file where notices wait, without telling it."""
    return hashlib.sha256(url.get_secret_value().strip().encode()).hexdigest()[:16]


class Service:
    """Sends what waits for one URL. `label` names it to people.

    `tell` is called in its thread when it begins to fail, with why, and with None when it works
    again; `complain` with what was given up.
    """

    def __init__(
        self,
        url: SecretStr,
        label: str,
        queue: DurableQueue,
        *,
        tell: Callable[[str | None], None],
        complain: Callable[[str], None],
        send: Send,
        wait_seconds: float = FIRST_WAIT_SECONDS,
    ) -> None:
        self.key = key_of(url)
        self.label = label
        self.problem: str | None = None
        """Why it does not take notices now."""
        self.sent = self.given_up = 0
        """Notices since the start."""
        self._url = url
        self._queue = queue
        self._tell = tell
        self._complain = complain
        self._send = send
        self._first_wait_seconds = wait_seconds
        self._failures = 0
        """In a row, whatever the notice."""
        self._refusals = 0
        """Of the oldest notice."""
        self._pictureless: int | None = None
        """The oldest notice, if its picture was refused."""
        self._next_expiry = time.monotonic()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"notices {label}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Something waits for it."""
        self._woken.set()

    def request_stop(self, *, at_once: bool = False) -> None:
        """Send what waits until the first failure, and end; or `at_once` after this notice."""
        self._stopping.set()
        if at_once:
            self._leaving.set()
        self._woken.set()

    def join(self, timeout: float) -> bool:
        """Whether its thread has ended in time."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._leaving.is_set():
            self._woken.clear()
            try:
                wait_seconds = self._turn()
            except Exception as error:  # without its traceback, which may hold the URL
                wait_seconds = self._failed(Failure(first_line(error)))
            if self._stopping.is_set() and wait_seconds != 0:
                return
            self._rest(wait_seconds)

    def _rest(self, seconds: float | None) -> None:
        """Wait; None is until something comes. Only a stop shortens a wait after a failure."""
        if seconds is None:
            self._woken.wait(EXPIRE_SECONDS)
        else:
            self._stopping.wait(seconds)

    def _turn(self) -> float | None:
        """Send the oldest notice; returns how long to wait now, None if nothing waits."""
        self._expire_if_due()
        notice = self._queue.first(self.key)
        if notice is None:
            return None
        if notice.number == self._pictureless:
            notice = Notice(notice.number, notice.text, None)
        failure = self._send(self._url, notice)
        if failure is None:
            self._done(notice.number)
            self.sent += 1
            self._worked()
            return 0
        if failure.for_good and notice.picture is not None:
            log.info("%s refuses a picture: %s", self.label, failure.reason)
            self._pictureless = notice.number
            return 0
        if failure.for_good:
            self._refusals += 1
            if self._refusals >= REFUSALS:
                self._done(notice.number)
                self._give_up(1, f"it is refused: {failure.reason}")
        return self._failed(failure)

    def _done(self, number: int) -> None:
        self._queue.remove(number)
        self._refusals, self._pictureless = 0, None

    def _expire_if_due(self) -> None:
        now = time.monotonic()
        if now >= self._next_expiry:
            self._next_expiry = now + EXPIRE_SECONDS
            if expired := self._queue.expire(self.key):
                self._give_up(expired, "they waited longer than mqtt.outbox.max_age")

    def _give_up(self, count: int, why: str) -> None:
        self.given_up += count
        self._complain(f"notices to {self.label} dropped: {count:,}; {why}")

    def _failed(self, failure: Failure) -> float:
        self._failures += 1
        reason = without_secrets(failure.reason, self._url)
        if self.problem is None and not self._leaving.is_set():
            sentence = f"notices to {self.label} wait: {reason}"
            log.warning("%s", sentence)
            self._tell(sentence)
        self.problem = reason
        doubled = self._first_wait_seconds * 2.0 ** min(self._failures, 20)
        return min(LONGEST_WAIT_SECONDS, doubled) * random.uniform(0.5, 1.0)

    def _worked(self) -> None:
        self._failures = 0
        if self.problem is not None:
            self.problem = None
            log.info("notices to %s are sent again", self.label)
            self._tell(None)
