"""The only place that wires the stages together, starts them, changes and stops them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import numpy as np

from streamwatch import logs
from streamwatch.config import (
    Config,
    DetectorSettings,
    HttpSettings,
    MqttSettings,
    config_hash,
    snapshot_folder,
    unfit_model,
)
from streamwatch.daemon.commands.answering import Answering
from streamwatch.daemon.fetch_first import prepare
from streamwatch.daemon.reloading import Applied, Followed, Outcome, Reloading, differences, keep
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import Detector, View
from streamwatch.errors import StreamwatchError, UnfitSetting
from streamwatch.paths import state_file, status_socket
from streamwatch.pipeline.analysis import Analysis, Exchange, Sight, Watched
from streamwatch.pipeline.camera import CameraMaker, RunningCamera, let_go, recall, take_over
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.vocabulary import Vocabularies, vocabularies, vocabulary
from streamwatch.publisher import (
    CameraState,
    Command,
    EmbeddedBroker,
    ErrorReport,
    Publisher,
    Stats,
)
from streamwatch.records import Event
from streamwatch.source import Capture
from streamwatch.status import report, systemd
from streamwatch.status.liveness import Liveness, idle
from streamwatch.status.metrics import Metrics, exposition
from streamwatch.status.socket import StatusServer
from streamwatch.web.server import Pages, Web

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often the cameras' status is looked at."""
STATS_SECONDS = 10.0
DETECT_FLOOR = 0.05
"""From this confidence on a command is told what is there: enough to see what a threshold hides."""
DRAIN_SECONDS = 5.0
"""How long a clean stop waits for the broker to take what is left."""


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """What runs: replaced as a whole, so that every thread sees one state or the other."""

    config: Config
    mqtt: MqttSettings
    """Where the broker really is: with the embedded one, its host and port."""
    detector: Detector
    embeddings: Embeddings
    words: Vocabularies
    cameras: Mapping[str, RunningCamera]

    def watched(self) -> dict[str, Watched]:
        return {
            name: camera.watched(self.words.of_cameras[name])
            for name, camera in self.cameras.items()
        }


class Daemon:
    """One configuration, running.

    with Daemon(config) as daemon:   # broker, publisher and detector are up, or it raises
        daemon.run()                 # until stopped, or until all files have ended

    With `followed` it takes over what is saved there while it runs. The embedded broker outlives
    `run`, so that its subscribers get the last messages.

    `request_stop` and `request_reload` may be called from a signal handler or any thread.
    """

    def __init__(self, config: Config, followed: Followed | None = None) -> None:
        self._first_config = config
        self._started_at = datetime.now(UTC)
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._brokers: dict[int, EmbeddedBroker] = {}
        """The embedded ones, by the port that was asked for; none is stopped before the end."""
        self._resources = ExitStack()
        self._problems: tuple[ErrorReport, ...] = ()
        self._statuses: dict[str, CameraState] = {}
        self._status_lock = threading.Lock()
        """Held while a camera's status is published, so that none is told after it has gone."""
        self._web: Web | None = None
        self._unheard: tuple[ErrorReport, ...] = ()
        """That `http` can't be had, while that lasts."""
        self._stats: tuple[Stats, ...] = ()
        """The last two that were published."""
        self._liveness = Liveness()
        self._stuck: tuple[str, ...] = ()
        self._looked_at = time.monotonic()
        """When the main thread looked last for what is stuck, in monotonic seconds."""
        self._ready = False
        self._status_line = ""
        self._followed = followed
        self._reloading: Reloading | None = None
        if followed is not None:
            self._reloading = Reloading(followed, apply=self._apply, tell=self._tell)

    @property
    def mqtt(self) -> MqttSettings:
        """Where the broker really is: with the embedded one, its host and port."""
        return self._running.mqtt

    def __enter__(self) -> Self:
        config = self._first_config
        with ExitStack() as started:
            self._broker_resources = started.enter_context(ExitStack())
            mqtt = self._reachable(config.mqtt)
            self._publisher = Publisher(
                mqtt,
                config.snapshots,
                snapshot_folder(config.snapshots),
                outbox=None
                if self._followed is None
                else state_file("outbox", self._followed.path, ".sqlite3"),
                on_command=None if self._reloading is None else self._take_command,
            )
            self._publisher.start()
            started.callback(self._publisher.stop, DRAIN_SECONDS)
            ready = threading.Condition()
            self._maker = CameraMaker(ready, self._report_camera)
            self._running = self._first(config, mqtt)
            self._analysis = Analysis(
                ready,
                self._running.detector,
                self._running.watched(),
                self._publisher.event,
                self._publisher.remember,
            )
            started.callback(self._close_web)
            self._looked_at = time.monotonic()
            self._web = self._opened_web(config.http, later=self._be_heard)
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

    def request_reload(self) -> None:
        if self._reloading is not None:
            self._reloading.request()

    def run(self) -> None:
        """Watch the cameras; raises StreamwatchError if a thread of the daemon has failed."""
        self._recall()
        self._declare()
        if self._followed is not None and self._followed.fault is None:
            keep(self._followed.path, self._followed.text)
        if self._followed is not None and self._followed.fault is not None:
            self._tell(Outcome(fault=self._followed.fault))
        status = None
        if self._followed is not None:
            status = StatusServer(status_socket(self._followed.path), self._standing)
        try:
            self._analysis.start()
            for camera in self._running.cameras.values():
                camera.capture.start()
            if self._reloading is not None:
                self._reloading.start()
            self._supervise()
        finally:
            if status is not None:
                status.close()
            self._shut_down()
        self._raise_failures()

    # --- starting --------------------------------------------------------------------------------

    def _first(self, config: Config, mqtt: MqttSettings) -> Running:
        """What runs at first, not started yet."""
        settings = config.detector
        for advice in unfit_model(config):
            log.warning("%s", advice)
        log.info("loading the detector %s", settings.model)
        since = time.monotonic()
        embeddings = Embeddings(settings)
        words = vocabularies(config, embeddings, known={})
        detector = load_detector(settings)
        log.info(
            "detector %s is ready on %s after %.1f s, looking for %d prompts",
            settings.model,
            detector.device,
            time.monotonic() - since,
            len(words.named),
        )
        cameras = {
            name: self._maker.opened(name, config, words.rivals)
            for name, camera in config.cameras.items()
            if camera.enabled
        }
        running = Running(config, mqtt, detector, embeddings, words, cameras)
        _warm_up(running)
        return running

    def _reachable(self, mqtt: MqttSettings) -> MqttSettings:
        """Where the broker of these settings is, once the embedded one is started."""
        if not mqtt.embedded:
            return mqtt
        if mqtt.port not in self._brokers:
            self._brokers[mqtt.port] = self._broker_resources.enter_context(
                EmbeddedBroker(mqtt.port)
            )
        port = self._brokers[mqtt.port].port
        return mqtt.model_copy(update={"host": "127.0.0.1", "port": port})

    def _recall(self) -> None:
        """Take up the visits of the life before; what is watched for no more ends."""
        remembered = self._publisher.remembered
        for event in recall(self._running.cameras, remembered):
            self._publisher.event(event)
            log.info("%s: %s is gone (%s)", event.camera, event.watch, event.reason)
        pairs = {(visit.last.camera, visit.last.watch) for visit in remembered}
        self._publisher.forget((), pairs - _pairs(self._running.config))

    def _declare(self) -> None:
        """Tell what there is, the states of all watches, and what runs."""
        config = self._running.config
        self._publisher.declare(config.cameras, _pairs(config))
        self._publisher.announce(report.roster(config))
        self._publisher.info(
            report.info(config, self._running.detector.device, self._started_at, self._lasting)
        )

    # --- changing, in the thread `reload` ---------------------------------------------------------

    def _apply(self, config: Config) -> Applied:
        """Put another configuration into force. See `Reloading`.

        Everything slow happens before the exchange, beside what runs; a StreamwatchError on the
        way leaves that as it is.
        """
        before = self._running
        changes = differences(before.config, config)
        if not changes:
            return Applied((), time.monotonic())
        now = self._prepared(before, config)
        self._exchange(before, now)
        live_at = time.monotonic()
        self._running = now
        self._settle(before, now)
        return Applied(changes, live_at)

    def _prepared(self, before: Running, config: Config) -> Running:
        old, new = before.config.detector, config.detector
        detector = before.detector
        embeddings, known = before.embeddings, before.words.vectors
        if _other_words(old, new):
            prepare(new)
            embeddings, known = Embeddings(new), {}
        words = vocabularies(config, embeddings, known)
        if _other_detector(old, new):
            log.info("loading the detector %s beside the one that runs", new.model)
            detector = load_detector(new)
        cameras = {}
        for name, settings in config.cameras.items():
            if settings.enabled:
                running = before.cameras.get(name)
                cameras[name] = (
                    self._maker.opened(name, config, words.rivals)
                    if running is None
                    else self._maker.changed(running, config, words.rivals)
                )
        mqtt = self._reachable(config.mqtt)
        if before.config.http != config.http:
            self._change_web(before.config.http, config.http)
        return Running(config, mqtt, detector, embeddings, words, cameras)

    def _change_web(self, before: HttpSettings | None, now: HttpSettings | None) -> None:
        """Listen as is wanted now. Raises UnfitSetting, listening as before."""
        same_place = before and now and (before.host, before.port) == (now.host, now.port)
        if same_place:
            self._close_web()
        try:
            web = self._opened_web(now)
        except UnfitSetting:
            if same_place:
                self._web = self._opened_web(before, later=self._be_heard)
            raise
        if not same_place:
            self._close_web()
        self._web, self._unheard = web, ()

    def _exchange(self, before: Running, now: Running) -> None:
        def settle() -> list[Event]:
            events: list[Event] = []
            for name, camera in before.cameras.items():
                if name in now.cameras:
                    events += take_over(camera, now.cameras[name], now.config, now.words.rivals)
                else:
                    events += let_go(camera, now.config)
            return events

        done = self._analysis.exchange(Exchange(now.watched(), settle, now.detector))
        try:
            done.result()
        except CancelledError:
            raise StreamwatchError("the daemon is stopping") from None

    def _settle(self, before: Running, now: Running) -> None:
        """Start and stop what the exchange has added and left behind."""
        old = {camera.capture for camera in before.cameras.values()}
        new = {camera.capture for camera in now.cameras.values()}
        if not self._stop.is_set():
            for capture in new - old:
                capture.start()
        gone = before.config.cameras.keys() - now.config.cameras.keys()
        with self._status_lock:
            for name in gone:
                self._statuses.pop(name, None)
            self._publisher.forget(gone, _pairs(before.config) - _pairs(now.config))
        if (before.mqtt, before.config.snapshots) != (now.mqtt, now.config.snapshots):
            snapshots = now.config.snapshots
            self._publisher.reconfigure(now.mqtt, snapshots, snapshot_folder(snapshots))
        self._declare()
        if before.config.log != now.config.log:
            logs.set_up(now.config.log.level, now.config.log.format)
        for capture in old - new:
            capture.request_stop()
        for capture in old - new:
            with suppress(Exception):  # it is not needed any more
                capture.stop()

    def _tell(self, outcome: Outcome) -> None:
        """Say what became of a reload, everywhere where somebody may look."""
        if outcome.fault is None:
            if self._problems:
                self._problems = ()
                self._declare()
            return
        for line in str(outcome.fault).splitlines():
            log.error("%s", line)
        report = ErrorReport(
            "config",
            "the configuration is not taken over, what ran before goes on: "
            + str(outcome.fault).partition("\n")[0],
            errors=outcome.problems or None,
            at=datetime.now(UTC),
        )
        self._problems = (report,)
        self._publisher.error(report)
        self._declare()

    # --- being asked ------------------------------------------------------------------------------

    def _take_command(self, command: Command) -> None:
        if self._reloading is not None:
            Answering(self._reloading, self._publisher, self).take(command)

    @property
    def config_hash(self) -> str:
        return config_hash(self._running.config)

    @property
    def snapshot_quality(self) -> int:
        return self._running.config.snapshots.quality

    def look(self, camera: str, prompts: tuple[str, ...] | None) -> Future[Sight]:
        """See `answering.Looking`."""
        running = self._running
        now = time.monotonic()
        found = running.cameras.get(camera)
        if found is None:
            known = "is disabled" if camera in running.config.cameras else "is none of the cameras"
            raise StreamwatchError(f"{camera} {known}")
        if not found.capture.online(now):
            raise StreamwatchError(f"{camera} is offline: {found.capture.problem or 'no frame'}")
        words = None
        if prompts is not None:
            words = vocabulary(prompts, running.embeddings.vectors(prompts))
        sight = self._analysis.look(camera, words, DETECT_FLOOR)
        found.rate.hurry()
        return sight

    def prompts_of(self, camera: str, watch: str) -> tuple[tuple[str, ...], float]:
        """See `answering.Looking`."""
        config = self._running.config
        settings = config.watches_of(camera).get(watch)
        if settings is None:
            raise StreamwatchError(f"{watch} is not watched for on {camera}")
        return settings.prompt, settings.confidence or config.detector.confidence

    # --- telling how it goes ----------------------------------------------------------------------

    def _opened_web(
        self, settings: HttpSettings | None, *, later: Callable[[], None] | None = None
    ) -> Web | None:
        """Raises UnfitSetting; with `later` it is a problem that lasts, and alerts go on."""
        if settings is None:
            return None
        metrics = exposition(self._metrics)
        pages = Pages(self._what_is_stuck, lambda: self._ready, metrics)
        web = Web(settings, pages, later=later)
        if web.problem is not None:
            report = ErrorReport("config", web.problem, at=datetime.now(UTC))
            self._unheard = (report,)
            self._publisher.error(report)
        return web

    def _be_heard(self) -> None:
        """What `http` wanted can be had by now; runs in the thread `http`."""
        self._unheard = ()
        if self._reloading is not None:
            self._reloading.do(self._declare)

    @property
    def _lasting(self) -> tuple[ErrorReport, ...]:
        return (*self._problems, *self._unheard)

    def _close_web(self) -> None:
        web, self._web = self._web, None
        if web is not None:
            web.close()

    def _metrics(self) -> Metrics:
        running = self._running
        return report.metrics(
            running.config,
            running.detector.device,
            self._captures,
            self._analysis.counts,
            self._publisher,
            healthy=not self._what_is_stuck(),
        )

    def _standing(self) -> dict[str, Any]:
        assert self._followed is not None
        return report.standing(
            self._running.config,
            self._followed.path,
            self._stats[0] if self._stats else None,
            self._stats_now(),
            self._captures,
            self._publisher,
            self._lasting,
            self._what_is_stuck(),
        )

    def _what_is_stuck(self) -> tuple[str, ...]:
        """As the main thread saw it last, and whether it still looks; for any thread."""
        return (*idle("the main thread", self._looked_at, time.monotonic()), *self._stuck)

    def _stats_now(self) -> Stats:
        return report.stats(
            self._started, self._captures, self._analysis.counts, self._publisher.waiting
        )

    # --- watching over it ------------------------------------------------------------------------

    def _report_camera(self, camera: str, message: str) -> None:
        self._publisher.error(ErrorReport("camera", message, camera=camera))

    def _supervise(self) -> None:
        """Until stopped, ended or failed: publish statistics and changes of the cameras' status,
        and tell systemd how it goes."""
        next_stats = time.monotonic() + STATS_SECONDS
        while not self._stop.wait(LOOK_SECONDS):
            self._tell_systemd()
            for camera in self._running.cameras.values():
                camera.capture.recover(time.monotonic())
            self._publish_statuses()
            if time.monotonic() >= next_stats:
                next_stats += STATS_SECONDS
                self._publish_stats()
            self._raise_failures()
            if self._analysis.ended:
                log.info("all cameras have ended")
                break
        else:
            log.info("stopping")
        systemd.stopping()

    def _tell_systemd(self) -> None:
        """Where a part is stuck, the watchdog is left to run out, and the service starts anew."""
        self._looked_at = now = time.monotonic()
        stuck = self._liveness.stuck(
            report.pulse(self._captures, self._analysis, self._publisher, now), now
        )
        if len(stuck) > len(self._stuck):
            log.error("%s", "; ".join(stuck))
        self._stuck = stuck
        if not self._ready and self._publisher.tried:
            self._ready = True
            systemd.ready()
        if not stuck:
            systemd.alive()
        line = report.status_line(
            self._running.config, self._captures, self._publisher.waiting, stuck, now
        )
        if line != self._status_line:
            self._status_line = line
            systemd.status(line)

    @property
    def _captures(self) -> dict[str, Capture]:
        return {name: camera.capture for name, camera in self._running.cameras.items()}

    def _publish_statuses(self) -> None:
        with self._status_lock:
            running = self._running
            for name in running.config.cameras:
                status: CameraState = "disabled"
                if name in running.cameras:
                    online = running.cameras[name].capture.online(time.monotonic())
                    status = "online" if online else "offline"
                if self._statuses.get(name) != status:
                    self._statuses[name] = status
                    self._publisher.camera_status(name, status)

    def _publish_stats(self) -> None:
        stats = self._stats_now()
        self._stats = (*self._stats[-1:], stats)
        self._publisher.stats(stats)

    def _raise_failures(self) -> None:
        """Raise what ended a thread of the daemon: a bug or a broken machine, not a dead camera."""
        failures: list[tuple[str, BaseException | None, ErrorReport]] = [
            (name, camera.capture.failure, ErrorReport("camera", "", camera=name))
            for name, camera in self._running.cameras.items()
        ]
        failures.append(("the detector", self._analysis.failure, ErrorReport("detector", "")))
        failures.append(("publishing", self._publisher.failure, ErrorReport("publisher", "")))
        if self._reloading is not None:
            failures.append(("reloading", self._reloading.failure, ErrorReport("config", "")))
        for what, failure, problem in failures:
            if failure is not None:
                message = f"{what} failed: {failure or type(failure).__name__}"
                self._publisher.error(replace(problem, message=message))
                raise StreamwatchError(message) from failure

    def _shut_down(self) -> None:
        self._stop.set()
        if self._reloading is not None:
            self._reloading.request_stop()
        captures = [camera.capture for camera in self._running.cameras.values()]
        for capture in captures:
            capture.request_stop()
        for capture in captures:
            with suppress(Exception):  # what its thread died of is its `failure`
                capture.stop()
        if not self._analysis.stop(DRAIN_SECONDS):
            log.error("the detector is still busy after %.0f s; leaving it", DRAIN_SECONDS)
        with self._status_lock:
            for name in self._running.cameras:
                self._publisher.camera_status(name, "offline")
        self._publish_stats()
        self._publisher.stop(DRAIN_SECONDS)


def _pairs(config: Config) -> set[tuple[str, str]]:
    """Every (camera, watch) that there is a state of."""
    return {(camera, watch) for camera in config.cameras for watch in config.watches_of(camera)}


def _warm_up(running: Running) -> None:
    """Search once, in nothing: whoever waits for the daemon shall know that it can."""
    for watched in running.watched().values():
        if watched.vocabulary.prompts:
            blank = np.zeros((360, 640, 3), np.uint8)
            running.detector.detect([View(blank, watched.vocabulary, floor=1.0)])
            return


def _other_words(old: DetectorSettings, new: DetectorSettings) -> bool:
    """Whether the same prompt has another vector now."""
    keys = ("model", "text_encoder", "template")
    return any(getattr(old, key) != getattr(new, key) for key in keys)


def _other_detector(old: DetectorSettings, new: DetectorSettings) -> bool:
    """Whether it takes another network to search with."""
    keys = ("model", "text_encoder", "device", "backend", "image_size")
    return any(getattr(old, key) != getattr(new, key) for key in keys)
