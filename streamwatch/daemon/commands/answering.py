"""What is asked over MQTT: done in the reloading thread, and answered."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

from streamwatch.config import Config, config_hash
from streamwatch.daemon.commands.parsing import (
    DetectRequest,
    EditRequest,
    Rejected,
    ReloadRequest,
    SnapshotRequest,
    parse,
)
from streamwatch.daemon.reloading import Outcome, Reloading
from streamwatch.errors import StreamwatchError
from streamwatch.pipeline.analysis import Answer
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.publisher import Command, Publisher, render_all, timestamp

log = logging.getLogger(__name__)

FRAME_SECONDS = 5.0
"""How long to wait for a camera's next frame."""


class Commands:
    """Takes commands from the publisher, and gives it the answers."""

    def __init__(self, reloading: Reloading, publisher: Publisher, pipeline: Pipeline) -> None:
        self._reloading = reloading
        self._publisher = publisher
        self._pipeline = pipeline

    def take(self, command: Command) -> None:
        """Answer a command when its turn comes; for any thread, and never waits."""
        self._reloading.do(partial(self._answer, command))

    def _answer(self, command: Command) -> None:
        request = parse(command)
        answer = partial(self._publisher.answer, command.reply, command.verb, request.id)
        if isinstance(request, Rejected):
            answer(ok=False, message=request.message)
            return
        try:
            result = self._done(request)
        except StreamwatchError as error:
            answer(ok=False, message=str(error))
        else:
            log.info("did what was asked for by the command %s", command.verb)
            answer(ok=True, result=result)

    def _done(
        self, request: EditRequest | ReloadRequest | SnapshotRequest | DetectRequest
    ) -> Mapping[str, Any]:
        match request:
            case EditRequest():
                return self._told(self._reloading.edit(request.edit, persist=request.persist))
            case ReloadRequest():
                return self._told(self._reloading.reload())
            case DetectRequest():
                return self._detections(request)
            case SnapshotRequest():
                return self._snapshot(request)

    def _told(self, outcome: Outcome) -> Mapping[str, Any]:
        if outcome.error is not None:
            raise outcome.error
        return {"changes": list(outcome.changes), "config_hash": config_hash(self._config)}

    def _detections(self, request: DetectRequest) -> Mapping[str, Any]:
        seen = self._seen(lambda: self._pipeline.look(request.camera, request.prompts))
        return {
            **_frame(request.camera, seen),
            "detections": [
                {
                    "prompt": detection.prompt,
                    "confidence": round(detection.confidence, 3),
                    "box": [round(edge, 1) for edge in detection.box],
                }
                for detection in seen.detections
            ],
        }

    def _snapshot(self, request: SnapshotRequest) -> Mapping[str, Any]:
        """The picture itself, in base64: a topic of its own would show it to everybody."""
        prompts: tuple[str, ...] = ()
        least = 1.0
        if request.watch is not None:
            prompts, least = self._looked_for(request.camera, request.watch)
        seen = self._seen(lambda: self._pipeline.look(request.camera, None))
        marks = [
            (detection.box, f"{detection.prompt} {detection.confidence:.0%}")
            for detection in seen.detections
            if detection.prompt in prompts and detection.confidence >= least
        ]
        jpeg = render_all(seen.frame.image, marks, self._config.snapshots.quality)
        return {**_frame(request.camera, seen), "jpeg": base64.b64encode(jpeg).decode()}

    @property
    def _config(self) -> Config:
        return self._pipeline.current.config

    def _looked_for(self, camera: str, watch: str) -> tuple[tuple[str, ...], float]:
        """What a watch looks for on a camera, and how sure it must be."""
        settings = self._config.watches_of(camera).get(watch)
        if settings is None:
            raise StreamwatchError(f"{watch} is not watched for on {camera}")
        return settings.prompt, settings.confidence or self._config.detector.confidence

    def _seen(self, look: Callable[[], Future[Answer]]) -> Answer:
        try:
            return look().result(FRAME_SECONDS)
        except CancelledError:
            raise StreamwatchError("the camera does not run any more") from None
        except TimeoutError:
            raise StreamwatchError(f"no frame came within {FRAME_SECONDS:.0f} s") from None


def _frame(camera: str, answer: Answer) -> dict[str, Any]:
    return {
        "camera": camera,
        "captured_at": timestamp(answer.frame.captured_at),
        "frame": list(answer.frame.size),
    }
