"""Second looks, one after another in threads of their own, so that nobody else waits for one."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from streamwatch.errors import first_line
from streamwatch.learning.learnt import Taught
from streamwatch.pictures.drawing import jpeg
from streamwatch.records import Finding, LookedBy, LookRequest
from streamwatch.second_look.contrast import Contrast
from streamwatch.second_look.crops import crop_around
from streamwatch.second_look.language_model import LanguageModel
from streamwatch.second_look.process import TowerProcess

log = logging.getLogger(__name__)

MOST_WAITING = 16
"""Looks that may wait for one tower or language model; each holds its frame in memory."""
CHECK_SECONDS = 0.5
"""How soon a lane ends after it was closed."""
JPEG_QUALITY = 90
MOST_PIXELS = 1280
"""Longer side of a frame for a language model, which scales larger ones down itself."""

Tell = Callable[[str | None], None]
"""Is called with a sentence when looking begins to fail, and with None when that is over."""


class Look(Protocol):
    """How the things of one watch are looked at. Raises StreamwatchError where it can't look."""

    def __call__(self, request: LookRequest, /) -> Finding: ...


@dataclass(frozen=True, slots=True, eq=False)
class ByWords:
    """Compares a crop with words, and with what people have said to be wrong.

    A crop is like a wrong one from the cosine `same` on.
    """

    tower: TowerProcess
    contrast: Contrast
    at_least: float
    taught: Callable[[], Taught] = Taught
    same: float = 1.0

    def __call__(self, request: LookRequest) -> Finding:
        vector, scale = self.tower.encode(crop_around(request.picture.bgr(), request.box))
        share, beaten_by = self.contrast.share(vector, scale)
        taught_by = self.taught().wrong_like(vector, self.contrast.own, self.same)
        return Finding(
            "clip",
            share >= self.at_least and taught_by is None,
            score=share,
            beaten_by=beaten_by,
            taught_by=taught_by,
            vector=vector,
        )


@dataclass(frozen=True, slots=True, eq=False)
class ByQuestion:
    """Asks a language model about a crop, and shows it the whole frame too."""

    model: LanguageModel
    question: str
    expect: str

    def __call__(self, request: LookRequest) -> Finding:
        crop = crop_around(request.picture.bgr(), request.box)
        frame = request.picture.bgr(_sent_size(request.picture.size))
        answer = self.model.ask(self.question, jpeg(crop, JPEG_QUALITY), jpeg(frame, JPEG_QUALITY))
        return Finding("vlm", answer == self.expect, answer=answer)


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    look: Look
    request: LookRequest
    found: Future[Finding]


class Lane:
    """The thread in which one image tower, or one language model, looks.

    `start` is called first in that thread, to load what looking takes; `ready` is done when it has
    returned, or raised. `end` is called last. Errors of a look are told once, until one succeeds.
    `name` says who looks.
    """

    def __init__(
        self,
        by: LookedBy,
        name: str,
        tell: Tell,
        *,
        start: Callable[[], None] = lambda: None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._by = by
        self._name = name
        self._tell = tell
        self._end = end
        self._waiting: queue.Queue[_Order] = queue.Queue(MOST_WAITING)
        self._failing = False
        self._closing = threading.Event()
        self.ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(start,), name=f"looks by {name}", daemon=True
        )
        self._thread.start()

    def look(self, look: Look, request: LookRequest) -> Future[Finding]:
        """From any thread; never blocks. The future always gives a finding."""
        order = _Order(look, request, Future())
        try:
            self._waiting.put_nowait(order)
        except queue.Full:
            self._fail(order, f"more than {MOST_WAITING} second looks wait")
        if self._closing.is_set():
            self._fail_what_waits()
        return order.found

    def close(self) -> None:
        """End the thread after its present look, and answer that the others were not made."""
        self._closing.set()

    def join(self, timeout_seconds: float) -> None:
        self._thread.join(timeout_seconds)

    def _run(self, start: Callable[[], None]) -> None:
        try:
            start()
        except Exception as error:
            self.ready.set_exception(error)
        else:
            self.ready.set_result(None)
        while not self._closing.is_set():
            with suppress(queue.Empty):
                self._answer(self._waiting.get(timeout=CHECK_SECONDS))
        self._fail_what_waits()
        if self._failing:
            self._tell(None)
        self._end()

    def _answer(self, order: _Order) -> None:
        since = time.monotonic()
        try:
            finding = order.look(order.request)
        except Exception as error:
            log.debug("a second look failed", exc_info=True)
            sentence = first_line(error)
            if not self._failing and not self._closing.is_set():  # else it was broken off
                self._failing = True
                self._tell(sentence)
            self._fail(order, sentence)
            return
        if self._failing:
            self._failing = False
            log.info("second looks by %s can be made again", self._name)
            self._tell(None)
        order.found.set_result(replace(finding, milliseconds=1000 * (time.monotonic() - since)))

    def _fail_what_waits(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._fail(self._waiting.get_nowait(), "the second look is stopping")

    def _fail(self, order: _Order, sentence: str) -> None:
        order.found.set_result(Finding(self._by, confirms=False, failure=sentence))


def gathered(found: Sequence[Future[Finding]]) -> Future[tuple[Finding, ...]]:
    """All the findings in their order, once the last is there."""
    together: Future[tuple[Finding, ...]] = Future()
    left = itertools.count(len(found) - 1, -1)

    def note(_: Future[Finding]) -> None:
        if next(left) == 0:
            together.set_result(tuple(each.result() for each in found))

    for each in found:
        each.add_done_callback(note)
    if not found:
        together.set_result(())
    return together


def _sent_size(size: tuple[int, int]) -> tuple[int, int]:
    """As large as a frame is sent, of one of this (width, height)."""
    share = min(1.0, MOST_PIXELS / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))
