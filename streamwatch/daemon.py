"""The only place that wires the stages together, starts them and stops them."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np
import psutil
from ulid import ULID

from streamwatch import __version__
from streamwatch.analysis import Analysis, Watched
from streamwatch.config import Config, config_hash, snapshot_folder, unfit_model
from streamwatch.detector.models import encode_prompts, load_detector
from streamwatch.detector.protocol import TEXT_WIDTH, Detector, Vectors, Vocabulary
from streamwatch.errors import StreamwatchError
from streamwatch.publisher import (
    CameraState,
    CameraStats,
    DetectorStats,
    EmbeddedBroker,
    ErrorReport,
    Info,
    LatencyStats,
    Publisher,
    Stats,
    WatchInfo,
)
from streamwatch.scheduler.rate import Rate
from streamwatch.scheduler.scheduler import Scheduler
from streamwatch.source import Capture, Slot
from streamwatch.watch.camera import CameraWatches

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often the cameras' status is looked at."""
STATS_SECONDS = 10.0
DRAIN_SECONDS = 5.0
"""How long a clean stop waits for the broker to take what is left."""


class Daemon:
    """One configuration, running.

    with Daemon(config) as daemon:   # broker, publisher and detector are up, or it raises
        daemon.run()                 # until stopped, or until all files have ended

    The embedded broker outlives `run`, so that its subscribers get the last messages.

    `request_stop` may be called from a signal handler or any thread.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._started_at = datetime.now(UTC)
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._resources = ExitStack()
        self._captures: dict[str, Capture] = {}
        self.mqtt = config.mqtt
        """Where the broker really is: with the embedded one, its host and port."""

    def __enter__(self) -> Self:
        with ExitStack() as started:
            if self.mqtt.embedded:
                broker = started.enter_context(EmbeddedBroker(self.mqtt.port))
                self.mqtt = self.mqtt.model_copy(update={"host": "127.0.0.1", "port": broker.port})
            self._publisher = Publisher(
                self.mqtt, self._config.snapshots, snapshot_folder(self._config.snapshots)
            )
            self._publisher.start()
            started.callback(self._publisher.stop, DRAIN_SECONDS)
            self._detector, vectors = self._load_detector()
            self._analysis = self._wire(vectors)
            self._resources = started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def request_stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        """Watch the cameras; raises StreamwatchError if a thread of the daemon has failed."""
        self._publisher.declare_states(
            (camera, watch)
            for camera in self._config.cameras
            for watch in self._config.watches_of(camera)
        )
        self._publisher.info(self._info())
        try:
            self._analysis.start()
            for capture in self._captures.values():
                capture.start()
            self._supervise()
        finally:
            self._shut_down()
        self._raise_failures()

    def _load_detector(self) -> tuple[Detector, dict[str, Vectors]]:
        settings = self._config.detector
        for advice in unfit_model(self._config):
            log.warning("%s", advice)
        log.info("loading the detector %s", settings.model)
        since = time.monotonic()
        prompts = {
            prompt: None
            for camera in self._config.cameras
            for watch in self._config.watches_of(camera).values()
            for prompt in (*watch.prompt, *watch.companions)
        }
        vectors = encode_prompts(settings, tuple(prompts))
        detector = load_detector(settings)
        log.info(
            "detector %s is ready on %s after %.1f s, looking for %d prompts",
            settings.model,
            detector.device,
            time.monotonic() - since,
            len(prompts),
        )
        return detector, vectors

    def _wire(self, vectors: dict[str, Vectors]) -> Analysis:
        """A capture for every enabled camera, and the analysis over all of them."""
        ready = threading.Condition()
        slots: dict[str, Slot] = {}
        watched: dict[str, Watched] = {}
        for name, settings in self._config.cameras.items():
            if not settings.enabled:
                continue
            slots[name] = Slot(ready)
            capture = Capture(
                name,
                settings,
                slot=slots[name],
                due=Rate(settings.fps).due,
                on_problem=partial(self._report_camera, name),
            )
            self._captures[name] = capture
            watcher = CameraWatches(
                name,
                settings,
                self._config.watches_of(name),
                self._config.detector.confidence,
                lambda: str(ULID()),
                self._config.zone,
            )
            watched[name] = Watched(
                watcher,
                _vocabulary(watcher.prompts, vectors),
                watcher.floor,
                settings.crop,
                live=settings.pace or settings.kind != "file",
                gone_seconds=partial(_gone_seconds, capture),
                finished=partial(_has_finished, capture),
            )
        return Analysis(Scheduler(slots, ready), self._detector, watched, self._publisher.event)

    def _report_camera(self, camera: str, message: str) -> None:
        self._publisher.error(ErrorReport("camera", message, camera=camera))

    def _supervise(self) -> None:
        """Until stopped, ended or failed: publish statistics and changes of the cameras' status."""
        statuses: dict[str, CameraState] = {}
        next_stats = time.monotonic() + STATS_SECONDS
        while not self._stop.wait(LOOK_SECONDS):
            self._publish_statuses(statuses)
            if time.monotonic() >= next_stats:
                next_stats += STATS_SECONDS
                self._publisher.stats(self._stats())
            self._raise_failures()
            if self._analysis.ended:
                log.info("all cameras have ended")
                return
        log.info("stopping")

    def _publish_statuses(self, published: dict[str, CameraState]) -> None:
        for name, settings in self._config.cameras.items():
            status: CameraState
            if not settings.enabled:
                status = "disabled"
            else:
                online = self._captures[name].online(time.monotonic())
                status = "online" if online else "offline"
            if published.get(name) != status:
                published[name] = status
                self._publisher.camera_status(name, status)

    def _raise_failures(self) -> None:
        """Raise what ended a thread of the daemon: a bug or a broken machine, not a dead camera."""
        failures: list[tuple[str, BaseException | None, ErrorReport]] = [
            (name, capture.failure, ErrorReport("camera", "", camera=name))
            for name, capture in self._captures.items()
        ]
        failures.append(("the detector", self._analysis.failure, ErrorReport("detector", "")))
        failures.append(("publishing", self._publisher.failure, ErrorReport("publisher", "")))
        for what, failure, report in failures:
            if failure is not None:
                message = f"{what} failed: {failure or type(failure).__name__}"
                self._publisher.error(replace(report, message=message))
                raise StreamwatchError(message) from failure

    def _shut_down(self) -> None:
        for capture in self._captures.values():
            capture.request_stop()
        for capture in self._captures.values():
            with suppress(Exception):  # what its thread died of is its `failure`
                capture.stop()
        if not self._analysis.stop(DRAIN_SECONDS):
            log.error("the detector is still busy after %.0f s; leaving it", DRAIN_SECONDS)
        for name, settings in self._config.cameras.items():
            if settings.enabled:
                self._publisher.camera_status(name, "offline")
        self._publisher.stats(self._stats())
        self._publisher.stop(DRAIN_SECONDS)

    def _info(self) -> Info:
        watches = {
            name: WatchInfo(
                prompts=watch.prompt,
                rivals=watch.not_,
                cameras=self._config.cameras_of(name),
                confidence=watch.confidence or self._config.detector.confidence,
            )
            for name, watch in self._config.watches.items()
            if watch.enabled
        }
        return Info(
            version=__version__,
            model=self._config.detector.model,
            backend="torch",
            device=self._detector.device,
            config_hash=config_hash(self._config),
            started_at=self._started_at,
            cameras=list(self._config.cameras),
            watches=watches,
        )

    def _stats(self) -> Stats:
        counts = self._analysis.counts
        now = time.monotonic()
        return Stats(
            uptime_s=round(now - self._started, 1),
            cameras={
                name: CameraStats(
                    frames=c.frames,
                    analysed=counts.frames[name],
                    gated=0,
                    dropped=c.dropped,
                    age_s=None if c.age_seconds is None else round(c.age_seconds, 3),
                    reconnects=c.reconnects,
                )
                for name, c in ((n, capture.counts(now)) for n, capture in self._captures.items())
            },
            detector=DetectorStats(
                counts.batches,
                sum(counts.frames.values()),
                *_percentiles_ms(tuple(counts.batch_seconds)),
            ),
            latency_ms=LatencyStats(*_percentiles_ms(tuple(counts.latency_seconds))),
            outbox=self._publisher.waiting,
            rss_bytes=psutil.Process().memory_info().rss,
        )


def _has_finished(capture: Capture) -> bool:
    return capture.finished


def _gone_seconds(capture: Capture) -> float:
    """For how long a camera that is offline has given no frame; 0 while it is online."""
    now = time.monotonic()
    return 0.0 if capture.online(now) else capture.counts(now).age_seconds or 0.0


def _vocabulary(prompts: tuple[str, ...], vectors: dict[str, Vectors]) -> Vocabulary:
    rows = [vectors[prompt] for prompt in prompts]
    return Vocabulary(prompts, np.stack(rows) if rows else np.zeros((0, TEXT_WIDTH), np.float32))


def _percentiles_ms(seconds: tuple[float, ...]) -> tuple[float | None, float | None]:
    """Median and 95th percentile in milliseconds; None where nothing was measured yet."""
    if not seconds:
        return None, None
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return round(float(p50), 1), round(float(p95), 1)
