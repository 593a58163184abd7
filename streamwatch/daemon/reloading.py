"""Takes over edits of the configuration file, and of commands, while the daemon runs."""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from streamwatch.config import (
    POLL_SECONDS,
    Amend,
    Config,
    Edit,
    Put,
    Remove,
    SavedFile,
    Switch,
    keep_last_good,
    listing,
    load,
    load_last_good,
    located,
    text_of,
)
from streamwatch.config import persist as save
from streamwatch.errors import ConfigError, Problem, StreamwatchError, UnavailableSetting, foreseen
from streamwatch.logs import Seldom
from streamwatch.pipeline.texts import texts_of_watch
from streamwatch.prompts.embeddings import other_vectors

log = logging.getLogger(__name__)

SHOWN = 5
"""So many prompts are named in the log."""
MOST_COMMANDS = 32
"""Most commands that wait for the thread."""
_OWN, _COMMANDS = 0, 1
"""What is queued, in the order in which it is done."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a configuration changed, in words, and when it was live, in monotonic seconds."""

    changes: tuple[str, ...]
    live_at: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a reload; with an `error` nothing was changed."""

    changes: tuple[str, ...] = ()
    error: StreamwatchError | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.error.problems if isinstance(self.error, ConfigError) else ()


@dataclass(frozen=True, slots=True)
class Followed:
    """The file that a configuration came from, and its content.

    With an `error` the content is wrong, and the last good configuration runs instead.
    """

    path: Path
    text: str
    error: ConfigError | None = None


def start(path: Path, *, last_good: bool) -> tuple[Config, Followed]:
    """The configuration to start with: the file's or, with `last_good`, the last that was right.

    Raises ConfigError.
    """
    text = ""
    try:
        text = text_of(path)
        return load(path, text), Followed(path, text)
    except ConfigError as error:
        kept = load_last_good(path) if last_good else None
        if kept is None:
            raise
        return kept, Followed(path, text, error)


Then = Callable[[Outcome], None]
"""What to call with the outcome."""


class Reloading:
    """Follows the configuration file in a thread of its own, `reload`, and does what it is asked.

    The thread never waits for a text encoder or a camera: what needs vectors of new prompts takes
    effect when they are made, and everything else meanwhile. The file is looked at before each
    command, and what goes on after waiting comes before new commands.

    `apply` applies a configuration, or raises StreamwatchError and changes nothing. `unknown` gives
    the prompts whose vectors it would have to wait for, and `encode` starts making them.
    `on_outcome` is called with each outcome of a reload, and `on_cut_off` when saves of the file
    can't be seen any more, or can again. All are called in the thread.
    """

    def __init__(
        self,
        config: Config,
        followed: Followed,
        *,
        apply: Callable[[Config], Applied],
        unknown: Callable[[Config], Sequence[str]],
        encode: Callable[[Sequence[str], Config], Future[Any]],
        on_outcome: Callable[[Outcome], None],
        on_cut_off: Callable[[bool], None],
    ) -> None:
        self._running = config
        self._path = followed.path
        self._text = followed.text
        self._file = SavedFile(followed.path)
        self._apply = apply
        self._unknown = unknown
        self._encode = encode
        self._on_outcome = on_outcome
        self._on_cut_off = on_cut_off
        self._cut_off = False
        self._edits: list[Edit] = []
        """Edits by commands, applied on top of the file."""
        self._attempts = 0
        """To read the file: only the newest says whether it is right."""
        self._waiting: frozenset[str] = frozenset()
        """The prompts of the file whose vectors are being made."""
        self._told = ""
        """The error of the file that was reported last, as long as it lasts."""
        self._tasks: queue.PriorityQueue[tuple[int, int, Callable[[], object]]] = (
            queue.PriorityQueue()
        )
        self._commands = 0
        """How many commands wait."""
        self._commands_lock = threading.Lock()
        self._asked_to_read = False
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._say_live = Seldom(log, logging.INFO)
        self._say_waiting = Seldom(log, logging.INFO)
        self._say_not_kept = Seldom(log, logging.WARNING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        self.turned_at = time.monotonic()
        """When the thread turned last, or fetched more of a model, in monotonic seconds."""
        self.failure: Exception | None = None

    def start(self) -> None:
        self.turned_at = time.monotonic()
        self._thread.start()

    def request_stop(self) -> None:
        """Take no more requests; does not wait for the present one."""
        self._stopping.set()

    def request(self) -> None:
        """Read the file again; from any thread, and from a signal handler."""
        self._asked_to_read = True  # a queue's lock may be held by what the signal interrupts

    def do(self, task: Callable[[], object]) -> None:
        """Queue a task for the thread; from any thread. The task must not block."""
        self._tasks.put((_OWN, next(self._numbers), task))

    def offer(self, command: Callable[[], object]) -> bool:
        """Queue a command behind everything else; from any thread. False if too many wait."""
        with self._commands_lock:
            if self._commands >= MOST_COMMANDS:
                return False
            self._commands += 1

        def take() -> None:
            with self._commands_lock:
                self._commands -= 1
            command()

        self._tasks.put((_COMMANDS, next(self._numbers), take))
        return True

    # From here on everything is for the thread `reload` alone.

    def later(self, seconds: float, task: Callable[[], object]) -> None:
        """Run a task after this many seconds."""
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), task))

    def reload(self, then: Then | None = None) -> None:
        """Read the file again and apply it, with the edits of commands that still fit.

        `then` is called with the outcome, if a command asks for it; that it is still wrong is told
        nobody else.
        """
        noticed = time.monotonic()
        self._attempts += 1
        attempt = self._attempts

        def done(outcome: Outcome) -> None:
            error = "" if outcome.error is None else str(outcome.error)
            if attempt == self._attempts:
                if then is None or not error or error != self._told:
                    self._on_outcome(outcome)
                self._told = error
                if not error:
                    keep(self._path, self._text, self._say_not_kept)
            if then is not None:
                then(outcome)

        try:
            text = text_of(self._path)
            config, edits = self._with_fitting_edits(text)
            unknown = frozenset(self._unknown(config))
            applied = self._put_into_force(config, unknown, text)
        except Exception as error:
            done(Outcome(error=foreseen(error)))
            return
        self._text, self._edits, self._waiting = text, edits, unknown
        say = log.info if then is None else self._say_live
        if not unknown:
            done(self._live(applied, noticed, say))
            return
        if applied.changes:
            self._live(applied, noticed, say)
        go_on = partial(self._file_is_encoded, noticed, done)
        self._wait(unknown, config, go_on, done, log.info if then is None else self._say_waiting)

    def edit(self, edit: Edit, *, persist: bool, then: Then) -> None:
        """Apply an edit: until the daemon ends or, with `persist`, in the file."""
        if not persist:
            self._put(edit, time.monotonic(), then)
            return
        try:
            save(self._path, [edit])
        except Exception as error:
            then(Outcome(error=foreseen(error)))
            return
        self._edits = [held for held in self._edits if not is_outdone(held, edit)]
        self.reload(then)

    def _put(self, edit: Edit, noticed: float, then: Then) -> None:
        """Apply an edit on top of the file, as soon as its prompts are encoded."""
        try:
            config = load(self._path, self._text, [*self._edits, edit])
            unknown = frozenset(self._unknown(config))
            own = unknown - self._waiting
            if edit.section == "watches" and edit.name in config.watches:
                own |= unknown & {*texts_of_watch(config.watches[edit.name])}
            if own:
                go_on = partial(self._put, edit, noticed, then)
                self._wait(own, config, go_on, then, self._say_waiting)
                return
            applied = self._put_into_force(config, unknown, self._text)
        except Exception as error:
            then(Outcome(error=foreseen(error)))
            return
        self._edits = self._condensed(edit, config)
        then(self._live(applied, noticed, self._say_live))

    def _condensed(self, edit: Edit, config: Config) -> list[Edit]:
        """The edits with one more, without those that it replaces, so that they don't pile up.

        `config` is what they lead to.
        """
        if isinstance(edit.change, Remove):
            same = (edit.section, edit.name)
            others = [held for held in self._edits if (held.section, held.name) != same]
            # What an edit had added need not be removed; what the file holds must be.
            for fewer in (others, [*others, edit]):
                with suppress(ConfigError):
                    if load(self._path, self._text, fewer) == config:
                        return fewer
            return [*self._edits, edit]
        if isinstance(edit.change, Put):
            edit = replace(edit, change=replace(edit.change, new=False))
        return [*(held for held in self._edits if not is_outdone(held, edit)), edit]

    def _file_is_encoded(self, noticed: float, done: Then) -> None:
        """Apply what the file has waited for; it may have been saved again since."""
        try:
            config = load(self._path, self._text, self._edits)
            self._waiting = frozenset(self._unknown(config))
            applied = self._put_into_force(config, self._waiting, self._text)
        except Exception as error:
            done(Outcome(error=foreseen(error)))
            return
        done(self._live(applied, noticed, log.info))

    def _wait(
        self,
        prompts: Collection[str],
        config: Config,
        go_on: Callable[[], None],
        then: Then,
        say: Callable[..., None],
    ) -> None:
        """Have prompts encoded, then call `go_on`, or `then` with the error."""
        names = sorted(prompts)
        say(
            "%s: %s: waiting for the text encoder to read %s",
            self._path,
            ", ".join(differences(self._running, config)),
            listing([f"'{name}'" for name in names[:SHOWN]], "and")
            + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""),
        )

        def encoded(done: Future[Any]) -> None:
            try:
                done.result()
            except CancelledError:  # the daemon is stopping
                return
            except Exception as error:
                then(Outcome(error=foreseen(error)))
            else:
                go_on()

        future = self._encode(names, config)
        future.add_done_callback(lambda done: self.do(partial(encoded, done)))

    def _put_into_force(self, config: Config, unknown: Collection[str], text: str) -> Applied:
        """Apply all but what waits for the vectors of `unknown` prompts.

        `text` is the file's, to place a mistake in.
        """
        now = self._meanwhile(config, unknown)
        try:
            applied = self._apply(now)
        except UnavailableSetting as error:
            raise located(error, self._path, text) from error
        self._running = now
        return applied

    def _meanwhile(self, config: Config, unknown: Collection[str]) -> Config:
        """The configuration, but watches with `unknown` prompts stay as they are now."""
        if not unknown:
            return config
        if other_vectors(self._running.detector, config.detector):
            config = config.model_copy(update={"detector": self._running.detector})
            unknown = self._unknown(config)
        watches = {
            name: watch
            if not {*unknown}.intersection(texts_of_watch(watch))
            else self._running.watches.get(name)
            for name, watch in config.watches.items()
        }
        return config.model_copy(
            update={"watches": {name: watch for name, watch in watches.items() if watch}}
        )

    def _run(self) -> None:
        try:
            if self._differs():  # it was saved while the daemon was starting
                self.reload()
            while not self._stopping.is_set():
                self._turn()
        except Exception as error:
            log.debug("the reloading thread failed", exc_info=True)
            self.failure = error

    def _turn(self) -> None:
        self.turned_at = time.monotonic()
        if self._file.saved(time.monotonic()) or self._asked_to_read:
            self._asked_to_read = False
            self.reload()
        if self._file.cut_off != self._cut_off:
            self._cut_off = self._file.cut_off
            self._on_cut_off(self._cut_off)
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()
        with suppress(queue.Empty):
            self._tasks.get(timeout=POLL_SECONDS)[2]()

    def _live(self, applied: Applied, noticed: float, say: Callable[..., None]) -> Outcome:
        say(
            "%s: live after %.0f ms: %s",
            self._path,
            (applied.live_at - noticed) * 1000,
            ", ".join(applied.changes) or "nothing changed",
        )
        return Outcome(applied.changes)

    def _with_fitting_edits(self, text: str) -> tuple[Config, list[Edit]]:
        """The file with the edits of commands that still fit it, and those. Raises ConfigError if
        the file is wrong."""
        config = load(self._path, text)
        if not self._edits:
            return config, []
        with suppress(ConfigError):
            return load(self._path, text, self._edits), [*self._edits]
        fitting: list[Edit] = []
        for edit in self._edits:
            try:
                config = load(self._path, text, [*fitting, edit])
            except ConfigError as error:
                log.warning("an earlier command does not go with the file any more: %s", error)
            else:
                fitting.append(edit)
        return config, fitting

    def _differs(self) -> bool:
        try:
            return text_of(self._path) != self._text
        except ConfigError:
            return self._text != ""


def is_outdone(held: Edit, by: Edit) -> bool:
    """Whether a later edit replaces an earlier one."""
    same = (held.section, held.name) == (by.section, by.name)
    if isinstance(held.change, Switch) and isinstance(by.change, Amend):
        return same and "enabled" in by.change.values
    return same and (isinstance(held.change, Switch) or not isinstance(by.change, Switch))


def keep(path: Path, text: str, say: Callable[..., None] = log.warning) -> None:
    """Keep the file for `run --last-good`; an error is only logged."""
    try:
        keep_last_good(path, text)
    except (OSError, StreamwatchError) as error:
        say("the last good configuration can't be kept: %s", error)


_SECTIONS = (
    *("mqtt", "detector", "snapshots", "near_misses", "notify", "http", "timezone", "log"),
)


def differences(before: Config, now: Config) -> tuple[str, ...]:
    """What changed, in words: `watch bag changed`, `camera porch added`."""
    found: list[str] = []
    for word, old, new in (
        ("camera", before.cameras, now.cameras),
        ("watch", before.watches, now.watches),
    ):
        found += (f"{word} {name} removed" for name in old if name not in new)
        found += (f"{word} {name} added" for name in new if name not in old)
        found += (
            f"{word} {name} changed" for name in new if name in old and old[name] != new[name]
        )
    for section in _SECTIONS:
        if getattr(before, section) != getattr(now, section):
            found.append(f"{section} changed")
    return tuple(found)
