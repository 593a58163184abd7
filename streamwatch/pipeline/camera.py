"""One camera as it runs: what reads it, what is watched for, and how it takes new settings."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from ulid import ULID

from streamwatch.config import CameraSettings, Config
from streamwatch.pipeline.analysis import Watched
from streamwatch.records import EndReason, Event, Remembered, Vocabulary
from streamwatch.scheduler.rate import Rate
from streamwatch.source import Capture, Slot
from streamwatch.watch.camera import CameraRules, CameraWatches
from streamwatch.watch.remembered import ends

_REOPENED = ("url", "username", "password", "transport", "loop", "pace")
"""The settings that a camera has to be opened anew for."""
_SEEN_ELSEWHERE = ("url", "loop", "pace")
"""Those after which it shows something else, so that nothing on it goes on."""

Rivals = Mapping[str, tuple[str, ...]]
"""By watch, the prompts that it must beat."""


@dataclass(frozen=True, slots=True, eq=False)
class RunningCamera:
    """An enabled camera: its settings, and its parts, which outlive most changes of them."""

    name: str
    settings: CameraSettings
    slot: Slot
    rate: Rate
    capture: Capture
    watcher: CameraWatches
    made_at: float
    """Monotonic seconds."""

    @property
    def gone_seconds(self) -> float:
        """For how long a camera that is offline has given no frame; 0 while it is online."""
        now = time.monotonic()
        if self.capture.online(now):
            return 0.0
        age = self.capture.counts(now).age_seconds
        return now - self.made_at if age is None else age

    def watched(self, vocabulary: Vocabulary) -> Watched:
        return Watched(
            self.slot,
            self.watcher,
            vocabulary,
            self.settings.crop,
            live=self.settings.pace or self.settings.kind != "file",
            gone_seconds=lambda: self.gone_seconds,
            finished=lambda: self.capture.finished,
        )


class CameraMaker:
    """Makes running cameras of a configuration. They are not started.

    `rivals` are the prompts that each watch must beat, by its name.
    """

    def __init__(self, ready: threading.Condition, on_problem: Callable[[str, str], None]) -> None:
        """`ready` is notified for every frame; `on_problem` is told (camera, sentence)."""
        self._ready = ready
        self._on_problem = on_problem

    def opened(self, name: str, config: Config, rivals: Rivals) -> RunningCamera:
        """A camera that was not there before."""
        return self._reading(name, config.cameras[name], _watches(name, config, rivals))

    def changed(self, camera: RunningCamera, config: Config, rivals: Rivals) -> RunningCamera:
        """The camera with its new settings: its capture stays wherever it can."""
        settings = config.cameras[camera.name]
        if not _differ(camera.settings, settings, _REOPENED):
            return replace(camera, settings=settings)
        watcher = camera.watcher
        if _differ(camera.settings, settings, _SEEN_ELSEWHERE) or settings.kind == "file":
            watcher = _watches(camera.name, config, rivals)
        return self._reading(camera.name, settings, watcher, camera.capture)

    def _reading(
        self,
        name: str,
        settings: CameraSettings,
        watcher: CameraWatches,
        before: Capture | None = None,
    ) -> RunningCamera:
        now = time.monotonic()
        slot, rate = Slot(self._ready), Rate(settings.fps)
        capture = Capture(
            name,
            settings,
            slot=slot,
            due=rate.due,
            on_problem=partial(self._on_problem, name),
            counted=None if before is None else before.counts(now),
        )
        return RunningCamera(name, settings, slot, rate, capture, watcher, now)


def take_over(
    before: RunningCamera, now: RunningCamera, config: Config, rivals: Rivals
) -> Iterable[Event]:
    """Bring a camera's rate, mask and watches to its new settings; the events are what ends.

    For the analysis' thread, which owns the watches.
    """
    if now.capture is before.capture:
        now.rate.change(now.settings.fps)
        now.capture.change_mask(now.settings.mask)
    if now.watcher is not before.watcher:
        return before.watcher.close("changed")
    return now.watcher.adopt(_rules(now.name, config, rivals), partial(_why_gone, config))


def let_go(camera: RunningCamera, config: Config) -> Iterable[Event]:
    """End what is open on a camera that runs no longer. For the analysis' thread."""
    return camera.watcher.close("disabled" if camera.name in config.cameras else "removed")


def recall(cameras: Mapping[str, RunningCamera], visits: Iterable[Remembered]) -> Iterable[Event]:
    """Let visits of an earlier life go on; the events end those with which that can't be.

    Before the analysis begins.
    """
    events: list[Event] = []
    by_camera: dict[str, list[Remembered]] = defaultdict(list)
    for visit in visits:
        by_camera[visit.last.camera].append(visit)
    for name, there in by_camera.items():
        camera = cameras.get(name)
        events += ends(there, "restart") if camera is None else camera.watcher.recall(there)
    return events


def _why_gone(config: Config, watch: str) -> EndReason:
    if watch not in config.watches:
        return "removed"
    return "changed" if config.watches[watch].enabled else "disabled"


def _watches(camera: str, config: Config, rivals: Rivals) -> CameraWatches:
    return CameraWatches(camera, _rules(camera, config, rivals), lambda: str(ULID()))


def _rules(camera: str, config: Config, rivals: Rivals) -> CameraRules:
    return CameraRules(
        config.cameras[camera],
        config.watches_of(camera),
        config.detector.confidence,
        config.zone,
        rivals,
    )


def _differ(before: CameraSettings, now: CameraSettings, keys: Iterable[str]) -> bool:
    return any(getattr(before, key) != getattr(now, key) for key in keys)
