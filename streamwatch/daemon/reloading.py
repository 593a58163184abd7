"""The one way by which a running daemon gets another configuration."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamwatch.config import (
    POLL_SECONDS,
    Config,
    Edit,
    Put,
    Remove,
    SavedFile,
    Switch,
    keep_last_good,
    load,
    load_last_good,
    located,
    text_of,
)
from streamwatch.config import persist as save
from streamwatch.errors import ConfigError, Problem, StreamwatchError, UnavailableSetting

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a configuration changed, in words, and when that was live, in monotonic seconds."""

    changes: tuple[str, ...]
    live_at: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a reload; with a `error` everything runs on as it did."""

    changes: tuple[str, ...] = ()
    error: StreamwatchError | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.error.problems if isinstance(self.error, ConfigError) else ()


@dataclass(frozen=True, slots=True)
class Followed:
    """The file that a configuration came from, and what stood in it.

    With a `error` that was wrong, and the last good configuration runs instead.
    """

    path: Path
    text: str
    error: ConfigError | None = None


def start(path: Path, *, last_good: bool) -> tuple[Config, Followed]:
    """The configuration to begin with: the file's or, with `last_good`, the last that was right.

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


class Reloading:
    """Follows the configuration file in a thread of its own, `reload`, and does what it is asked.

    `apply` puts a configuration into force; it raises StreamwatchError,
    having changed nothing. `tell` is given each outcome. Both are called in the thread.
    """

    def __init__(
        self,
        followed: Followed,
        *,
        apply: Callable[[Config], Applied],
        tell: Callable[[Outcome], None],
    ) -> None:
        self._path = followed.path
        self._text = followed.text
        self._file = SavedFile(followed.path)
        self._apply = apply
        self._tell = tell
        self._edits: list[Edit] = []
        """Of commands, in force beside the file."""
        self._requests: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        self.failure: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    def request_stop(self) -> None:
        """Take no more requests; what is under way ends as it can."""
        self._stopping.set()

    def request(self) -> None:
        """Read the file again; from any thread, and from a signal handler."""
        self._requests.put(self.reload)

    def do(self, task: Callable[[], None]) -> None:
        """Let the thread do this in its turn; from any thread."""
        self._requests.put(task)

    # From here on everything is for the thread `reload` alone.

    def reload(self) -> Outcome:
        """Read the file again, and put what stands there into force with the edits that hold."""
        noticed = time.monotonic()
        try:
            text = text_of(self._path)
            self._edits = self._still_fitting(text)
            applied = self._take_over(text, self._edits)
        except StreamwatchError as error:
            outcome = Outcome(error=error)
            self._tell(outcome)
            return outcome
        outcome = self._live(applied, noticed)
        self._tell(outcome)
        self._text = text
        keep(self._path, text)
        return outcome

    def edit(self, edit: Edit, *, persist: bool) -> Outcome:
        """Put an edit into force: until the daemon ends or, with `persist`, in the file."""
        noticed = time.monotonic()
        if persist:
            try:
                save(self._path, [edit])
            except StreamwatchError as error:
                return Outcome(error=error)
            self._edits = [held for held in self._edits if not _is_outdone(held, edit)]
            return self.reload()
        try:
            applied = self._take_over(self._text, [*self._edits, edit])
        except StreamwatchError as error:
            return Outcome(error=error)
        self._edits = _condensed(self._edits, edit)
        return self._live(applied, noticed)

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
        try:
            request = self._requests.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if self._file.saved(time.monotonic()):
                self.reload()
        else:
            request()

    def _live(self, applied: Applied, noticed: float) -> Outcome:
        log.info(
            "%s: live after %.0f ms: %s",
            self._path,
            (applied.live_at - noticed) * 1000,
            ", ".join(applied.changes) or "nothing changed",
        )
        return Outcome(applied.changes)

    def _take_over(self, text: str, edits: Sequence[Edit]) -> Applied:
        config = load(self._path, text, edits)
        try:
            return self._apply(config)
        except UnavailableSetting as error:
            raise located(error, self._path, text) from error

    def _still_fitting(self, text: str) -> list[Edit]:
        """The edits that hold and go with what stands in the file now, which is right itself."""
        fitting: list[Edit] = []
        load(self._path, text)
        for edit in self._edits:
            try:
                load(self._path, text, [*fitting, edit])
            except ConfigError as error:
                log.warning("an earlier command does not go with the file any more: %s", error)
            else:
                fitting.append(edit)
        return fitting

    def _differs(self) -> bool:
        try:
            return text_of(self._path) != self._text
        except ConfigError:
            return self._text != ""


def _is_outdone(held: Edit, by: Edit) -> bool:
    """Whether nothing is left of an edit after another one."""
    same = (held.section, held.name) == (by.section, by.name)
    return same and (isinstance(held.change, Switch) or not isinstance(by.change, Switch))


def _condensed(held: Sequence[Edit], edit: Edit) -> list[Edit]:
    """Both, without what makes no difference any more, so that commands don't pile up."""
    if isinstance(edit.change, Remove):
        return [*held, edit]  # what it removes may be known by an earlier one alone
    if isinstance(edit.change, Put):
        edit = replace(edit, change=replace(edit.change, new=False))
    return [*(each for each in held if not _is_outdone(each, edit)), edit]


def keep(path: Path, text: str) -> None:
    """Keep what runs, for `run --last-good`; a disk that is full is no reason to stop."""
    try:
        keep_last_good(path, text)
    except (OSError, StreamwatchError) as error:
        log.warning("the last good configuration can't be kept: %s", error)


def differences(before: Config, now: Config) -> tuple[str, ...]:
    """What changed, in words for people: `watch bag changed`, `camera porch added`."""
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
    for section in ("mqtt", "detector", "snapshots", "http", "timezone", "log"):
        if getattr(before, section) != getattr(now, section):
            found.append(f"{section} changed")
    return tuple(found)
