"""The thread that owns the detector and runs the watches."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal, ParamSpec, Protocol

import numpy as np

from streamwatch.detector.protocol import Detector, View
from streamwatch.errors import StreamwatchError, first_line
from streamwatch.geometry import Box
from streamwatch.pipeline.counts import Counts
from streamwatch.pixels import Pixels
from streamwatch.records import Detection, EndReason, Event, Finding, Frame, LookRequest, Vocabulary
from streamwatch.scheduler.batches import Feed, FrameSlot, Scheduler
from streamwatch.watch.protocol import Watcher

log = logging.getLogger(__name__)

_Arguments = ParamSpec("_Arguments")

Until = Literal["finished", "last finished", "stopped"]
"""How long an analysis goes on: until every camera has finished, at once without any; until the
last of some cameras has finished, waiting while there are none; or until it is stopped."""

TICK_SECONDS = 0.25
"""How often the thread turns when no frame comes."""
REMEMBER_SECONDS = 30.0
"""How often open visits are stored; after a crash their boxes may be this old."""


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """What the analysis of one camera needs.

    `fps` is how often a frame is due. `gone_seconds` is how long the camera has given no frame, 0
    while it does; `finished` is true when its file has ended and its last frame was taken. `live`
    is false for files that are read faster than real time. `moving` says whether something moves in
    its newest frames. Each frame that was taken is accepted, or rejected with one sentence. `look`
    takes a second look in another thread; its future always gives a finding.
    """

    slot: FrameSlot
    watcher: Watcher
    vocabulary: Vocabulary
    crop: Box | None
    fps: float
    live: bool
    moving: Callable[[], bool]
    gone_seconds: Callable[[], float]
    finished: Callable[[], bool]
    accept: Callable[[], None]
    reject: Callable[[str], None]
    look: Callable[[LookRequest], Future[Finding]]


class Observer(Protocol):
    """Is shown what was found in each analysed frame, before the watches are.

    In the thread `detector`, which waits for it. From `floor` on: the watches use no more than they
    would without it.
    """

    @property
    def floor(self) -> float: ...

    def see(self, frame: Frame, detections: Sequence[Detection], /) -> None: ...

    def see_still(self, frame: Frame, /) -> None:
        """A frame that was not analysed, since it shows what the last one of its camera did."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Changeover:
    """What is analysed from the next batch on.

    `bring_over` applies it to the watchers and returns the `end` events that this causes; it runs
    in the detector's thread.
    """

    cameras: Mapping[str, Watched]
    bring_over: Callable[[], Iterable[Event]]
    detector: Detector


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One frame and what was found in it."""

    frame: Frame
    detections: tuple[Detection, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A second look under way, and the watcher that asked for it."""

    watcher: Watcher
    request: LookRequest
    found: Future[Finding]


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    vocabulary: Vocabulary | None
    floor: float
    answer: Future[Answer]


class Analysis:
    """Runs the detector on each batch and the watches on its detections, and publishes their
    events.

    What one camera's frame makes the detector or its watches raise is that camera's problem: the
    frame is rejected, and the others go on. Ends by itself as `until` says. `failure` is the
    unexpected error that ended the thread, if any.
    """

    def __init__(
        self,
        ready: threading.Condition,
        detector: Detector,
        cameras: Mapping[str, Watched],
        publish: Callable[[Event], None],
        remember: Callable[[Iterable[Event]], None],
        observer: Observer | None = None,
        until: Until = "finished",
    ) -> None:
        """`ready` is what the cameras' slots notify; `remember` is given the open visits."""
        self._until = until
        self._cameras = dict(cameras)
        self._scheduler = Scheduler(map(self._feed, self._cameras.values()), ready)
        self._detector = detector
        self._running = set(cameras)
        self._finished: frozenset[str] = frozenset()
        self._publish = publish
        self._remember = remember
        self._observer = observer
        self._remember_at = time.monotonic() + REMEMBER_SECONDS
        self._changeovers: queue.SimpleQueue[tuple[Changeover, Future[None]]] = queue.SimpleQueue()
        self._questions: dict[str, list[_Question]] = defaultdict(list)
        self._questions_lock = threading.Lock()
        self._looks: list[_Look] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="detector", daemon=True)
        self.counts = Counts()
        self.turned_at = time.monotonic()
        """When the thread came round last, in monotonic seconds."""
        self.failure: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the thread has ended: every camera has finished, or it failed."""
        return not self._thread.is_alive()

    @property
    def finished(self) -> frozenset[str]:
        """The cameras whose file has ended."""
        return self._finished

    def stop(self, timeout: float) -> bool:
        """Stop and end open visits; False if the thread is still busy after `timeout` seconds."""
        self._stopping.set()
        self._scheduler.wake()
        self.join(timeout)
        return self.ended

    def join(self, timeout: float) -> None:
        """Wait for its end, at most `timeout` seconds."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def change_over(self, changeover: Changeover) -> Future[None]:
        """Switch to other cameras, watches or another detector between two batches.

        From any thread. The future is done when it is live, and cancelled if the analysis ends
        before that.
        """
        done: Future[None] = Future()
        self._changeovers.put((changeover, done))
        self._scheduler.wake()
        if self.ended:
            self._cancel_what_waits()
        return done

    def look(
        self, camera: str, vocabulary: Vocabulary | None = None, floor: float = 0.0
    ) -> Future[Answer]:
        """What the camera's next analysed frame shows; with a `vocabulary`, of that, from `floor`.

        From any thread. Cancelled if the camera goes or the analysis ends before that.
        """
        question = _Question(vocabulary, floor, Future())
        with self._questions_lock:
            waiting = [each for each in self._questions[camera] if not each.answer.cancelled()]
            self._questions[camera] = [*waiting, question]
        if self.ended:
            self._cancel_what_waits()
        return question.answer

    def _run(self) -> None:
        try:
            while not self._over and not self._stopping.is_set():
                self.turned_at = time.monotonic()
                self._change_over_if_asked()
                batch = self._scheduler.next_batch(TICK_SECONDS, self._held())
                for frame in batch.still:
                    self._repeat(frame)
                if batch.frames:
                    self._search(batch.frames)
                self._take_findings()
                self._end_what_is_gone()
                self._remember_if_due()
        except Exception as error:
            log.debug("the detector's thread failed", exc_info=True)
            self.failure = error
        finally:
            for name in self._running:
                self._publish_all(self._closed(name, "shutdown"))
            self._cancel_what_waits()

    @property
    def _over(self) -> bool:
        if self._running:
            return False
        return self._until == "finished" or (self._until == "last finished" and bool(self._cameras))

    def _change_over_if_asked(self) -> None:
        while not self._changeovers.empty():
            changeover, done = self._changeovers.get()
            try:
                ended = changeover.bring_over()
            except Exception as error:
                done.set_exception(error)  # whoever waits for it would wait for ever
                raise
            self._publish_all(ended)
            self._detector = changeover.detector
            before, self._cameras = self._cameras, dict(changeover.cameras)
            self._running = {
                name
                for name, camera in self._cameras.items()
                if name in self._running
                or name not in before
                or camera.slot is not before[name].slot
            }
            self._finished = frozenset(self._cameras.keys() - self._running)
            self._scheduler.replace(map(self._feed, self._cameras.values()))
            for name in self._questions.keys() - self._cameras.keys():
                self._cancel(self._questions_of(name))
            done.set_result(None)

    def _search(self, batch: Sequence[Frame]) -> None:
        started = time.monotonic()
        found = self._detected(batch)
        self.counts.batches += 1
        took = time.monotonic() - started
        self.counts.inference.observe(took)
        self._scheduler.note(len(batch), took)
        for frame, detections in found:
            camera = self._cameras[frame.camera]
            if self._observer is not None:
                self._observer.see(frame, detections)
            if not self._watch(frame, partial(camera.watcher.update, frame, detections)):
                continue
            camera.accept()
            self.counts.analysed[frame.camera] += 1
            for question in self._questions_of(frame.camera):
                self._answer(question, frame, detections)

    def _repeat(self, frame: Frame) -> None:
        """Pass on a frame that shows what the last analysed one did."""
        watcher = self._cameras[frame.camera].watcher
        if self._observer is not None:
            self._observer.see_still(frame)
        if self._watch(frame, partial(watcher.repeat, frame)):
            self.counts.gated[frame.camera] += 1

    def _watch(self, frame: Frame, watch: Callable[[], tuple[Event, ...]]) -> bool:
        """Publish what the camera's watches make of a frame; whether they could take it."""
        events = self._guarded(frame.camera, watch)
        if events is None:
            self._publish_all(self._closed(frame.camera, "lost"))
            return False
        camera = self._cameras[frame.camera]
        self._publish_all(events)
        self._observe_latency(camera, [frame.captured_at] * len(events))
        self._look_again(camera)
        return True

    def _feed(self, camera: Watched) -> Feed:
        """Of the camera's frames those are needed in which something moves, and those that the
        watches or a question want all the same."""

        def busy() -> bool:
            return camera.moving() or camera.watcher.engaged

        def needed(frame: Frame) -> bool:
            asked = frame.camera in self._questions
            return asked or not frame.still or not camera.watcher.may_repeat(frame)

        return Feed(camera.slot, camera.fps, busy, needed)

    def _observe_latency(self, camera: Watched, captured_at: Iterable[datetime]) -> None:
        """Note how long ago the frames were captured that caused the events of now."""
        if camera.live:
            now = datetime.now(UTC)
            for moment in captured_at:
                self.counts.latency.observe((now - moment).total_seconds())

    def _look_again(self, camera: Watched) -> None:
        """Begin the second looks that the camera's watches ask for."""
        for request in camera.watcher.take_looks():
            look = _Look(camera.watcher, request, camera.look(request))
            self._looks.append(look)
            look.found.add_done_callback(lambda _: self._scheduler.wake())

    def _held(self) -> set[FrameSlot]:
        """The cameras that wait for a second look: those that are no live ones, so that the same
        file gives the same events however long a look takes."""
        return {
            camera.slot
            for name in {look.request.camera for look in self._looks}
            if (camera := self._cameras.get(name)) is not None and not camera.live
        }

    def _take_findings(self) -> None:
        """Give the watches what their second looks have found."""
        done = [look for look in self._looks if look.found.done()]
        self._looks = [look for look in self._looks if not look.found.done()]
        for look in done:
            name, finding = look.request.camera, look.found.result()
            self._count_look(finding)
            camera = self._cameras.get(name)
            if camera is None or camera.watcher is not look.watcher:
                continue
            events = self._guarded(name, look.watcher.answer, look.request, finding) or ()
            self._publish_all(events)
            begun = [event.captured_at for event in events if event.type == "new"]
            self._observe_latency(camera, begun)
            self._look_again(camera)

    def _count_look(self, finding: Finding) -> None:
        if finding.milliseconds is None:
            self.counts.looks_failed += 1
            return
        self.counts.looks_confirmed += finding.confirms
        self.counts.look.observe(finding.milliseconds / 1000)

    def _detected(self, batch: Sequence[Frame]) -> list[tuple[Frame, tuple[Detection, ...]]]:
        """Each frame with what was found in it, without those that the detector can't take.

        Raises what the detector raises if it can't even take an empty picture.
        """
        try:
            found = self._detector.detect([self._view(frame) for frame in batch])
        except Exception as error:
            if len(batch) > 1:
                return [pair for frame in batch for pair in self._detected([frame])]
            camera = batch[0].camera
            try_out(self._detector, self._cameras[camera].vocabulary)
            self._reject(camera, error)
            return []
        return list(zip(batch, found, strict=True))

    def _reject(self, camera: str, error: Exception) -> None:
        log.debug(
            "a frame of %s can't be analysed", camera, exc_info=error, extra={"camera": camera}
        )
        self._cameras[camera].reject(f"its frames can't be analysed ({first_line(error)})")

    def _guarded(
        self,
        camera: str,
        method: Callable[_Arguments, tuple[Event, ...]],
        *arguments: _Arguments.args,
        **named: _Arguments.kwargs,
    ) -> tuple[Event, ...] | None:
        """What a method of the camera's watcher returns; None if it raised, after rejecting."""
        try:
            return method(*arguments, **named)
        except Exception as error:
            self._reject(camera, error)
            return None

    def _closed(self, camera: str, reason: EndReason) -> tuple[Event, ...]:
        """The `end` of the camera's open visits."""
        return self._guarded(camera, self._cameras[camera].watcher.close, reason) or ()

    def _view(self, frame: Frame) -> View:
        camera = self._cameras[frame.camera]
        floor = camera.watcher.floor
        if self._observer is not None:
            floor = min(floor, self._observer.floor)
        return View(frame.picture, camera.vocabulary, floor, camera.crop)

    def _answer(self, question: _Question, frame: Frame, detections: tuple[Detection, ...]) -> None:
        if not question.answer.set_running_or_notify_cancel():
            return  # whoever asked has given up
        if question.vocabulary is not None:
            crop = self._cameras[frame.camera].crop
            view = View(frame.picture, question.vocabulary, question.floor, crop)
            try:
                (detections,) = self._detector.detect([view])
            except Exception as error:
                log.debug("a look at %s failed", frame.camera, exc_info=error)
                question.answer.set_exception(
                    StreamwatchError(f"the detector can't look for that ({first_line(error)})")
                )
                return
        question.answer.set_result(Answer(frame, detections))

    def _end_what_is_gone(self) -> None:
        for name in tuple(self._running):
            camera = self._cameras[name]
            if camera.finished() and not any(look.request.camera == name for look in self._looks):
                self._running.remove(name)
                self._finished |= {name}
                self._publish_all(self._closed(name, "lost"))
            elif gone := camera.gone_seconds():
                events = self._guarded(name, camera.watcher.lost, gone)
                self._publish_all(self._closed(name, "lost") if events is None else events)

    def _remember_if_due(self) -> None:
        if time.monotonic() < self._remember_at:
            return
        self._remember_at = time.monotonic() + REMEMBER_SECONDS
        visits = (
            self._guarded(name, camera.watcher.open_visits)
            for name, camera in self._cameras.items()
        )
        self._remember([visit for found in visits for visit in found or ()])

    def _cancel_what_waits(self) -> None:
        while not self._changeovers.empty():
            self._changeovers.get()[1].cancel()
        for name in tuple(self._questions):
            self._cancel(self._questions_of(name))

    def _questions_of(self, camera: str) -> list[_Question]:
        """Take the questions about a camera, to answer or to cancel them."""
        with self._questions_lock:
            return self._questions.pop(camera, [])

    @staticmethod
    def _cancel(questions: Iterable[_Question]) -> None:
        for question in questions:
            question.answer.cancel()

    def _publish_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self._publish(event)
            self.counts.events[event.camera, event.watch, event.type] += 1
            log_event(event)


def log_event(event: Event) -> None:
    """Log the beginning and the end of a visit."""
    fields = {
        "camera": event.camera,
        "watch": event.watch,
        "event": event.type,
        "id": event.id,
    }
    if event.type == "rejected":
        log.info("%s: %s was held back (%s)", event.camera, event.watch, _why(event), extra=fields)
    elif event.type == "new":
        said = "%s: %s (%.0f%%)", event.camera, event.watch, event.confidence * 100
        log.info(*said, extra=fields)
    elif event.type == "end":
        log.info("%s: %s is gone (%s)", event.camera, event.watch, event.reason, extra=fields)


def _why(event: Event) -> str:
    """Why a second look held it back."""
    look = event.second_look
    if look is None or look.decided == "skipped":
        return "it could not be looked at again"
    if look.taught_by is not None:
        return f"it looks like {look.taught_by}, which was taught wrong"
    if look.answer is not None:
        return f"the answer was {look.answer}"
    beaten = "" if look.beaten_by is None else f", it looks more like {look.beaten_by}"
    return f"{look.score or 0:.0%}{beaten}"


def try_out(detector: Detector, vocabulary: Vocabulary) -> None:
    """Run the detector once on an empty picture; raises what it raises."""
    if vocabulary.prompts:
        detector.detect([View(Pixels(np.zeros((360, 640, 3), np.uint8)), vocabulary, floor=1.0)])
