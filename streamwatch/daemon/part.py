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
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from streamwatch.config import Config
from streamwatch.daemon.changing import Applied, Changing, Outcome, Then
from streamwatch.errors import StreamwatchError, foreseen
from streamwatch.pipeline.pipeline import Moved, Setup
from streamwatch.publisher import Publisher
from streamwatch.records import Event, Remembered
from streamwatch.watch.remembered import ends

log = logging.getLogger(__name__)

DRAIN_SECONDS = 3.0
"""How long a camera that moves waits until everything told of it is delivered."""
DRAIN_CHECK_SECONDS = 0.02
OPEN_SECONDS = 5.0
"""How long a camera may take for its first frame before it moves without."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Place:
    """Of a daemon among several: its name, and the folder of its state."""

    worker: str
    folder: Path


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
        self._newest = config
        self._opened: Setup | None = None
        """Prepared for cameras that are about to come, and reads them already."""
        self._taken_at: dict[str, float] = {}
        """When each camera came, in monotonic seconds."""
        self._orphans: dict[str, Event] = {}
        self._orphans_lock = threading.Lock()
        self.cameras: frozenset[str] = frozenset()
        """Those that are watched here."""

    # --- from any thread --------------------------------------------------------------------------

    def change(self, config: Config) -> Future[Outcome]:
        """Apply another whole configuration, as soon as its prompts are encoded."""
        found: Future[Outcome] = Future()
        self.do(partial(self._change, config, time.monotonic(), found.set_result))
        return found

    def open(self, cameras: Collection[str]) -> Future[None]:
        """Read these cameras already, which are about to come; done when they give frames."""
        return self._asked(partial(self._open, frozenset(cameras)))

    def take(
        self, cameras: Collection[str], visits: Iterable[Event], *, resend: bool
    ) -> Future[Applied]:
        """Watch these cameras too, going on with their visits; with `resend` the last event of each
        is published again, which the worker that had it perhaps did not."""
        return self._asked(partial(self._take, frozenset(cameras), tuple(visits), resend=resend))

    def release(self, cameras: Collection[str]) -> Future[Mapping[str, tuple[Event, ...]]]:
        """Leave these cameras to another; gives their open visits once all told of them is sent."""
        return self._asked(partial(self._release, frozenset(cameras), drain=True))

    def lose(self, camera: str) -> None:
        """Another has got this camera already."""
        self.do(partial(self._lose, camera, time.monotonic()))

    def adopt_orphans(self, visits: Iterable[Remembered]) -> None:
        """Visits of the previous run, which are perhaps nobody's."""
        with self._orphans_lock:
            self._orphans |= {visit.last.id: visit.last for visit in visits}

    @property
    def orphans(self) -> tuple[Event, ...]:
        """Visits that were open here when their camera was lost, until somebody says whether
        another goes on with them: `end` those that none does, `drop` the others."""
        with self._orphans_lock:
            return tuple(self._orphans.values())

    def drop(self, orphans: Collection[str]) -> None:
        """Another goes on with these, by id."""
        with self._orphans_lock:
            for orphan in orphans:
                self._orphans.pop(orphan, None)

    def end(self, orphans: Collection[str]) -> None:
        """Nobody goes on with these: publish their `end`."""
        with self._orphans_lock:
            gone = [self._orphans.pop(orphan) for orphan in orphans if orphan in self._orphans]
        self._publisher().end(ends([Remembered(visit, 0.0) for visit in gone], "restart"))

    def _asked(self, task: Callable[[], _Result]) -> Future[_Result]:
        found: Future[_Result] = Future()

        def take() -> None:
            try:
                result = task()
            except Exception as error:
                found.set_exception(foreseen(error))
            else:
                found.set_result(result)

        self.do(take)
        return found

    # --- in the thread ----------------------------------------------------------------------------

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
        outcome = self._live(applied, noticed, log.info)
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
        pipeline = self._pipeline()
        prepared = pipeline.prepare(part_of(self._running, self.cameras | cameras))
        pipeline.open(prepared, OPEN_SECONDS)
        self._opened = prepared

    def _take(self, cameras: frozenset[str], visits: tuple[Event, ...], *, resend: bool) -> Applied:
        cameras = cameras & self._running.cameras.keys() - self.cameras
        if not cameras:
            return Applied((), time.monotonic())
        come = [visit for visit in visits if visit.camera in cameras]
        publisher = self._publisher()
        publisher.adopt(cameras, come, resend=resend)
        now = datetime.now(UTC)
        recalled = [
            Remembered(visit, max(0.0, (now - visit.captured_at).total_seconds()))
            for visit in come
            if visit.type != "end"
        ]
        config = part_of(self._running, self.cameras | cameras)
        try:
            applied = self._applied(config, Moved(visits=recalled))
        except StreamwatchError:
            publisher.leave(cameras)
            raise
        self.cameras |= cameras
        self._taken_at |= dict.fromkeys(cameras, time.monotonic())
        return applied

    def _release(self, cameras: frozenset[str], *, drain: bool) -> Mapping[str, tuple[Event, ...]]:
        cameras &= self.cameras
        if not cameras:
            return {}
        rest = self.cameras - cameras
        applied = self._applied(part_of(self._running, rest), Moved(leave=cameras))
        self.cameras = rest
        publisher = self._publisher()
        until = time.monotonic() + DRAIN_SECONDS
        while drain and publisher.connected and publisher.waiting and time.monotonic() < until:
            time.sleep(DRAIN_CHECK_SECONDS)
        return applied.left

    def _lose(self, camera: str, noticed: float) -> None:
        if self._taken_at.get(camera, 0.0) > noticed:
            return  # it came back since
        left = self._release(frozenset((camera,)), drain=False)
        with self._orphans_lock:
            self._orphans |= {visit.id: visit for visit in left.get(camera, ())}

    def _applied(self, config: Config, moved: Moved | None = None) -> Applied:
        if self._opened is not None and self._opened.config == config:
            prepared, self._opened = self._opened, None
            return self._apply_part(config, moved, prepared)
        self._discard_opened()
        return self._apply_part(config, moved)

    def _discard_opened(self) -> None:
        if self._opened is not None:
            self._pipeline().discard(self._opened)
            self._opened = None


def part_of(config: Config, cameras: Collection[str]) -> Config:
    """The configuration with these cameras alone; its watches stay, so that their words are
    known."""
    there = {name: camera for name, camera in config.cameras.items() if name in cameras}
    mqtt = config.mqtt.model_copy(update={"commands": False, "homeassistant": False})
    return config.model_copy(update={"cameras": there, "http": None, "mqtt": mqtt})
