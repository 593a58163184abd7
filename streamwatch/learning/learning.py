"""Keeps what is learnt: in memory, and written to its file by a thread of its own."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from streamwatch.config import Config
from streamwatch.databases import reason
from streamwatch.errors import StreamwatchError
from streamwatch.geometry import Box
from streamwatch.learning.album import Album
from streamwatch.learning.known import MOST_VISITS, Known
from streamwatch.learning.learnt import (
    Learnt,
    NearMiss,
    NearMissKind,
    Subject,
    Taught,
    ToldVisit,
    Vote,
)
from streamwatch.learning.lessons import Memory
from streamwatch.learning.overview import Experience, near_misses_of, overview, subjects, suggestion
from streamwatch.learning.store import Contents, Store
from streamwatch.learning.votes import MOST_VOTES

log = logging.getLogger(__name__)

SAVE_SECONDS = 30.0
"""How often what has changed is written; so much may be lost to a kill, but nothing that people
have taught."""
FORGET_SECONDS = 5.0
"""How long somebody waits until a vote is forgotten."""
MOST_WAITING = 256
"""Near misses and visits that wait for the thread; more are left out."""
OnNearMiss = Callable[[NearMiss, Path | None], None]
"""Is called with a near miss that is kept, and with where its picture is, if it has one."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What came of a vote: the visit it was on, and what is to be said of it, in sentences."""

    visit: ToldVisit
    right: bool
    remarks: tuple[str, ...]


class Learning:
    """See `Lessons`. For any thread; none of its methods but `stop` and `forget_now` waits.

    A file that is broken, or a newer version's, is moved aside; while it can't be written,
    everything goes on in memory. `complain` is called with one sentence of that, `on_change` when
    `P/info` would say something else. All three callbacks are called in the thread `learning`.
    """

    def __init__(
        self,
        file: Path | None,
        config: Config,
        *,
        on_near_miss: OnNearMiss,
        on_change: Callable[[], None],
        complain: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Reads the file; without one nothing outlives the process."""
        self._file = file
        self._on_near_miss = on_near_miss
        self._on_change = on_change
        self._now = now
        self._album = Album(config, write=self._write, complain=complain, now=now)
        self._known = Known(file, recall=self._recall, complain=complain)
        self._suggested: Mapping[str, float] = {}
        self._tasks: queue.Queue[Callable[[], None]] = queue.Queue()
        self._left_out = 0
        self._stopping = threading.Event()
        self.change(config)
        self._thread = threading.Thread(target=self._run, name="learning", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Write what is left and end the thread; waits for at most so many seconds. A second call
        does nothing."""
        self._stopping.set()
        self._tasks.put(lambda: None)
        if self._thread.ident is not None:
            self._thread.join(timeout)
        else:
            self._known.close()

    def change(self, config: Config) -> None:
        """Continue with another configuration."""
        self._config = config
        self._album.change(config)
        self._tasks.put(self._forget_former)

    # --- Lessons ----------------------------------------------------------------------------------

    def memory(self, subject: Subject, /) -> Memory:
        return self._known.memory(subject)

    def votes(self, subject: Subject, /) -> Sequence[Vote]:
        return self._known.votes.of(subject)

    def taught(self, watch: str, words: str, /) -> Taught:
        return self._known.votes.taught(watch, words)

    def wants(
        self, subject: Subject, kind: NearMissKind, confidence: float, box: Box, at: datetime, /
    ) -> bool:
        return self._album.wants((subject.camera, subject.watch), kind, confidence, box, at)

    def near_miss(self, miss: NearMiss, /) -> None:
        if self.wants(miss.subject, miss.kind, miss.confidence, miss.box, miss.captured_at):
            self._offer(partial(self._take_near_miss, miss))

    def told(self, visit: ToldVisit, /) -> None:
        visit = self._known.tell(visit)
        self._offer(lambda: self._known.settle(visit))

    def stepped(self, subject: Subject, before: float, now: float, /) -> None:
        log.info(
            "%s: %s: the confidence it needs was learnt anew: %.2f, it was %.2f",
            subject.camera,
            subject.watch,
            now,
            before,
            extra={"camera": subject.camera, "watch": subject.watch},
        )
        self._tasks.put(self._on_change)

    # --- what people teach and ask ----------------------------------------------------------------

    def teach(
        self,
        visit: str | tuple[str, str],
        *,
        right: bool,
        then: Callable[[Lesson | StreamwatchError], None],
    ) -> None:
        """Take a vote on a visit, by its id, or on the newest of a camera and watch.

        `then` is called in the thread `learning`, once it is on the disk.
        """
        self._tasks.put(partial(self._teach, visit, right, then))

    def forget(self, id: str, then: Callable[[StreamwatchError | None], None]) -> None:
        """Take back the vote on a visit; `then` is called with what is wrong, if anything."""
        self._tasks.put(partial(self._forget, id, then))

    def forget_now(self, id: str) -> None:
        """The same, and wait for it. Raises StreamwatchError."""
        done: Future[StreamwatchError | None] = Future()
        self.forget(id, done.set_result)
        try:
            error = done.result(FORGET_SECONDS)
        except TimeoutError:
            raise StreamwatchError("what is learnt can't be reached; try later") from None
        if error is not None:
            raise error

    @property
    def all_votes(self) -> tuple[Vote, ...]:
        """In the order in which they were taught."""
        return tuple(self._known.votes)

    def suggestions(self) -> dict[str, float]:
        """By watch, the threshold that what its cameras have seen suggests, where any is."""
        learnt, votes = self.learnt(), self.all_votes
        found = {
            watch: suggestion(of_watch, learnt, votes)
            for watch, of_watch in subjects(self._config).items()
        }
        return {watch: threshold for watch, threshold in found.items() if threshold is not None}

    def in_force(self, watch: str) -> dict[str, float]:
        """By camera, the threshold of a watch, where it is learnt."""
        config = self._config
        settings = config.watches.get(watch)
        if settings is None or not settings.enabled or settings.confidence != "auto":
            return {}
        of_watch = subjects(config)[watch]
        learnt = self._known.learnt(of_watch)
        start = config.confidence_of(watch)
        return {
            subject.camera: learnt.get(subject, Learnt()).threshold or start for subject in of_watch
        }

    def learnt(self) -> dict[Subject, Learnt]:
        """What is known of the watches of the configuration, on each of their cameras."""
        return self._known.learnt(self._all_subjects())

    def overview(self) -> dict[str, Any]:
        """All of it, as `overview.overview`. Reads the near misses from the file."""
        return overview(self._config, self.experience())

    def experience(self) -> Experience:
        """All of it. Reads the near misses from the file."""
        return Experience(
            self.learnt(), self._known.visits, self.all_votes, tuple(self.near_misses())
        )

    def near_misses(self) -> list[dict[str, Any]]:
        """Those that are kept, the oldest first, as `overview.near_misses_of`: from the file."""
        if self._file is not None:
            with suppress(sqlite3.Error):  # it is told elsewhere that the file can't be read
                return near_misses_of(self._file)
        return []

    def of_camera(self, camera: str) -> str:
        """All that was learnt of a camera, as text for `take_over` on another machine; without near
        misses, whose pictures stay here."""
        return self._known.of_camera(camera)

    def take_over(self, text: str) -> None:
        """Continue with what another machine has learnt of a camera, in place of what is known of
        it here. Call before the camera runs. Raises NotUnderstood, and changes nothing then."""
        self._tasks.put(self._known.take_over(text))

    # --- in the thread `learning` -----------------------------------------------------------------

    def _run(self) -> None:
        next_save = time.monotonic() + SAVE_SECONDS
        while True:
            try:
                task = self._tasks.get(timeout=max(0.0, next_save - time.monotonic()))
            except queue.Empty:
                pass
            else:
                self._guarded(task)
            self._guarded(self._album.clean_if_due)
            if time.monotonic() >= next_save:
                next_save = time.monotonic() + SAVE_SECONDS
                self._guarded(self._save)
            if self._stopping.is_set() and self._tasks.empty():
                break
        self._guarded(self._save)
        self._known.close()

    def _guarded(self, task: Callable[[], None]) -> None:
        """What is learnt is worth less than the alerts: whatever fails here stays here."""
        try:
            task()
        except Exception as error:
            log.debug("the learning thread failed", exc_info=True)
            log.error("what was just seen is not learnt (%s)", reason(error))

    def _offer(self, task: Callable[[], None]) -> None:
        """Queue what may be left out where too much comes."""
        if self._tasks.qsize() < MOST_WAITING:
            self._tasks.put(task)
            return
        self._left_out += 1
        if self._left_out == 1:
            log.warning("more comes than can be learnt; some of it is left out")

    def _take_near_miss(self, miss: NearMiss) -> None:
        kept, path = self._album.keep(miss)
        if kept:
            self._on_near_miss(miss, path)

    def _teach(
        self,
        which: str | tuple[str, str],
        right: bool,
        then: Callable[[Lesson | StreamwatchError], None],
    ) -> None:
        try:
            lesson = self._taken(which, right)
        except StreamwatchError as error:
            then(error)
            return
        then(lesson)
        self._tell_if_other()

    def _taken(self, which: str | tuple[str, str], right: bool) -> Lesson:
        """Raises StreamwatchError where there is no such visit."""
        visit = self._visit(which)
        before, gone = self._known.vote(Vote(visit, right, self._now().timestamp()))
        remarks = []
        if before is not None:
            remarks.append(
                f"it was taught {_said(right)} already"
                if before.right == right
                else f"it was taught {_said(before.right)} before; now it is {_said(right)}"
            )
        if visit.vector is None:
            remarks.append(
                "no second look was taken at the whole of it, so its crop is not learnt, only how"
                " sure it was"
            )
        if gone:
            remarks.append(f"the oldest of more than {MOST_VOTES} was forgotten for it")
        if self._known.failing:
            remarks.append("it can't be saved and would be lost at a restart")
        return Lesson(visit, right, tuple(remarks))

    def _visit(self, which: str | tuple[str, str]) -> ToldVisit:
        if isinstance(which, str):
            if (found := self._known.visit(which)) is not None:
                return found
            raise StreamwatchError(
                f"there is no alert {which}; the newest {MOST_VISITS} of each camera and watch can"
                " be taught"
            )
        camera, watch = which
        if watch not in self._config.watches or camera not in self._config.cameras:
            unknown = watch if watch not in self._config.watches else camera
            noun = "watches" if unknown == watch else "cameras"
            raise StreamwatchError(f"{unknown} is none of the {noun}")
        if (found := self._known.newest_visit(camera, watch)) is not None:
            return found
        raise StreamwatchError(f"there was no alert of {watch} on {camera} yet")

    def _forget(self, id: str, then: Callable[[StreamwatchError | None], None]) -> None:
        if not self._known.forget_vote(id):
            then(StreamwatchError(f"nothing was taught of {id}"))
            return
        then(None)
        self._tell_if_other()

    def _tell_if_other(self) -> None:
        now = self.suggestions()
        if now != self._suggested:
            self._suggested = now
            self._on_change()

    # --- the configuration's subjects -------------------------------------------------------------

    def _all_subjects(self) -> set[Subject]:
        return {subject for of_watch in subjects(self._config).values() for subject in of_watch}

    def _forget_former(self) -> None:
        self._known.forget_former(self._all_subjects())

    def _recall(self, found: Contents) -> None:
        self._album.recall(found.days)

    def _write(self, write: Callable[[Store], None]) -> bool:
        return self._known.write(write)

    def _save(self) -> None:
        self._known.save()
        self._tell_if_other()


def _said(right: bool) -> str:
    return "right" if right else "wrong"
