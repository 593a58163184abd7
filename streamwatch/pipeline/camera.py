"""One running camera: its capture, its watches, and how both take new settings."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial

from ulid import ULID

from streamwatch.config import CameraSettings, Config
from streamwatch.learning.learnt import words_of
from streamwatch.learning.lessons import Lessons
from streamwatch.pipeline.analysis import Watched
from streamwatch.records import EndReason, Event, Finding, LookRequest, Remembered, Vocabulary
from streamwatch.scheduler.gate import Areas, Gate
from streamwatch.scheduler.rate import Rate
from streamwatch.source import Capture, MakeSource, Slot
from streamwatch.watch.camera import CameraRules, CameraWatches
from streamwatch.watch.remembered import ends

_REOPENED = ("url", "username", "password", "transport", "loop", "pace", "rotate")
"""A change of these settings opens the camera again."""
_SEEN_ELSEWHERE = ("url", "loop", "pace", "rotate")
"""After a change of these it shows something else, so its visits end."""

Rivals = Mapping[str, tuple[str, ...]]
"""By watch, the prompts that it must beat."""


@dataclass(frozen=True, slots=True, eq=False)
class RunningCamera:
    """An enabled camera: its settings, and its parts, which outlive most changes of settings."""

    name: str
    settings: CameraSettings
    slot: Slot
    rate: Rate
    gate: Gate
    capture: Capture
    watcher: CameraWatches
    made_at: float
    """Monotonic seconds."""

    @property
    def live(self) -> bool:
        """Whether it plays in real time, so that frames are replaced that nobody takes."""
        return self.settings.pace or self.settings.kind != "file"

    @property
    def gone_seconds(self) -> float:
        """How long an offline camera has given no frame; 0 while it is online."""
        now = time.monotonic()
        if self.capture.online(now):
            return 0.0
        age = self.capture.counts(now).age_seconds
        return now - self.made_at if age is None else age

    def watched(
        self, vocabulary: Vocabulary, look: Callable[[LookRequest], Future[Finding]]
    ) -> Watched:
        return Watched(
            self.slot,
            self.watcher,
            vocabulary,
            self.settings.crop,
            self.settings.fps,
            live=self.live,
            moving=lambda: self.gate.moving,
            gone_seconds=lambda: self.gone_seconds,
            finished=lambda: self.capture.finished,
            accept=self.capture.accept,
            reject=self.capture.reject,
            look=look,
        )


class CameraMaker:
    """Makes running cameras of a configuration. They are not started.

    `rivals` are the prompts that each watch must beat, by its name.
    """

    def __init__(
        self,
        ready: threading.Condition,
        on_problem: Callable[[str, str], None],
        lessons: Lessons,
        sources: Callable[[str], MakeSource],
    ) -> None:
        """`ready` is notified for every frame; `on_problem` is called with (camera, sentence).
        `sources` gives what reads a camera, by its name."""
        self._ready = ready
        self._on_problem = on_problem
        self._lessons = lessons
        self._sources = sources

    def opened(self, name: str, config: Config, rivals: Rivals) -> RunningCamera:
        """A new camera."""
        return self._reading(name, config.cameras[name], self._watches(name, config, rivals))

    def changed(self, camera: RunningCamera, config: Config, rivals: Rivals) -> RunningCamera:
        """The camera with its new settings; it keeps its capture if possible."""
        settings = config.cameras[camera.name]
        polled = settings.kind == "http" and camera.settings.differs(settings, ("fps",))
        if not polled and not camera.settings.differs(settings, _REOPENED):
            return replace(camera, settings=settings)
        watcher = camera.watcher
        if camera.settings.differs(settings, _SEEN_ELSEWHERE) or settings.kind == "file":
            watcher = self._watches(camera.name, config, rivals)
        return self._reading(camera.name, settings, watcher, camera.capture)

    def _watches(self, camera: str, config: Config, rivals: Rivals) -> CameraWatches:
        rules = rules_of(camera, config, rivals)
        return CameraWatches(camera, rules, lambda: str(ULID()), self._lessons)

    def _reading(
        self,
        name: str,
        settings: CameraSettings,
        watcher: CameraWatches,
        before: Capture | None = None,
    ) -> RunningCamera:
        now = time.monotonic()
        slot, rate = Slot(self._ready), Rate(settings.fps)
        gate = Gate(_waking_areas(settings))
        capture = Capture(
            name,
            settings,
            slot=slot,
            due=rate.due,
            on_problem=partial(self._on_problem, name),
            gate=gate,
            make_source=self._sources(name),
            counted=None if before is None else before.counts(now),
        )
        return RunningCamera(name, settings, slot, rate, gate, capture, watcher, now)


def take_over(
    before: RunningCamera, now: RunningCamera, config: Config, rivals: Rivals
) -> Iterable[Event]:
    """Apply new settings to a camera's rate, mask and watches; returns the `end` events.

    For the detector's thread, which owns the watches.
    """
    if now.capture is before.capture:
        now.rate.change(now.settings.fps)
        now.capture.change_mask(now.settings.mask)
        now.gate.change(_waking_areas(now.settings))
    if now.watcher is not before.watcher:
        return before.watcher.close("changed")
    return now.watcher.adopt(rules_of(now.name, config, rivals), partial(_why_gone, config))


def let_go(camera: RunningCamera, config: Config) -> Iterable[Event]:
    """End the visits of a camera that was removed or disabled. For the detector's thread."""
    return camera.watcher.close("disabled" if camera.name in config.cameras else "removed")


def recall(cameras: Mapping[str, RunningCamera], visits: Iterable[Remembered]) -> Iterable[Event]:
    """Continue visits of the previous run; returns the `end` of those that can't be continued.

    Call before the analysis starts.
    """
    events: list[Event] = []
    by_camera: dict[str, list[Remembered]] = defaultdict(list)
    for visit in visits:
        by_camera[visit.last.camera].append(visit)
    for name, there in by_camera.items():
        camera = cameras.get(name)
        events += ends(there, "restart") if camera is None else camera.watcher.recall(there)
    return events


def _waking_areas(settings: CameraSettings) -> Areas | None:
    """Where motion counts; None where it is not looked for."""
    if settings.motion == "off":
        return None
    return Areas(settings.crop, settings.mask, settings.ignore)


def _why_gone(config: Config, watch: str) -> EndReason:
    if watch not in config.watches:
        return "removed"
    return "changed" if config.watches[watch].enabled else "disabled"


def rules_of(camera: str, config: Config, rivals: Rivals) -> CameraRules:
    watches = config.watches_of(camera)
    return CameraRules(
        config.cameras[camera],
        watches,
        {name: config.confidence_of(name) for name in watches},
        config.detector.floor,
        config.zone,
        rivals,
        words={name: words_of(watch, config.detector) for name, watch in watches.items()},
    )
