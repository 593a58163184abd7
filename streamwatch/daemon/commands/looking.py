"""Carries out commands that look at a camera or say of its alerts whether they were right."""

from __future__ import annotations

import base64
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any, TypeVar

from streamwatch.config import Config, config_hash, snapshot_folder
from streamwatch.daemon.changing import Changing, Outcome
from streamwatch.daemon.commands.answering import ANYBODY, Asked
from streamwatch.daemon.commands.parsing import (
    CameraRequest,
    DetectRequest,
    LearnRequest,
    SnapshotRequest,
    TeachRequest,
)
from streamwatch.daemon.commands.pictures import PICTURE_QUALITY, crop_of, kept_picture
from streamwatch.daemon.commands.places import (
    MOST_ENCODED,
    MOST_LOOKED_AT,
    MOST_LOOKS,
    MOST_LOOKS_OF_ONE,
    Places,
)
from streamwatch.daemon.frames import FRAME_SECONDS, GONE, none_came
from streamwatch.daemon.reloading import Reloading
from streamwatch.errors import StreamwatchError
from streamwatch.geometry import Box
from streamwatch.learning.learning import Learning, Lesson
from streamwatch.pictures.drawing import cut_out, jpeg
from streamwatch.pipeline.analysis import Answer
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.prompts.vocabulary import padding, prompts_of, vocabulary
from streamwatch.publisher import areas_of, render_all, timestamp
from streamwatch.records import Detection, Finding, MarkedPicture, Vectors, Vocabulary
from streamwatch.second_look.kinds import all_rivals

_Result = TypeVar("_Result")


class Looking:
    """Answers what is asked of the cameras of a pipeline. For the thread `reload`."""

    def __init__(self, changing: Changing, pipeline: Pipeline, learning: Learning) -> None:
        self._changing = changing
        self._reloading = changing if isinstance(changing, Reloading) else None
        self._pipeline = pipeline
        self._learning = learning
        self._encodings = Places(MOST_ENCODED, of_one=MOST_ENCODED)
        """Of `detect` commands that wait for the text encoder."""
        self._looks = Places(MOST_LOOKS, of_one=MOST_LOOKS_OF_ONE)

    def start(self, request: CameraRequest, asked: Asked) -> None:
        """Do what needs no waiting, and arrange for the rest. Raises StreamwatchError."""
        match request:
            case DetectRequest():
                self._detect(request, asked)
            case SnapshotRequest():
                self._snapshot(request, asked)
            case TeachRequest():
                self._teach(request, asked)
            case LearnRequest():
                self._learn(request, asked)

    def _teach(self, request: TeachRequest, asked: Asked) -> None:
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
            self._changing.do(partial(tell, lesson))

        self._learning.teach(which, right=request.right, then=take)

    def _learn(self, request: LearnRequest, asked: Asked) -> None:
        """Keep a picture of the thing, and give it to the watch."""
        if self._reloading is None:
            raise StreamwatchError("learn is not for a worker of a fleet")
        if request.visit is not None:
            crop = crop_of(snapshot_folder(self._config.snapshots), request.visit)
            self._show(request, asked, crop, None)
            return
        camera, box = request.camera, request.box
        assert camera is not None
        assert box is not None

        def take(seen: Answer) -> None:
            width, height = seen.frame.size
            if not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
                raise StreamwatchError(
                    f"the box is empty, or not all in the frame, which is {width}x{height}"
                )
            cut = cut_out(MarkedPicture(seen.frame.picture, box, ""))
            self._show(request, asked, jpeg(cut.picture.bgr(), PICTURE_QUALITY), cut.box)

        self._look(camera, None, asked, take)

    def _show(self, request: LearnRequest, asked: Asked, crop: bytes, box: Box | None) -> None:
        assert self._reloading is not None
        file = kept_picture(request.watch, crop)
        picture: dict[str, object] = {"file": str(file)}
        if box is not None:
            picture["box"] = [round(edge, 1) for edge in box]

        def tell(outcome: Outcome) -> None:
            if outcome.error is not None:
                file.unlink(missing_ok=True)
                asked.refuse(str(outcome.error))
                return
            told = {"watch": request.watch, "path": str(file), "changes": list(outcome.changes)}
            asked.answer({**told, "config_hash": config_hash(self._config)})

        try:
            self._reloading.show(request.watch, picture, persist=request.persist, then=tell)
        except StreamwatchError:
            file.unlink(missing_ok=True)
            raise

    def _detect(self, request: DetectRequest, asked: Asked) -> None:
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
        self._encodings.take(ANYBODY)
        leave = partial(self._encodings.leave, ANYBODY)
        self._when_done(self._pipeline.encode(texts), asked, look, leave)

    def _own_prompts(self, camera: str) -> tuple[str, ...]:
        """All that the camera's watches name, what they must beat included."""
        watches = self._config.watches_of(camera).values()
        return tuple(prompt for watch in watches for prompt in prompts_of(watch))

    def _look_again(
        self,
        request: DetectRequest,
        asked: Asked,
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
        asked: Asked,
        seen: Answer,
        looks: Mapping[Detection, Finding] | None = None,
    ) -> None:
        detections = [_detection_fields(found, looks) for found in seen.detections]
        asked.answer({**_frame(request.camera, seen), "detections": detections})

    def _snapshot(self, request: SnapshotRequest, asked: Asked) -> None:
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
        asked: Asked,
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
        self._changing.later(FRAME_SECONDS, give_up)
        self._when_done(seen, asked, then, leave)

    def _when_done(
        self,
        future: Future[_Result],
        asked: Asked,
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

        future.add_done_callback(lambda done: self._changing.do(partial(take, done)))


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
