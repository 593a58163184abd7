"""Supervises the running parts: camera statuses, statistics, stuck threads and failures."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from streamwatch.config import too_slow
from streamwatch.daemon.changing import Changing
from streamwatch.errors import StreamwatchError
from streamwatch.learning.learning import Learning
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.publisher import STATS_SECONDS, CameraState, ErrorReport, Publisher, Stats
from streamwatch.publisher.notices.notices import Notices
from streamwatch.status import report, systemd
from streamwatch.status.liveness import Liveness, Pulse, idle
from streamwatch.status.metrics import Metrics
from streamwatch.status.shortage import Short, Shortage

log = logging.getLogger(__name__)

CHECK_SECONDS = 0.5
"""How often everything is checked."""


class Supervision:
    """Reports the state of pipeline and publisher to the broker, systemd, HTTP and `status`.

    `failed` gives the other threads that have failed: the error and the report to publish.
    `on_shortage` is called in the main thread with all cameras that are short of detector time,
    when they are others than before.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        publisher: Publisher,
        changing: Changing | None,
        instance: str,
        failed: Callable[[], Iterable[tuple[BaseException, ErrorReport]]],
        on_shortage: Callable[[Mapping[str, Short]], None],
        learning: Learning,
        notices: Notices,
    ) -> None:
        self._pipeline = pipeline
        self._publisher = publisher
        self._changing = changing
        self._instance = instance
        self._failed = failed
        self._on_shortage = on_shortage
        self._learning = learning
        self._notices = notices
        self._started = time.monotonic()
        self._statuses: dict[str, CameraState] = {}
        self._status_lock = threading.Lock()
        """Held while a camera's status is published, so that none is published after its
        removal."""
        self._slow: set[tuple[str, str]] = set()
        """Cameras and watches that were told to be too slow."""
        self._shortage = Shortage()
        self._short: Mapping[str, Short] = {}
        """The cameras that are short of detector time."""
        self._stats: tuple[Stats, ...] = ()
        """The last two that were published."""
        self._liveness = Liveness()
        self._stuck: tuple[str, ...] = ()
        self._checked_at = time.monotonic()
        """When the main thread checked last, in monotonic seconds."""
        self._status_line = ""
        self.ready = False
        """Whether starting is complete: everything runs, and connecting to the broker was tried."""

    # --- in the main thread -----------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Supervise until stopped or all files have ended. Raises StreamwatchError on a failure."""
        next_stats = time.monotonic() + STATS_SECONDS
        while not stop.wait(CHECK_SECONDS):
            self._tell_systemd()
            self._pipeline.recover()
            self._publish_statuses()
            self._tell_of_shortage()
            if time.monotonic() >= next_stats:
                next_stats += STATS_SECONDS
                self.publish_stats()
                self._tell_of_slow_cameras()
            self.raise_failures()
            if self._pipeline.ended:
                log.info("all cameras have ended")
                break
        else:
            log.info("stopping")
        systemd.stopping()

    def _tell_systemd(self) -> None:
        """If a part is stuck, don't reset the watchdog, so that systemd restarts the service."""
        self._checked_at = now = time.monotonic()
        stuck = self._liveness.stuck(self._pulse(now), now)
        if len(stuck) > len(self._stuck):
            log.error("%s", "; ".join(stuck))
        self._stuck = stuck
        if not self.ready and self._publisher.tried:
            self.ready = True
            systemd.ready()
        if not stuck:
            systemd.alive()
        line = report.status_line(self._pipeline, self._publisher, stuck, now)
        if line != self._status_line:
            self._status_line = line
            systemd.status(line)

    def _pulse(self, now: float) -> Pulse:
        reload_at = None if self._changing is None else self._changing.turned_at
        return report.pulse(self._pipeline, self._publisher, reload_at, now)

    def _publish_statuses(self) -> None:
        with self._status_lock:
            setup = self._pipeline.current
            for name in setup.config.cameras:
                status: CameraState = "disabled"
                if name in setup.cameras:
                    online = setup.cameras[name].capture.online(time.monotonic())
                    status = "online" if online else "offline"
                if self._statuses.get(name) != status:
                    self._statuses[name] = status
                    self._publisher.camera_status(name, status)

    def _tell_of_shortage(self) -> None:
        now = time.monotonic()
        fps = {
            name: camera.settings.fps
            for name, camera in self._pipeline.current.cameras.items()
            if camera.live
        }
        before = self._short
        self._short = self._shortage.judge(now, self._pipeline.camera_counts(now), fps)
        if self._short.keys() != before.keys():
            self._on_shortage(self._short)

    def _tell_of_slow_cameras(self) -> None:
        """Log once which watches a camera's measured pace makes impossible."""
        setup = self._pipeline.current
        for name, camera in setup.cameras.items():
            measured = camera.capture.interval_seconds
            if measured is None or measured <= 1 / camera.settings.fps:
                continue
            for watch, said in too_slow(setup.config, name, measured):
                if (name, watch) not in self._slow:
                    self._slow.add((name, watch))
                    log.warning("watches.%s.appear: %s", watch, said)

    def publish_stats(self) -> None:
        stats = self._stats_now()
        self._stats = (*self._stats[-1:], stats)
        self._publisher.stats(stats)

    def raise_failures(self) -> None:
        """Raise the unexpected error that ended a thread, if any."""
        failures = [
            (failure.error, ErrorReport(failure.kind, failure.sentence, camera=failure.camera))
            for failure in self._pipeline.failures
        ]
        for error, to_publish in (*failures, *self._failed()):
            self._publisher.error(to_publish)
            raise StreamwatchError(to_publish.message) from error

    def say_offline(self) -> None:
        """At the end: publish `offline` for every camera."""
        with self._status_lock:
            for name in self._pipeline.current.cameras:
                self._publisher.camera_status(name, "offline")

    # --- in any thread ----------------------------------------------------------------------------

    def forget(self, cameras: Iterable[str], pairs: Iterable[tuple[str, str]]) -> None:
        """Clear the retained topics of these cameras and (camera, watch) pairs, which were
        removed."""
        cameras = tuple(cameras)
        with self._status_lock:
            for name in cameras:
                self._statuses.pop(name, None)
            self._publisher.forget(cameras, pairs)

    def leave(self, cameras: Collection[str]) -> None:
        """Say no more of these cameras, which another daemon has now."""
        if not cameras:
            return
        with self._status_lock:
            for name in cameras:
                self._statuses.pop(name, None)
            self._publisher.leave(cameras)

    def what_is_stuck(self) -> tuple[str, ...]:
        """What the main thread found last, and whether it still checks."""
        return (*idle("the main thread", self._checked_at, time.monotonic()), *self._stuck)

    def metrics(self, *, config_taken_over: bool) -> Metrics:
        return report.metrics(
            self._pipeline,
            self._publisher,
            short=self._short.keys(),
            healthy=not self.what_is_stuck(),
            config_taken_over=config_taken_over,
        )

    def status(self, path: Path, broker: str, problems: Iterable[ErrorReport]) -> dict[str, Any]:
        """What `streamwatch status` shows; `path` is the configuration's, `broker` its address."""
        return report.status_document(
            self._pipeline,
            self._publisher,
            path,
            broker,
            self._stats[0] if self._stats else None,
            self._stats_now(),
            tuple(problems),
            self.what_is_stuck(),
            self._learning,
            self._notices,
        )

    def _stats_now(self) -> Stats:
        return report.stats(self._pipeline, self._publisher, self._instance, self._started)
