"""Watches tried over footage: the real pipeline, and what other thresholds would have told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from streamwatch.config import AppearSettings, Config, WatchSettings
from streamwatch.detector.protocol import Detector
from streamwatch.errors import StreamwatchError
from streamwatch.learning.pairs import Pair, pairs
from streamwatch.pipeline.camera import rules_of
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.records import Detection, EndReason, Event, Frame
from streamwatch.source import MakeSource, source_for
from streamwatch.source.pictures import PictureFiles
from streamwatch.tuning.footage import Footage
from streamwatch.tuning.seen import Alert, Miss, NearMisses, Seen, Visit, alert_of
from streamwatch.tuning.sweep import Sweep, thresholds
from streamwatch.watch.rules import beaten_by

TURN_SECONDS = 0.2
"""How often progress is told and a stop is looked for."""
MOST_UNREADABLE = 20
"""Files that are named; more are counted."""


class Progress(Protocol):
    """Is told how a trial goes. `hit` and `frame` are called in the detector's thread, `problem` in
    that of the footage. A StreamwatchError that they raise ends the trial."""

    def hit(self, watch: str, alert: Alert, /) -> None:
        """An alert, as the watch would send it."""

    def frame(self, footage: Footage, frame: Frame, found: Sequence[Detection], /) -> None:
        """A frame was looked at; `found` is what is as sure as its watch needs."""

    def turn(self, run: Run, /) -> None:
        """Some time has passed."""

    def problem(self, footage: Footage, sentence: str, /) -> None:
        """It can't be read, or a picture of it."""


@dataclass(slots=True, eq=False)
class Run:
    """How it went with one piece of footage.

    `position` is the newest frame's, as in `Alert`.
    """

    footage: Footage
    frames: int = 0
    position: float = 0.0
    took_seconds: float = 0.0
    detector_seconds: float = 0.0
    size: tuple[int, int] | None = None
    problem: str | None = None
    unreadable: list[str] = field(default_factory=list)
    unreadable_count: int = 0
    complete: bool = False
    """Whether it was looked at to its end, or for as long as was asked."""


class Trial:
    """Tries the watches of `config` on one piece of footage after another.

    The cameras of `config` are not opened. Loads the detector at the first piece where none is
    given, and never fetches. For one thread.
    """

    def __init__(
        self, config: Config, progress: Progress, detector: Detector | None = None
    ) -> None:
        """`detector` is one with these settings that is loaded already."""
        self._config = config
        self._progress = progress
        self._detector = detector
        self._near_misses = NearMisses()
        self.runs: list[Run] = []
        self.seen: dict[str, Seen] = {
            name: Seen.of(
                watch.prompt,
                config.confidence_of(name),
                thresholds(config.detector.floor, config.confidence_of(name)),
            )
            for name, watch in config.watches.items()
        }
        """By watch."""

    @property
    def detector(self) -> Detector | None:
        """The one in use; None before the first piece."""
        return self._detector

    def run(self, footage: Footage, stop: threading.Event, seconds: float | None = None) -> Run:
        """Look at one piece of footage: to its end, until `stop` is set or for `seconds`, which are
        those of a clip, and don't count for pictures.

        Raises StreamwatchError.
        """
        run = Run(footage)
        self.runs.append(run)
        self._near_misses.look_at(footage.name, None)
        config = tried(self._config, footage)
        watching = _Watching(run, self.seen, self._near_misses, config, self._progress)
        failed = threading.Event()
        problems: list[str] = []

        def on_problem(_camera: str, sentence: str) -> None:
            self._progress.problem(footage, sentence)
            problems.append(sentence)
            if not footage.live:
                failed.set()

        source = _pictures(run, self._progress) if footage.pictures else source_for
        pipeline = Pipeline(
            config,
            publish=watching.publish,
            on_problem=on_problem,
            lessons=self._near_misses,
            observer=watching,
            detector=self._detector,
            sources=lambda _camera: source,
        )
        self._detector = pipeline.current.detector
        watching.begin(pipeline)
        began = time.monotonic()
        with pipeline:
            while not (ended := _ended(pipeline)):
                run.took_seconds = time.monotonic() - began
                self._progress.turn(run)
                reached = run.took_seconds if footage.live else run.position
                over = seconds is not None and not footage.pictures and reached >= seconds
                if over or failed.is_set() or stop.is_set():
                    run.complete = over
                    break
        run.complete |= ended and not failed.is_set()
        run.took_seconds = time.monotonic() - began
        if failed.is_set() or not (run.frames or run.unreadable_count):
            run.problem = problems[-1] if problems else f"{footage.title}: no picture came"
        run.detector_seconds = pipeline.counts.inference.sum_seconds
        watching.end("lost" if ended else "shutdown")
        self._progress.turn(run)
        return run

    def near_misses(self, watch: str) -> list[Miss]:
        """The surest of what a watch found and did not tell, the surest first."""
        return self._near_misses.of(watch)

    def pairs(self) -> list[Pair]:
        """Which watches' prompts lay on the same things."""
        return pairs(self._config, self._near_misses.learnt)


class _Watching:
    """Sees what the detector finds in one piece of footage; the pipeline's `Observer`.

    For the detector's thread, but for `begin` and `end`.
    """

    def __init__(
        self,
        run: Run,
        seen: Mapping[str, Seen],
        near_misses: NearMisses,
        config: Config,
        progress: Progress,
    ) -> None:
        self._run = run
        self._near_misses = near_misses
        self._seen = {name: seen[name] for name in config.watches}
        self._config = config
        self._progress = progress
        self._visits: dict[str, Visit] = {}
        """The open ones, by their id."""
        self._interned: dict[Alert, Alert] = {}
        """Of the newest frame: the thresholds share their alerts."""
        self.floor = 1.0

    def begin(self, pipeline: Pipeline) -> None:
        """Before the pipeline starts."""
        current = pipeline.current
        camera = self._run.footage.name
        self._rivals = current.vocabularies.rivals
        rules = rules_of(camera, current.config, self._rivals)
        self._sweep = Sweep(
            camera,
            rules,
            {
                name: [tried for tried in seen.thresholds if tried != seen.needed]
                for name, seen in self._seen.items()
                if name in rules.watches
            },
            lambda request: current.looks.look(request).result(),
        )
        self.floor = self._sweep.floor

    def see(self, frame: Frame, detections: Sequence[Detection], /) -> None:
        self._run.frames += 1
        self._run.size = frame.size
        self._run.position = frame.position or 0.0
        if frame.position is not None:
            began = frame.captured_at - timedelta(seconds=frame.position)
            self._near_misses.look_at(self._run.footage.name, began)
        self._interned.clear()
        found = self._counted(detections)
        self._progress.frame(self._run.footage, frame, found)
        self._note(self._sweep.see(frame, detections))

    def see_still(self, frame: Frame, /) -> None:
        """Footage is read without a motion gate, so there is none."""

    def publish(self, event: Event) -> None:
        """What the pipeline tells at each watch's own threshold."""
        seen = self._seen[event.watch]
        if event.type == "rejected":
            seen.held_back += 1
        elif event.type == "new":
            alert = self._alert(event)
            visit = self._visits[event.id] = Visit(alert, event.best_confidence)
            seen.visits.append(visit)
            seen.told(seen.needed, alert, event.picture)
            self._progress.hit(event.watch, alert)
        elif event.id in self._visits:
            visit = self._visits[event.id]
            visit.best_confidence = event.best_confidence
            if event.type == "end":
                visit.ended_at, visit.reason = event.ended_at, event.reason
                del self._visits[event.id]

    def end(self, reason: EndReason) -> None:
        """After the pipeline has stopped."""
        self._note(self._sweep.close(reason))

    def _note(self, events: Iterable[tuple[str, float, Event]]) -> None:
        for watch, threshold, event in events:
            if event.type == "new":
                self._seen[watch].told(threshold, self._alert(event), event.picture)

    def _alert(self, event: Event) -> Alert:
        alert = alert_of(event, self._run.footage.name)
        return self._interned.setdefault(alert, alert)

    def _counted(self, detections: Sequence[Detection]) -> list[Detection]:
        """Those that are sure enough for a watch, after counting them all."""
        sure = []
        for name, watch in self._config.watches.items():
            seen = self._seen[name]
            rivals = [found for found in detections if found.prompt in self._rivals[name]]
            for found in detections:
                if found.prompt not in watch.prompt:
                    continue
                seen.note(found.prompt, found.confidence)
                if found.confidence < seen.needed:
                    continue
                sure.append(found)
                rival = beaten_by(found, rivals)
                if rival is not None:
                    seen.beaten[rival.prompt] += 1
        return sure


def _ended(pipeline: Pipeline) -> bool:
    """Whether it has, after TURN_SECONDS at most. Raises StreamwatchError."""
    try:
        return pipeline.wait(TURN_SECONDS)
    except StreamwatchError as error:
        if isinstance(error.__cause__, StreamwatchError):  # nothing has failed but what is told
            raise error.__cause__ from None
        raise


def tried(config: Config, footage: Footage) -> Config:
    """The configuration with this footage as its only camera.

    What does not apply to it is left out: `active` hours to recordings, and whatever takes time to
    single pictures.
    """
    return config.model_copy(
        update={
            "cameras": {footage.name: footage.settings},
            "watches": {
                name: _tried(watch, config.confidence_of(name), footage)
                for name, watch in config.watches.items()
            },
        }
    )


def _tried(watch: WatchSettings, confidence: float, footage: Footage) -> WatchSettings:
    changes: dict[str, object] = {
        "enabled": True, "cameras": None, "confidence": confidence, "snapshot": True,
    }  # fmt: skip
    if not footage.live:
        changes["active"] = ()
    if footage.pictures:
        changes |= {
            "appear": AppearSettings(hits=1),
            "dwell": timedelta(0),
            "cooldown": timedelta(0),
            "leave": timedelta(seconds=1),
        }
    return watch.model_copy(update=changes)


def _pictures(run: Run, progress: Progress) -> MakeSource:
    """What reads the pictures of a piece of footage."""

    def unreadable(_path: Path, sentence: str) -> None:
        run.unreadable_count += 1
        if len(run.unreadable) < MOST_UNREADABLE:
            run.unreadable.append(sentence)
        progress.problem(run.footage, sentence)

    return lambda _settings, clock: PictureFiles(run.footage.pictures, unreadable, clock)
