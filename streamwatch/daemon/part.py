"""A daemon that watches a part of the cameras of a configuration, which another program hands over.

Several share one topic prefix. A camera moves from one to another with its open visits: no `end`,
nothing cleared.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from streamwatch.config import Config
from streamwatch.daemon.changing import Applied, Changing, Outcome, Then
from streamwatch.errors import StreamwatchError, foreseen
from streamwatch.learning.learning import Learning
from streamwatch.learning.rows import NotUnderstood
from streamwatch.pipeline.pipeline import Moved, Setup
from streamwatch.publisher import Publisher
from streamwatch.records import Event, Remembered
from streamwatch.watch.remembered import ends

log = logging.getLogger(__name__)

DRAIN_SECONDS = 3.0
"""How long a camera that moves waits until everything told of it is delivered."""
OPEN_SECONDS = 5.0
"""How long a camera may take for its first frame before it moves without."""
UNTAKEN_SECONDS = 60.0
"""How long cameras are read that were to come and do not."""
LOSE_AGAIN_SECONDS = 5.0
"""When a camera is left that could not be left at once."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Place:
    """Of a daemon among several: its name, and the folder of its state."""

    worker: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Left:
    """Of cameras that were left to another: their open visits, and what is learnt of each as
    `Learning.of_camera` gives it."""

    visits: Mapping[str, tuple[Event, ...]] = field(default_factory=dict)
    learnt: Mapping[str, str] = field(default_factory=dict)


class Apply(Protocol):
    """Applies a configuration. See `Changing`."""

    def __call__(
        self, config: Config, moved: Moved | None = None, prepared: Setup | None = None
    ) -> Applied: ...


class Openers(Protocol):
    """What a pipeline does for cameras that are to come. See `Pipeline`."""

    def prepare(self, config: Config) -> Setup: ...
    def open(self, prepared: Setup, timeout: float) -> None: ...
    def discard(self, prepared: Setup) -> None: ...


class Part(Changing):
    """The whole configuration, and which of its cameras are watched here.

    Every method gives a future, and may be called from any thread; what they ask is done in order.
    """

    def __init__(
        self,
        config: Config,
        publisher: Callable[[], Publisher],
        pipeline: Callable[[], Openers],
        learning: Callable[[], Learning],
        *,
        apply: Apply,
        unknown: Callable[[Config], Sequence[str]],
        encode: Callable[[Sequence[str], Config], Future[Any]],
    ) -> None:
        super().__init__(
            config,
            "the configuration",
            apply=lambda whole: self._applied(part_of(whole, self.cameras)),
            unknown=unknown,
            encode=encode,
        )
        self._apply_part = apply
        self._publisher = publisher
        self._pipeline = pipeline
        self._learning = learning
        self._newest = config
        self._opened: Setup | None = None
        """Prepared for cameras that are about to come, and reads them already."""
        self._taken_at: dict[str, float] = {}
        """When each camera came, in monotonic seconds."""
        self._orphans: dict[str, Event] = {}
        self._orphans_lock = threading.Lock()
        self._unanswered: set[Future[Any]] = set()
        """What was asked and has no answer yet."""
        self._ended = False
        self._unanswered_lock = threading.Lock()
        self.cameras: frozenset[str] = frozenset()
        """Those that are watched here."""

    # --- from any thread --------------------------------------------------------------------------

    def change(self, config: Config) -> Future[Outcome]:
        """Apply another whole configuration, as soon as its prompts are encoded."""
        found: Future[Outcome] = Future()

        def then(outcome: Outcome) -> None:
            if self._answers(found):
                found.set_result(outcome)

        self._ask(found, partial(self._change, config, time.monotonic(), then))
        return found

    def open(self, cameras: Collection[str]) -> Future[None]:
        """Read these cameras already, which are about to come; done when they give frames."""
        return self._asked(partial(self._open, frozenset(cameras)))

    def learnt(self, camera: str) -> str:
        """What is learnt of a camera, as text."""
        return self._learning().of_camera(camera)

    def take(
        self,
        cameras: Collection[str],
        visits: Iterable[Event],
        learnt: Mapping[str, str] | None = None,
        *,
        resend: bool,
    ) -> Future[Applied]:
        """Watch these cameras too, going on with their visits; with `resend` the last event of each
        is published again, which the worker that had it perhaps did not. What is `learnt` of a
        camera replaces what is known of it here."""
        return self._asked(
            partial(self._take, frozenset(cameras), tuple(visits), learnt or {}, resend=resend)
        )

    def release(self, cameras: Collection[str]) -> Future[Left]:
        """Leave these cameras to another; gives their open visits once all told of them is sent."""
        return self._asked(partial(self._release, frozenset(cameras), drain=True))

    def lose(self, camera: str, orphans: Iterable[Event] = ()) -> None:
        """Another has got this camera already, perhaps without these visits, which have ended
        here."""
        with self._orphans_lock:
            self._orphans |= {visit.id: visit for visit in orphans}
        self.do(partial(self._lose, camera, time.monotonic()))

    def adopt_orphans(self, visits: Iterable[Event]) -> None:
        """The last events of visits of the previous run, which are perhaps nobody's."""
        with self._orphans_lock:
            self._orphans |= {visit.id: visit for visit in visits}

    @property
    def orphans(self) -> tuple[Event, ...]:
        """Visits that were open here when their camera was lost, or of which nobody was told, until
        somebody says whether another goes on with them: `end` those that none does, `drop` the
        others."""
        with self._orphans_lock:
            return tuple(self._orphans.values())

    def drop(self, orphans: Collection[str]) -> None:
        """Another goes on with these, by id."""
        with self._orphans_lock:
            for orphan in orphans:
                self._orphans.pop(orphan, None)
        self._publisher().drop_left_over(orphans)

    def end(self, orphans: Collection[str]) -> None:
        """Nobody goes on with these: publish what waits of them, and their `end`."""
        with self._orphans_lock:
            gone = [self._orphans.pop(orphan) for orphan in orphans if orphan in self._orphans]
        self._publisher().send_left_over(orphans)
        self._publisher().end(ends([Remembered(visit, 0.0) for visit in gone], "restart"))

    def _asked(self, task: Callable[[], _Result]) -> Future[_Result]:
        found: Future[_Result] = Future()

        def take() -> None:
            try:
                result = task()
            except Exception as error:
                if self._answers(found):
                    found.set_exception(foreseen(error))
            else:
                if self._answers(found):
                    found.set_result(result)

        self._ask(found, take)
        return found

    def _ask(self, found: Future[Any], task: Callable[[], object]) -> None:
        with self._unanswered_lock:
            if not self._ended:
                self._unanswered.add(found)
                self.do(task)
                return
        found.set_exception(_stopping())

    def _answers(self, found: Future[Any]) -> bool:
        """Whether this is the answer, and not the second one."""
        with self._unanswered_lock:
            if found not in self._unanswered:
                return False
            self._unanswered.remove(found)
            return True

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            super()._run()
        finally:
            with self._unanswered_lock:
                self._ended = True
                unanswered, self._unanswered = self._unanswered, set()
            for found in unanswered:
                found.set_exception(_stopping())

    def _change(self, config: Config, noticed: float, then: Then) -> None:
        self._newest = config
        kept = self.cameras
        self.cameras &= config.cameras.keys()
        try:
            unknown = frozenset(self._unknown(config))
            applied = self._put_into_force(config, unknown)
        except Exception as error:
            self.cameras = kept
            then(Outcome(error=foreseen(error)))
            return
        self._say_is_live(applied, noticed, log.info)
        outcome = Outcome(applied.changes)
        if not unknown:
            then(outcome)
            return

        def go_on() -> None:
            if self._newest is config:
                self._change(config, noticed, then)
            else:
                then(outcome)

        self._wait(unknown, config, go_on, then, log.info)

    def _open(self, cameras: frozenset[str]) -> None:
        self._discard_opened()
        config = part_of(self._running, self.cameras | cameras)
        if config.cameras.keys() <= self.cameras:
            return
        pipeline = self._pipeline()
        prepared = self._opened = pipeline.prepare(config)
        self.later(UNTAKEN_SECONDS, partial(self._discard_untaken, prepared))
        pipeline.open(prepared, OPEN_SECONDS)

    def _take(
        self,
        cameras: frozenset[str],
        visits: tuple[Event, ...],
        learnt: Mapping[str, str],
        *,
        resend: bool,
    ) -> Applied:
        cameras = cameras & self._running.cameras.keys() - self.cameras
        if not cameras:
            return Applied((), time.monotonic())
        come = [visit for visit in visits if visit.camera in cameras]
        for camera in cameras & learnt.keys():
            self._learn(camera, learnt[camera])
        publisher = self._publisher()
        since = time.monotonic()
        publisher.adopt(cameras, come, resend=resend)
        self.drop([visit.id for visit in come])
        now = datetime.now(UTC)
        recalled = [
            Remembered(visit, max(0.0, (now - visit.captured_at).total_seconds()))
            for visit in come
            if visit.type != "end"
        ]
        config = part_of(self._running, self.cameras | cameras)
        try:
            applied = self._applied(config, Moved(visits=recalled))
        except Exception:
            publisher.leave(cameras)
            raise
        self.cameras |= cameras
        self._taken_at |= dict.fromkeys(cameras, since)
        watches = config.watches_by_camera()
        publisher.forget(
            (), {(v.camera, v.watch) for v in come if v.watch not in watches[v.camera]}
        )
        return applied

    def _learn(self, camera: str, text: str) -> None:
        try:
            self._learning().take_over(text)
        except NotUnderstood as error:
            log.warning("what another worker has learnt of %s is not taken over: %s", camera, error)

    def _release(self, cameras: frozenset[str], *, drain: bool) -> Left:
        cameras &= self.cameras
        if not cameras:
            return Left()
        rest = self.cameras - cameras
        applied = self._applied(part_of(self._running, rest), Moved(leave=cameras))
        self.cameras = rest
        publisher = self._publisher()
        if drain and publisher.connected:
            publisher.flush(DRAIN_SECONDS)
        return Left(applied.left, {camera: self.learnt(camera) for camera in cameras})

    def _lose(self, camera: str, noticed: float) -> None:
        if self._taken_at.get(camera, 0.0) > noticed:
            return  # it came back since
        try:
            left = self._release(frozenset((camera,)), drain=False)
        except StreamwatchError as error:
            log.warning("%s could not be left: %s", camera, error)
            self.later(LOSE_AGAIN_SECONDS, partial(self._lose, camera, noticed))
            return
        with self._orphans_lock:
            self._orphans |= {visit.id: visit for visit in left.visits.get(camera, ())}

    def _applied(self, config: Config, moved: Moved | None = None) -> Applied:
        if self._opened is not None and self._opened.config == config:
            prepared, self._opened = self._opened, None
            return self._apply_part(config, moved, prepared)
        self._discard_opened()
        return self._apply_part(config, moved)

    def _discard_untaken(self, prepared: Setup) -> None:
        if self._opened is prepared:
            self._discard_opened()

    def _discard_opened(self) -> None:
        if self._opened is not None:
            self._pipeline().discard(self._opened)
            self._opened = None


def _stopping() -> StreamwatchError:
    return StreamwatchError("the daemon is stopping")


def part_of(config: Config, cameras: Collection[str]) -> Config:
    """The configuration with these cameras alone; its watches stay, so that their words are
    known."""
    there = {name: camera for name, camera in config.cameras.items() if name in cameras}
    mqtt = config.mqtt.model_copy(update={"commands": False, "homeassistant": False})
    return config.model_copy(update={"cameras": there, "http": None, "mqtt": mqtt})
