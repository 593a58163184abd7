"""Words tried on a camera while it runs: a second vocabulary beside that of its watches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from typing import TypeVar

from streamwatch.config import WatchSettings
from streamwatch.errors import StreamwatchError
from streamwatch.live.marks import Wanted, marks
from streamwatch.live.pictures import rendered
from streamwatch.pictures.drawing import NOT_DRAWN
from streamwatch.pictures.shots import Shot
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.prompts.vocabulary import needed, vocabularies_from
from streamwatch.records import Vocabulary
from streamwatch.watch.rules import Counting, Zones

log = logging.getLogger(__name__)

MOST_TRIALS = 2
"""At the same time."""
MOST_PROMPTS = 10
LEAST_SECONDS = 0.5
"""Between two looks."""
SHARE = 0.25
"""Of the detector's time, at most, that a trial takes."""
ENCODE_SECONDS = 60.0
"""How long the text encoder may take for the words; it may have to start first."""
LOOK_SECONDS = 5.0
"""How long to wait for a frame."""
TRIAL = ":tried"
"""Name of the watch that is tried; none of the file has a colon."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Words:
    """What is tried on a camera, as a watch would have it, in a picture of about this width."""

    camera: str
    watch: WatchSettings
    width: int


Give = Callable[[Shot | str], None]
"""Is called with a picture, or with one sentence where there is none."""


class Trials:
    """For any thread; bounded, since every look takes detector time from the watches."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._places = threading.Semaphore(MOST_TRIALS)

    def begin(self, words: Words, give: Give) -> Trial:
        """Raises StreamwatchError where too many are under way."""
        if not self._places.acquire(blocking=False):
            raise StreamwatchError(
                f"words are tried in {MOST_TRIALS} places already; end one of them"
            )
        return Trial(self._pipeline, words, give, self._places.release)


class Trial:
    """Looks for words on a camera until it is closed, in a thread of its own.

    It looks again only once `want` was called, so that it ends with whoever looks.
    """

    def __init__(
        self, pipeline: Pipeline, words: Words, give: Give, leave: Callable[[], None]
    ) -> None:
        self._pipeline = pipeline
        self._words = words
        self._give = give
        self._leave = leave
        self._wanted = threading.Event()
        self._wanted.set()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="trial", daemon=True)
        self._thread.start()

    def want(self) -> None:
        self._wanted.set()

    def close(self) -> None:
        """Look no more; does not wait."""
        self._closed = True
        self._wanted.set()

    def _run(self) -> None:
        try:
            while not self._closed:
                try:
                    self._look_while_unchanged()
                except StreamwatchError as error:
                    self._tell(str(error))
                    self._pause(LOOK_SECONDS)
        except Exception:
            log.exception("a trial of words failed")
            self._tell("this can't be tried; the log says why")
        finally:
            self._leave()

    def _look_while_unchanged(self) -> None:
        """Look again and again, until the configuration is another."""
        setup = self._pipeline.current
        words = self._words
        watch = words.watch
        config = setup.config.model_copy(
            update={
                "watches": {
                    **setup.config.watches,
                    TRIAL: watch.model_copy(update={"cameras": (words.camera,)}),
                }
            }
        )
        self._pipeline.require(words.camera)
        vectors = self._result(self._pipeline.encode(needed(config)), ENCODE_SECONDS)
        if vectors is None:
            return
        all_words = vocabularies_from(config, vectors)
        vocabulary = all_words.of_cameras[words.camera]
        everything = Counting(0.0, (0.0, 1.0), None, Zones({}, ()))
        wanted = [Wanted(TRIAL, watch.prompt, everything, all_words.rivals[TRIAL])]
        while not self._closed and self._pipeline.current is setup:
            self._wanted.wait()
            self._wanted.clear()
            if not self._closed:
                self._look(vocabulary, wanted)

    def _look(self, vocabulary: Vocabulary, wanted: Sequence[Wanted]) -> None:
        answer = self._result(self._pipeline.look(self._words.camera, vocabulary), LOOK_SECONDS)
        if answer is None:
            return
        found = marks(answer.detections, wanted, answer.frame.size)
        try:
            self._tell(rendered(answer.frame, found, self._words.width))
        except NOT_DRAWN:
            self._tell("the picture can't be shown")
        took, _ = self._pipeline.counts.inference.percentiles_ms()
        self._pause(max(LEAST_SECONDS, (took or 0.0) / 1000 / SHARE))

    def _result(self, future: Future[_Result], timeout: float) -> _Result | None:
        """None where the trial was closed meanwhile. Raises StreamwatchError."""
        deadline = time.monotonic() + timeout
        while not self._closed:
            try:
                return future.result(0.1)
            except CancelledError:
                raise StreamwatchError(f"{self._words.camera} does not run any more") from None
            except NotInTime:
                if time.monotonic() >= deadline:
                    future.cancel()
                    raise StreamwatchError(
                        f"{self._words.camera}: no frame came within {timeout:.0f} s"
                    ) from None
        future.cancel()
        return None

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._closed and (rest := deadline - time.monotonic()) > 0:
            time.sleep(min(rest, 0.1))

    def _tell(self, what: Shot | str) -> None:
        if not self._closed:
            self._give(what)
