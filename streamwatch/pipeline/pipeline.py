"""Cameras, detector and watches of one configuration: events out.

    with Pipeline(config, publish=print) as pipeline:
        pipeline.wait()                    # until every file has ended; cameras never do

It knows no broker, no configuration file and no systemd.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self

import numpy as np

from streamwatch.config import Config, DetectorSettings, texts_among
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import Detector
from streamwatch.errors import StreamwatchError, first_line
from streamwatch.learning.lessons import Lessons, Unkept
from streamwatch.models.provision import image_tower
from streamwatch.pipeline.analysis import (
    Analysis,
    Answer,
    Changeover,
    Observer,
    Until,
    Watched,
    try_out,
)
from streamwatch.pipeline.camera import CameraMaker, RunningCamera, let_go, recall, take_over
from streamwatch.pipeline.counts import Counts
from streamwatch.pipeline.encoding import Encoding
from streamwatch.pipeline.looks import (
    Looks,
    OnProblem,
    look_at,
    start_looking,
    with_words,
)
from streamwatch.pipeline.texts import texts_of, words_of_looks
from streamwatch.prompts.embeddings import Embeddings, other_vectors
from streamwatch.prompts.vocabulary import Vocabularies, vocabularies
from streamwatch.records import (
    TEXT_WIDTH,
    CameraCounts,
    Detection,
    Event,
    Finding,
    Frame,
    Remembered,
    Vectors,
    Vocabulary,
)
from streamwatch.source import Capture, MakeSource, source_for

log = logging.getLogger(__name__)

LOOK_FLOOR = 0.05
"""`look` returns detections from this confidence on, low enough to see what a threshold hides."""
STOP_SECONDS = 5.0
OPEN_SECONDS = 0.05
"""How often `open` looks for first frames."""
TIMED_FRAMES = 5
CHECK_SECONDS = 0.5
"""How often `wait` looks for what has failed."""


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """A configuration and what was made from it."""

    config: Config
    detector: Detector
    embeddings: Embeddings
    vocabularies: Vocabularies
    looks: Looks
    cameras: Mapping[str, RunningCamera]
    """The enabled ones."""

    @property
    def captures(self) -> dict[str, Capture]:
        return {name: camera.capture for name, camera in self.cameras.items()}

    def watched(self) -> dict[str, Watched]:
        return {
            name: camera.watched(self.vocabularies.of_cameras[name], self.looks.look)
            for name, camera in self.cameras.items()
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """An unexpected error that ended a thread: a defect, not an unreachable camera."""

    kind: Literal["camera", "detector"]
    camera: str | None
    error: BaseException

    @property
    def sentence(self) -> str:
        return f"{self.camera or 'the detector'} failed: {first_line(self.error)}"


@dataclass(frozen=True, slots=True)
class Moved:
    """Cameras that come from another pipeline with their open `visits`, and those to `leave` to
    one."""

    visits: Sequence[Remembered] = ()
    leave: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Exchanged:
    """When it was live, in monotonic seconds, and the open visits of cameras that were left."""

    live_at: float
    left: Mapping[str, tuple[Event, ...]]


class Pipeline:
    """One configuration, running, until another takes its place.

    `publish` is called with every event, in order. `remember` is called from time to time with the
    open visits, each as its newest event, to be given to `recall` after a crash. Both are called in
    the thread `detector`; `on_problem` is called with (camera, sentence) in the camera's thread
    when the camera can't be read, and `on_look_problem` with (who looks, sentence) in a thread of
    its own when second looks begin to fail, with None for the sentence when that is over.
    `on_detector` is called in a thread of its own when `current.detector.running` has changed.
    `lessons` keeps what the watches learn; without it that is forgotten at the end. `observer` is
    shown all that is found. `detector` is one of these settings that is loaded already. `sources`
    gives what reads a camera, by its name, where that is not its URL. `until` says when it ends by
    itself.
    """

    def __init__(
        self,
        config: Config,
        *,
        publish: Callable[[Event], None],
        remember: Callable[[Iterable[Event]], None] = lambda _: None,
        on_problem: Callable[[str, str], None] = lambda _camera, _sentence: None,
        on_look_problem: OnProblem = lambda _who, _sentence: None,
        on_detector: Callable[[], None] = lambda: None,
        lessons: Lessons | None = None,
        observer: Observer | None = None,
        detector: Detector | None = None,
        sources: Callable[[str], MakeSource] = lambda _camera: source_for,
        until: Until = "finished",
    ) -> None:
        """Load the model and run the detector once, so that errors show now.

        Takes seconds, and starts nothing. Never fetches. Raises DetectorError or
        UnavailableSetting.
        """
        ready = threading.Condition()
        self._lessons = lessons or Unkept()
        self._maker = CameraMaker(ready, on_problem, self._lessons, sources)
        self._on_look_problem = on_look_problem
        self._on_detector = on_detector
        self._lock = threading.Lock()
        """Held while `current` is replaced, so that a stop sees all captures."""
        self._stopping = threading.Event()
        self._replaced: set[Capture] = set()
        self._opened: set[Capture] = set()
        """Those that `open` started, until they are exchanged or discarded."""
        self._encoding = Encoding()
        self._next_embeddings: tuple[DetectorSettings, Embeddings] | None = None
        """For the settings that are about to be applied."""
        self._current = self._first(config, detector)
        _warm_up(self._current)
        self._analysis = Analysis(
            ready,
            self._current.detector,
            self._current.watched(),
            publish,
            remember,
            observer,
            until,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(STOP_SECONDS)

    @property
    def current(self) -> Setup:
        """What runs: replaced as a whole, so that every thread sees one state or the other."""
        return self._current

    @property
    def counts(self) -> Counts:
        return self._analysis.counts

    def camera_counts(self, now: float) -> dict[str, CameraCounts]:
        """Of every enabled camera; `now` in monotonic seconds."""
        return {
            name: replace(
                camera.capture.counts(now),
                analysed=self.counts.analysed[name],
                gated=self.counts.gated[name],
                restless=camera.gate.restless,
            )
            for name, camera in self._current.cameras.items()
        }

    @property
    def turned_at(self) -> float:
        """When the detector's thread turned last, in monotonic seconds."""
        return self._analysis.turned_at

    @property
    def ended(self) -> bool:
        """Whether all cameras have ended, as files do, or the detector's thread has failed."""
        return self._analysis.ended

    @property
    def finished(self) -> frozenset[str]:
        """The cameras whose file has ended."""
        return self._analysis.finished

    def frames_per_second(self) -> float:
        """How many frames a second the detector manages, timed on empty pictures."""
        words = Vocabulary(("thing",), np.ones((1, TEXT_WIDTH), np.float32) / TEXT_WIDTH**0.5)
        detector = self._current.detector
        try_out(detector, words)
        since = time.monotonic()
        for _ in range(TIMED_FRAMES):
            try_out(detector, words)
        return TIMED_FRAMES / (time.monotonic() - since)

    @property
    def failures(self) -> tuple[Failure, ...]:
        found = [
            Failure("camera", name, capture.failure)
            for name, capture in self._current.captures.items()
            if capture.failure is not None
        ]
        if self._analysis.failure is not None:
            found.append(Failure("detector", None, self._analysis.failure))
        return tuple(found)

    # --- running ----------------------------------------------------------------------------------

    def recall(self, visits: Iterable[Remembered]) -> tuple[Event, ...]:
        """Continue visits of the previous run; returns the `end` of those that can't be continued.

        Call before `start`.
        """
        return tuple(recall(self._current.cameras, visits))

    def start(self) -> None:
        self._analysis.start()
        for capture in self._current.captures.values():
            capture.start()

    def recover(self) -> None:
        """Replace threads that hang in a driver or in FFmpeg; call about once a second."""
        for capture in self._current.captures.values():
            capture.recover(time.monotonic())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all cameras have ended, as files do; False after `timeout` seconds.

        Raises StreamwatchError if a thread has failed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            ended = self.ended  # read before the failures: one that comes between is found next
            for failure in self.failures:
                raise StreamwatchError(failure.sentence) from failure.error
            if ended or (deadline is not None and time.monotonic() >= deadline):
                return ended
            self.recover()
            self._analysis.join(CHECK_SECONDS)

    def stop(self, timeout: float) -> bool:
        """Stop all threads and end open visits; False if the detector stays busy for `timeout` s.

        Waits for the captures first, which may take a few seconds more.
        """
        with self._lock:
            self._stopping.set()
            current = self._current
            captures = {*current.captures.values(), *self._replaced, *self._opened}
        self._encoding.stop()
        _stop(captures)
        stopped = self._analysis.stop(timeout)
        current.looks.lookers.close()
        return stopped

    # --- changing ---------------------------------------------------------------------------------

    def unknown(self, config: Config) -> tuple[str, ...]:
        """The prompts of a configuration whose vectors must be made before it can be prepared.

        Takes milliseconds. Raises DetectorError; never fetches.
        """
        embeddings, known = self._embeddings_for(config.detector)
        return embeddings.unknown([text for text in texts_of(config) if text not in known])

    def encode(
        self, prompts: tuple[str, ...], settings: DetectorSettings | None = None
    ) -> Future[Mapping[str, Vectors]]:
        """Make the vectors of prompts in another thread; takes seconds for new ones.

        With the present settings, or with `settings` that are about to be applied, which come
        first. The future gives them by prompt, `(512,)` each, or DetectorError.
        """
        embeddings, _ = self._embeddings_for(settings or self._current.config.detector)
        return self._encoding.order(embeddings, prompts, patient=settings is None)

    def prepare(self, config: Config) -> Setup:
        """Do everything slow for another configuration, while the present one runs on unchanged.

        Waits for the vectors of `unknown` prompts. Raises DetectorError or UnavailableSetting;
        never fetches.
        """
        before = self._current
        old, new = before.config.detector, config.detector
        embeddings, known = self._embeddings_for(new)
        words = vocabularies(config, embeddings, known, words_of_looks(config))
        detector = before.detector
        lookers = start_looking(config, before.looks.lookers, self._on_look_problem)
        try:
            if _other_detector(old, new):
                log.info("loading the detector %s beside the one that runs", new.model)
                detector = load_detector(new, self._on_detector)
            lookers.wait_until_ready()
        except BaseException:
            lookers.close(before.looks.lookers)
            raise
        return Setup(
            config,
            detector,
            embeddings,
            words,
            with_words(config, lookers, words.vectors, self._lessons),
            self._cameras(config, words, before.cameras),
        )

    def discard(self, prepared: Setup) -> None:
        """Let go of what `prepare` made, when it is not exchanged."""
        new = set(prepared.captures.values()) - set(self._current.captures.values())
        _stop(capture for capture in new if capture.started)
        with self._lock:
            self._opened -= new
        prepared.looks.lookers.close(self._current.looks.lookers)

    def open(self, prepared: Setup, timeout: float) -> None:
        """Read the new cameras of a prepared setup already; waits for the first frame of each, for
        `timeout` seconds at most."""
        new = set(prepared.captures.values()) - set(self._current.captures.values())
        with self._lock:
            if self._stopping.is_set():
                return
            self._opened |= new
            for capture in new:
                capture.start()
        until = time.monotonic() + timeout
        while time.monotonic() < until and not self._stopping.is_set():
            if all(capture.online(time.monotonic()) for capture in new):
                return
            time.sleep(OPEN_SECONDS)

    def exchange(self, prepared: Setup, moved: Moved | None = None) -> Exchanged:
        """Switch to a prepared setup between two batches.

        Starts new captures, and asks replaced ones to stop; see `join_replaced`. With `moved`,
        cameras come from and go to another pipeline. Raises StreamwatchError if the pipeline is
        stopping. For one thread at a time, and only with what `prepare` made from the present
        setup.
        """
        before = self._current
        left: dict[str, tuple[Event, ...]] = {}

        def bring_over() -> list[Event]:
            events: list[Event] = []
            if moved is not None:
                new = prepared.cameras.keys() - before.cameras.keys()
                come = {name: prepared.cameras[name] for name in new}
                there = before.cameras.keys()
                events += recall(come, [v for v in moved.visits if v.last.camera not in there])
            for name, camera in before.cameras.items():
                if name in prepared.cameras:
                    rivals = prepared.vocabularies.rivals
                    events += take_over(camera, prepared.cameras[name], prepared.config, rivals)
                    if _looks_for_other(name, before, prepared):
                        prepared.cameras[name].gate.wake()
                elif moved is not None and name in moved.leave:
                    left[name] = camera.watcher.hand_over()
                else:
                    events += let_go(camera, prepared.config)
            return events

        done = self._analysis.change_over(
            Changeover(prepared.watched(), bring_over, prepared.detector)
        )
        try:
            done.result()
        except CancelledError:
            self.discard(prepared)
            raise StreamwatchError("the daemon is stopping") from None
        live_at = time.monotonic()
        old, new = set(before.captures.values()), set(prepared.captures.values())
        with self._lock:
            self._current = prepared
            self._replaced |= old - new
            self._opened -= new
            if not self._stopping.is_set():
                for capture in new - old:
                    if not capture.started:
                        capture.start()
        for capture in old - new:
            capture.request_stop()
        before.looks.lookers.close(prepared.looks.lookers)
        return Exchanged(live_at, left)

    def join_replaced(self) -> None:
        """Wait for the captures that exchanges have replaced."""
        with self._lock:
            replaced, self._replaced = self._replaced, set()
        _stop(replaced)

    # --- being asked ------------------------------------------------------------------------------

    def require(self, camera: str) -> RunningCamera:
        """The camera; raises StreamwatchError if it gives no frames."""
        current = self._current
        found = current.cameras.get(camera)
        if found is None:
            known = "is disabled" if camera in current.config.cameras else "is none of the cameras"
            raise StreamwatchError(f"{camera} {known}")
        if not found.capture.online(time.monotonic()):
            problem = found.capture.problem or "no frame yet"
            raise StreamwatchError(f"{camera} is offline: {problem}")
        return found

    def look(self, camera: str, words: Vocabulary | None = None) -> Future[Answer]:
        """The camera's next frame with the detections of `words`, or of its own prompts.

        The future is cancelled if the camera is removed first; the caller may cancel it too.
        Raises StreamwatchError where the camera gives no frames.
        """
        found = self.require(camera)
        answer = self._analysis.look(camera, words, LOOK_FLOOR)
        found.rate.hurry()
        return answer

    def require_image_tower(self) -> None:
        """Raises DetectorError if the text encoder has none, so that `look_again` can't look."""
        image_tower(self._current.config.detector)

    def look_again(
        self, frame: Frame, detections: Sequence[Detection], vectors: Mapping[str, Vectors]
    ) -> Future[tuple[Finding, ...]]:
        """Take a second look by words at each detection in `frame`.

        `vectors` has those of their prompts and of `kinds.all_rivals()`. Takes seconds where no
        watch has a second look, since the image tower is loaded for it. Raises DetectorError.
        """
        current = self._current
        return look_at(current.looks.lookers, current.config.detector, frame, detections, vectors)

    # --- making -----------------------------------------------------------------------------------

    def _first(self, config: Config, detector: Detector | None) -> Setup:
        settings = config.detector
        log.info("loading the detector %s", settings.model)
        since = time.monotonic()
        embeddings = Embeddings(settings)
        lookers = start_looking(config, None, self._on_look_problem)
        try:
            words = vocabularies(config, embeddings, {}, words_of_looks(config))
            detector = detector or load_detector(settings, self._on_detector)
            lookers.wait_until_ready()
        except BaseException:
            lookers.close()
            raise
        log.info(
            "detector %s is ready on %s after %.1f s, looking for %d prompts",
            settings.model,
            detector.running.device,
            time.monotonic() - since,
            len(words.named),
        )
        looks = with_words(config, lookers, words.vectors, self._lessons)
        cameras = self._cameras(config, words, before={})
        return Setup(config, detector, embeddings, words, looks, cameras)

    def _embeddings_for(
        self, settings: DetectorSettings
    ) -> tuple[Embeddings, Mapping[str, Vectors]]:
        """What makes vectors with these settings, and the vectors known already."""
        current = self._current
        if not other_vectors(current.config.detector, settings):
            # Of pictures the embeddings know best: those of a prompt may be others now.
            known = current.vocabularies.vectors
            return current.embeddings, {text: known[text] for text in texts_among(known)}
        following = self._next_embeddings
        if following is None or other_vectors(following[0], settings):
            following = self._next_embeddings = settings, Embeddings(settings)
        return following[1], {}

    def _cameras(
        self, config: Config, words: Vocabularies, before: Mapping[str, RunningCamera]
    ) -> dict[str, RunningCamera]:
        """The enabled cameras; those of `before` are kept if possible."""
        return {
            name: self._maker.changed(before[name], config, words.rivals)
            if name in before
            else self._maker.opened(name, config, words.rivals)
            for name, settings in config.cameras.items()
            if settings.enabled
        }


def _looks_for_other(camera: str, before: Setup, now: Setup) -> bool:
    """Whether what stands before the camera already may be found or count now and didn't before."""
    return (
        before.config.watches_of(camera) != now.config.watches_of(camera)
        or before.cameras[camera].settings != now.cameras[camera].settings
        or before.config.detector != now.config.detector
    )


def _stop(captures: Iterable[Capture]) -> None:
    captures = tuple(captures)
    for capture in captures:
        capture.request_stop()
    for capture in captures:
        with suppress(Exception):  # what its thread died of is its `failure`
            capture.stop()


def _warm_up(setup: Setup) -> None:
    """Run the detector once on an empty picture."""
    for watched in setup.watched().values():
        if watched.vocabulary.prompts:
            try_out(setup.detector, watched.vocabulary)
            return


def _other_detector(old: DetectorSettings, new: DetectorSettings) -> bool:
    """Whether another network has to be loaded."""
    return old.differs(
        new, ("model", "text_encoder", "device", "backend", "precision", "image_size")
    )
