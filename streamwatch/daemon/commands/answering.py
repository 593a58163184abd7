"""Carries out commands that arrive over MQTT, in the reloading thread, and answers them."""

from __future__ import annotations

import base64
import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from streamwatch.config import Config, config_hash
from streamwatch.daemon.changing import Outcome
from streamwatch.daemon.commands.parsing import (
    DetectRequest,
    EditRequest,
    Id,
    Rejected,
    ReloadRequest,
    Request,
    SnapshotRequest,
    TeachRequest,
    id_of,
    parse,
)
from streamwatch.daemon.commands.places import (
    BUSY,
    MOST_ENCODED,
    MOST_LOOKED_AT,
    MOST_LOOKS,
    MOST_LOOKS_OF_ONE,
    Places,
)
from streamwatch.daemon.frames import FRAME_SECONDS, GONE, none_came
from streamwatch.daemon.reloading import Reloading
from streamwatch.errors import StreamwatchError, foreseen
from streamwatch.learning.learning import Learning, Lesson
from streamwatch.logs import Seldom
from streamwatch.pipeline.analysis import Answer
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.prompts.vocabulary import padding, prompts_of, vocabulary
from streamwatch.publisher import Command, Publisher, areas_of, render_all, timestamp
from streamwatch.records import Detection, Finding, Vectors, Vocabulary
from streamwatch.second_look.kinds import all_rivals

log = logging.getLogger(__name__)

_ANYBODY = ""
"""Takes places that are nobody's in particular."""
_Result = TypeVar("_Result")


class Commands:
    """Takes commands from the publisher, and gives it the answers."""

    def __init__(
        self,
        reloading: Reloading,
        publisher: Publisher,
        pipeline: Pipeline,
        learning: Learning,
    ) -> None:
        self._reloading = reloading
        self._publisher = publisher
        self._pipeline = pipeline
        self._learning = learning
        self._changes = Places(MOST_ENCODED, of_one=MOST_ENCODED)
        """Of commands that change something and wait for the text encoder."""
        self._encodings = Places(MOST_ENCODED, of_one=MOST_ENCODED)
        """Of `detect` commands that wait for it."""
        self._looks = Places(MOST_LOOKS, of_one=MOST_LOOKS_OF_ONE)
        self._said = _Said(Seldom(log, logging.INFO), Seldom(log, logging.ERROR))

    def take(self, command: Command) -> None:
        """Queue a command, or refuse it if too many wait; from any thread, never blocks."""
        if not self._reloading.offer(partial(self._begin, command)):
            self._asked(command, id_of(command)).refuse(BUSY)

    # From here on everything runs in the thread `reload`.

    def _begin(self, command: Command) -> None:
        asked = self._asked(command, None)
        try:
            request = parse(command)
            asked = self._asked(command, request.id)
            if isinstance(request, Rejected):
                asked.refuse(request.message)
            else:
                self._start(request, asked)
        except Exception as error:
            asked.refuse_because_of(error)

    def _asked(self, command: Command, id: Id) -> _Asked:
        return _Asked(self._publisher, command, id, self._said)

    def _start(self, request: Request, asked: _Asked) -> None:
        """Do what needs no waiting, and arrange for the rest. Raises StreamwatchError."""
        match request:
            case EditRequest():
                self._take_a_change(asked)
                then = partial(self._tell, asked)
                self._reloading.edit(request.edit, persist=request.persist, then=then)
            case ReloadRequest():
                self._take_a_change(asked)
                self._reloading.reload(partial(self._tell, asked))
            case DetectRequest():
                self._detect(request, asked)
            case SnapshotRequest():
                self._snapshot(request, asked)
            case TeachRequest():
                self._teach(request, asked)

    def _teach(self, request: TeachRequest, asked: _Asked) -> None:
        which: str | tuple[str, str]
        if request.visit is not None:
            which = request.visit
        else:
            assert request.camera is not None
            assert request.watch is not None
            which = request.camera, request.watch

        def tell(lesson: Lesson | StreamwatchError) -> None:
            if isinstance(lesson, StreamwatchError):
                asked.refuse(str(lesson))
                return
            asked.answer(
                {
                    "visit": lesson.visit.id,
                    "camera": lesson.visit.subject.camera,
                    "watch": lesson.visit.subject.watch,
                    "is": "right" if lesson.right else "wrong",
                },
                message="; ".join(lesson.remarks) or None,
            )

        def take(lesson: Lesson | StreamwatchError) -> None:
            self._reloading.do(partial(tell, lesson))

        self._learning.teach(which, right=request.right, then=take)

    def _take_a_change(self, asked: _Asked) -> None:
        self._changes.take(_ANYBODY)
        asked.afterwards = partial(self._changes.leave, _ANYBODY)

    def _tell(self, asked: _Asked, outcome: Outcome) -> None:
        if outcome.error is not None:
            asked.refuse(str(outcome.error))
            return
        asked.answer({"changes": list(outcome.changes), "config_hash": config_hash(self._config)})

    def _detect(self, request: DetectRequest, asked: _Asked) -> None:
        prompts = request.prompts
        around = padding(self._config.detector)
        if prompts is None and not request.look:
            self._look(request.camera, None, asked, partial(self._tell_found, request, asked))
            return

        def look(vectors: Mapping[str, Vectors]) -> None:
            words = None if prompts is None else vocabulary(prompts, vectors, around)
            then = partial(self._tell_found, request, asked)
            if request.look:
                then = partial(self._look_again, request, asked, vectors)
            self._look(request.camera, words, asked, then)

        self._pipeline.require(request.camera)
        texts = (*(prompts or ()), *around)
        if request.look:
            self._pipeline.require_image_tower()
            texts += (*self._own_prompts(request.camera), *all_rivals())
        self._encodings.take(_ANYBODY)
        leave = partial(self._encodings.leave, _ANYBODY)
        self._when_done(self._pipeline.encode(texts), asked, look, leave)

    def _own_prompts(self, camera: str) -> tuple[str, ...]:
        """All that the camera's watches name, what they must beat included."""
        watches = self._config.watches_of(camera).values()
        return tuple(prompt for watch in watches for prompt in prompts_of(watch))

    def _look_again(
        self,
        request: DetectRequest,
        asked: _Asked,
        vectors: Mapping[str, Vectors],
        seen: Answer,
    ) -> None:
        """Answer once second looks were taken at the surest detections."""
        surest = [found for found in seen.detections if found.prompt in vectors][:MOST_LOOKED_AT]
        self._looks.take(request.camera)
        leave = partial(self._looks.leave, request.camera)
        try:
            looks = self._pipeline.look_again(seen.frame, surest, vectors)
        except StreamwatchError:
            leave()
            raise

        def tell(findings: Sequence[Finding]) -> None:
            self._tell_found(request, asked, seen, dict(zip(surest, findings, strict=True)))

        self._when_done(looks, asked, tell, leave)

    def _tell_found(
        self,
        request: DetectRequest,
        asked: _Asked,
        seen: Answer,
        looks: Mapping[Detection, Finding] | None = None,
    ) -> None:
        detections = [_detection_fields(found, looks) for found in seen.detections]
        asked.answer({**_frame(request.camera, seen), "detections": detections})

    def _snapshot(self, request: SnapshotRequest, asked: _Asked) -> None:
        """The picture in base64 within the answer: a topic of its own would show it to everyone."""
        prompts: tuple[str, ...] = ()
        least = 1.0
        if request.watch is not None:
            prompts, least = self._looked_for(request.camera, request.watch)
        areas = areas_of(self._pipeline.require(request.camera).settings)

        def tell(seen: Answer) -> None:
            marks = [
                (detection.box, f"{detection.prompt} {detection.confidence:.0%}")
                for detection in seen.detections
                if detection.prompt in prompts and detection.confidence >= least
            ]
            quality = self._config.snapshots.quality
            jpeg = render_all(seen.frame.picture.bgr(), marks, quality, areas=areas)
            fields = {**_frame(request.camera, seen), "jpeg": base64.b64encode(jpeg).decode()}
            asked.answer(fields)

        self._look(request.camera, None, asked, tell)

    @property
    def _config(self) -> Config:
        return self._pipeline.current.config

    def _looked_for(self, camera: str, watch: str) -> tuple[tuple[str, ...], float]:
        """The prompts of a watch on a camera, and its confidence."""
        settings = self._config.watches_of(camera).get(watch)
        if settings is None:
            raise StreamwatchError(f"{watch} is not watched for on {camera}")
        usual = self._config.confidence_of(watch)
        return settings.prompt, self._learning.in_force(watch).get(camera, usual)

    def _look(
        self,
        camera: str,
        words: Vocabulary | None,
        asked: _Asked,
        then: Callable[[Answer], None],
    ) -> None:
        """Call `then` with what the camera's next frame shows."""
        self._looks.take(camera)
        leave = partial(self._looks.leave, camera)
        try:
            seen = self._pipeline.look(camera, words)
        except StreamwatchError:
            leave()
            raise

        # Once it is answered its picture must not stay in memory until then.
        waiting = weakref.ref(seen)

        def give_up() -> None:
            asked.cancelled = none_came(FRAME_SECONDS)
            if (unanswered := waiting()) is not None:
                unanswered.cancel()

        asked.cancelled = GONE
        self._reloading.later(FRAME_SECONDS, give_up)
        self._when_done(seen, asked, then, leave)

    def _when_done(
        self,
        future: Future[_Result],
        asked: _Asked,
        go_on: Callable[[_Result], None],
        leave: Callable[[], None],
    ) -> None:
        """When a future is done, leave its place and continue in this thread; an error is the
        answer."""

        def take(done: Future[_Result]) -> None:
            leave()
            try:
                go_on(done.result())
            except CancelledError:
                asked.refuse(asked.cancelled)
            except Exception as error:
                asked.refuse_because_of(error)

        future.add_done_callback(lambda done: self._reloading.do(partial(take, done)))


@dataclass(frozen=True, slots=True)
class _Said:
    """What the log is told of commands."""

    done: Seldom
    failed: Seldom


class _Asked:
    """A command to be answered once; `afterwards` is called then.

    `cancelled` is the message if its look is cancelled.
    """

    def __init__(self, publisher: Publisher, command: Command, id: Id, said: _Said) -> None:
        self._verb = command.verb
        self._said = said
        self._answer = partial(publisher.answer, command.reply, command.verb, id)
        self.cancelled = ""
        self.afterwards: Callable[[], None] = lambda: None

    def answer(self, result: Mapping[str, Any], message: str | None = None) -> None:
        self._said.done("did what was asked for by the command %s", self._verb)
        self._answer(ok=True, result=result, message=message)
        self.afterwards()

    def refuse(self, message: str) -> None:
        self._answer(ok=False, message=message)
        self.afterwards()

    def refuse_because_of(self, error: Exception) -> None:
        """What was not foreseen ends neither the daemon nor the commands that follow."""
        known = foreseen(error)
        if known is not error:
            self._said.failed("the command %s %s", self._verb, known)
        self.refuse(str(known))


def _detection_fields(
    found: Detection, looks: Mapping[Detection, Finding] | None
) -> dict[str, Any]:
    """With `looks`, what one gave for this detection; null where none was taken."""
    fields: dict[str, Any] = {
        "prompt": found.prompt,
        "confidence": round(found.confidence, 3),
        "box": [round(edge, 1) for edge in found.box],
    }
    if looks is not None:
        look = looks.get(found)
        fields["look"] = None if look is None else _look_fields(look)
    return fields


def _look_fields(look: Finding) -> dict[str, Any]:
    if look.failure is not None:
        return {"failure": look.failure}
    score = None if look.score is None else round(look.score, 3)
    return {"score": score, "beaten_by": look.beaten_by}


def _frame(camera: str, answer: Answer) -> dict[str, Any]:
    return {
        "camera": camera,
        "captured_at": timestamp(answer.frame.captured_at),
        "frame": list(answer.frame.size),
    }
