"""The thread that owns the detector and runs the watches."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from streamwatch.detector.protocol import Detector, View, Vocabulary
from streamwatch.geometry import Box
from streamwatch.records import Event, Frame
from streamwatch.scheduler.scheduler import Scheduler
from streamwatch.watch.protocol import Watcher

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
"""How often the thread looks up when no frame comes."""
SAMPLES = 1000
"""Durations kept for the percentiles in the statistics."""


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """What the analysis of one camera needs.

    `gone_seconds` tells for how long the camera has given no frame, 0 while it does; `finished`
    that its file has ended and its last frame was taken. `live` is false where frames come faster
    than time.
    """

    watcher: Watcher
    vocabulary: Vocabulary
    floor: float
    crop: Box | None
    live: bool
    gone_seconds: Callable[[], float]
    finished: Callable[[], bool]


@dataclass(slots=True)
class Counts:
    """Counted since the start; written by the analysis alone, read by anyone."""

    batches: int = 0
    frames: Counter[str] = field(default_factory=Counter)
    batch_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    latency_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))


class Analysis:
    """Searches what the scheduler gives, and publishes what the watches make of it.

    Ends by itself when every camera has finished. `failure` is what ended the thread too early.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        detector: Detector,
        cameras: Mapping[str, Watched],
        publish: Callable[[Event], None],
    ) -> None:
        self._scheduler = scheduler
        self._detector = detector
        self._cameras = dict(cameras)
        self._running = set(cameras)
        self._publish = publish
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="detector", daemon=True)
        self.counts = Counts()
        self.failure: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do, or no way to go on."""
        return not self._thread.is_alive()

    def stop(self, timeout: float) -> bool:
        """Stop, ending what is open; False if the thread is still busy after `timeout` seconds."""
        self._stopping.set()
        self._thread.join(timeout)
        return self.ended

    def _run(self) -> None:
        try:
            while self._running and not self._stopping.is_set():
                batch = self._scheduler.next_batch(TICK_SECONDS)
                if batch:
                    self._search(batch)
                self._end_what_is_gone()
        except Exception as error:
            log.debug("the detector's thread failed", exc_info=True)
            self.failure = error
        finally:
            for name in self._running:
                self._publish_all(self._cameras[name].watcher.close("shutdown"))

    def _search(self, batch: Sequence[Frame]) -> None:
        started = time.monotonic()
        views = [self._view(frame) for frame in batch]
        found = self._detector.detect(views)
        self.counts.batches += 1
        self.counts.batch_seconds.append(time.monotonic() - started)
        for frame, detections in zip(batch, found, strict=True):
            camera = self._cameras[frame.camera]
            self._publish_all(camera.watcher.update(frame, detections))
            self.counts.frames[frame.camera] += 1
            if camera.live:
                age = (datetime.now(UTC) - frame.captured_at).total_seconds()
                self.counts.latency_seconds.append(age)

    def _view(self, frame: Frame) -> View:
        camera = self._cameras[frame.camera]
        return View(frame.image, camera.vocabulary, camera.floor, camera.crop)

    def _end_what_is_gone(self) -> None:
        for name in tuple(self._running):
            camera = self._cameras[name]
            if camera.finished():
                self._running.remove(name)
                self._publish_all(camera.watcher.close("lost"))
            elif gone := camera.gone_seconds():
                self._publish_all(camera.watcher.lost(gone))

    def _publish_all(self, events: Sequence[Event]) -> None:
        for event in events:
            self._publish(event)
            if event.type == "new":
                log.info("%s: %s (%.0f%%)", event.camera, event.watch, event.confidence * 100)
            elif event.type == "end":
                log.info("%s: %s is gone (%s)", event.camera, event.watch, event.reason)
