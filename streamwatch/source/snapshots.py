"""Cameras that give one picture a request: asked at the rate at which frames are analysed."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from streamwatch.errors import CredentialsRefused, SourceError
from streamwatch.source.clock import Clock
from streamwatch.source.decoding import Input, still
from streamwatch.source.protocol import Decoded
from streamwatch.source.timing import SILENCE_SECONDS, STEP_SECONDS
from streamwatch.source.web_client import NotUnderstood, Stopped, WebClient

MOST_BYTES = 32_000_000
"""A picture's file; a JPEG of 50 million pixels has half of it."""

RETRY_SECONDS = 0.5
"""The least time between requests after one that failed."""

STALE_SECONDS = 2.0
"""A picture that is older, by what the answer says, was taken before the request for it. Below it
the header's whole seconds say too little."""

VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
"""What an answer says of its picture, and how to ask for another only (RFC 9110, section 13)."""


class Snapshots:
    """Polls the pictures at `target.address`, `fps` times a second at most. For one thread.

    A picture that is the same as before, by its bytes or by what the camera says, is no new frame:
    that of a bridge which keeps it for some seconds must not count as several sightings.
    """

    def __init__(self, target: Input, *, fps: float, clock: Clock) -> None:
        self._target = target
        self._period = 1 / fps
        self._clock = clock
        self.unchanged_at: float | None = None
        """As `Source.unchanged_at`."""
        self._last_seconds = float("-inf")
        self._last_captured_at: datetime | None = None

    def frames(self, stop: threading.Event) -> Generator[Decoded, None, None]:
        """Pictures until `stop`. Raises SourceError if none can be had for some seconds."""
        if self._target.tap is not None:
            self._target.tap.refuse("it gives pictures one by one, and no video")
        client = WebClient(self._target.address, self._target.shown, stop, self._clock)
        with suppress(Stopped), client:
            yield from self._polled(client, stop)

    def _polled(self, client: WebClient, stop: threading.Event) -> Generator[Decoded, None, None]:
        due = answered = self._clock.monotonic()
        before = b""
        conditions: dict[str, str] = {}
        while not self._clock.wait(stop, max(0.0, due - self._clock.monotonic())):
            asked = self._clock.monotonic()
            scheduled = max(due, asked - self._period)
            due = scheduled + self._period
            try:
                headers, content = self._answer(client, conditions)
            except CredentialsRefused:
                raise
            except SourceError:
                if self._clock.monotonic() - answered > SILENCE_SECONDS:
                    raise
                due = max(due, asked + RETRY_SECONDS)
                continue
            answered = self._clock.monotonic()
            if content is None or content == before:
                self.unchanged_at = answered
                continue
            before = content
            conditions = {ask: headers[said] for said, ask in VALIDATORS.items() if said in headers}
            yield self._decoded(headers, content, scheduled)

    def _answer(
        self, client: WebClient, conditions: Mapping[str, str]
    ) -> tuple[httpx.Headers, bytes | None]:
        """The answer's headers and picture; None for one that has not changed."""
        try:
            with client.answering(), closing(client.get(conditions)) as answer:
                unchanged = answer.status == httpx.codes.NOT_MODIFIED
                if not unchanged:
                    answer.demand_ok()
                content = answer.read_whole(MOST_BYTES)
        except NotUnderstood:
            raise SourceError(f"{self._target.shown}: its answer is no HTTP") from None
        return answer.headers, None if unchanged else content

    def _decoded(self, headers: httpx.Headers, content: bytes, scheduled: float) -> Decoded:
        now = self._clock.wall()
        picture = still(content, self._target)
        captured_at = now - timedelta(seconds=picture_age_seconds(headers))
        if self._last_captured_at is not None:
            step = timedelta(seconds=STEP_SECONDS)
            captured_at = max(captured_at, self._last_captured_at + step)
        self._last_captured_at = captured_at
        # The schedule and not the answer: times that waver would make some frames not due.
        self._last_seconds = max(scheduled, self._last_seconds + STEP_SECONDS)
        return Decoded(
            captured_at=captured_at,
            seconds=self._last_seconds,
            position=None,
            size=picture.size,
            codec=picture.codec,
            unmasked=picture,
        )


def picture_age_seconds(headers: httpx.Headers) -> float:
    """How old the picture was when it was sent, by the camera's own clock; 0 if it isn't said."""
    try:
        sent = parsedate_to_datetime(headers["Date"])
        taken = parsedate_to_datetime(headers["Last-Modified"])
        age = (sent - taken).total_seconds()
    except (KeyError, ValueError, TypeError):  # TypeError: one of them names no time zone
        return 0.0
    return age if age > STALE_SECONDS else 0.0
