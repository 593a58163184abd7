"""Takes over edits of the configuration file, and of commands, while the daemon runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from streamwatch.config import (
    Amend,
    Config,
    Edit,
    Put,
    Remove,
    SavedFile,
    SavedPictures,
    SeenPictures,
    Switch,
    keep_last_good,
    load,
    load_last_good,
    located,
    text_of,
    with_picture,
)
from streamwatch.config import persist as save
from streamwatch.daemon.changing import Applied, Changing, Outcome, Then, differences
from streamwatch.errors import ConfigError, StreamwatchError, UnavailableSetting, foreseen
from streamwatch.logs import Seldom
from streamwatch.pipeline.texts import texts_of_watch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Followed:
    """The file that a configuration came from, and its content.

    `seen` are its pictures, as they were. With an `error` the content is wrong, and the last good
    configuration runs instead.
    """

    path: Path
    text: str
    seen: SeenPictures
    error: ConfigError | None = None


def start(path: Path, *, last_good: bool) -> tuple[Config, Followed]:
    """The configuration to start with: the file's or, with `last_good`, the last that was right.

    Raises ConfigError.
    """
    text = ""
    seen: SeenPictures = {}
    try:
        text = text_of(path)
        return load(path, text, seen=seen), Followed(path, text, seen)
    except ConfigError as error:
        kept = load_last_good(path) if last_good else None
        if kept is None:
            raise
        return kept, Followed(path, text, seen, error)


class Reloading(Changing):
    """Follows the configuration file, which it looks at before each command.

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
        super().__init__(config, followed.path, apply=apply, unknown=unknown, encode=encode)
        self._path = followed.path
        self._text = followed.text
        self._file = SavedFile(followed.path)
        self._pictures = SavedPictures(followed.seen)
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
        self._asked_to_read = False
        self._say_not_kept = Seldom(log, logging.WARNING)

    def request(self) -> None:
        """Read the file again; from any thread, and from a signal handler."""
        self._asked_to_read = True  # a queue's lock may be held by what the signal interrupts

    # From here on everything is for the thread `reload` alone.

    def reload(self, then: Then | None = None) -> None:
        """Read the file again and apply it, with the edits of commands that still fit.

        `then` is called with the outcome, if a command asks for it; that it is still wrong is told
        nobody else.
        """
        noticed = time.monotonic()
        self._attempts += 1
        attempt = self._attempts
        seen: SeenPictures = {}

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
            config, edits = self._with_fitting_edits(text, seen)
            unknown = frozenset(self._unknown(config))
            changes = differences(self._running, config)
            applied = self._located(config, unknown, text)
        except Exception as error:
            done(Outcome(error=foreseen(error)))
            return
        finally:  # what is wrong may be a picture that has not come yet
            self._pictures.follow(seen)
        self._text, self._edits, self._waiting = text, edits, unknown
        if applied.changes or not unknown:
            self._say_is_live(applied, noticed, log.info if then is None else self._say_live)
        if not unknown:
            done(Outcome(changes))
            return
        go_on = partial(self._file_is_encoded, changes, noticed, done)
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

    def show(self, watch: str, picture: Mapping[str, object], *, persist: bool, then: Then) -> None:
        """Give a watch one picture more, as `edit` does; it is added if there is none. Raises
        ConfigError."""
        edit = with_picture(self._path, self._text, self._edits, watch, picture)
        self.edit(edit, persist=persist, then=then)

    def _put(
        self,
        edit: Edit,
        noticed: float,
        then: Then,
        changes: tuple[str, ...] | None = None,
    ) -> None:
        """Apply an edit on top of the file, as soon as its prompts are encoded.

        `changes` are what it changed of what ran when it was asked for, where it has waited since.
        """
        seen: SeenPictures = {}
        try:
            config = load(self._path, self._text, [*self._edits, edit], seen=seen)
            if changes is None:
                changes = differences(self._running, config)
            unknown = frozenset(self._unknown(config))
            own = unknown - self._waiting
            if edit.section == "watches" and edit.name in config.watches:
                own |= unknown & {*texts_of_watch(config.watches[edit.name])}
            if own:
                go_on = partial(self._put, edit, noticed, then, changes)
                self._wait(own, config, go_on, then, self._say_waiting)
                return
            applied = self._located(config, unknown, self._text)
        except Exception as error:
            then(Outcome(error=foreseen(error)))
            return
        self._pictures.follow(seen)
        self._edits = self._condensed(edit, config)
        self._say_is_live(applied, noticed, self._say_live)
        then(Outcome(changes))

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

    def _file_is_encoded(self, changes: tuple[str, ...], noticed: float, done: Then) -> None:
        """Apply what the file has waited for; it may have been saved again since, and perhaps that
        put all of it into force already."""
        try:
            config = load(self._path, self._text, self._edits)
            self._waiting = frozenset(self._unknown(config))
            applied = self._located(config, self._waiting, self._text)
        except Exception as error:
            done(Outcome(error=foreseen(error)))
            return
        self._say_is_live(applied, noticed, log.info)
        done(Outcome(changes))

    def _located(self, config: Config, unknown: Collection[str], text: str) -> Applied:
        """Put it into force; `text` is the file's, to place a mistake in."""
        try:
            return self._put_into_force(config, unknown)
        except UnavailableSetting as error:
            raise located(error, self._path, text) from error

    def _begin(self) -> None:
        if self._differs():  # it was saved while the daemon was starting, or is being saved now
            self._file.look_again()

    def _look(self) -> None:
        now = time.monotonic()
        saved = self._file.saved(now)
        saved |= self._pictures.saved(now)
        if saved or self._asked_to_read:
            self._asked_to_read = False
            self.reload()
        if self._file.cut_off != self._cut_off:
            self._cut_off = self._file.cut_off
            self._on_cut_off(self._cut_off)

    def _with_fitting_edits(self, text: str, seen: SeenPictures) -> tuple[Config, list[Edit]]:
        """The file with the edits of commands that still fit it, and those. Raises ConfigError if
        the file is wrong."""
        config = load(self._path, text, seen=seen)
        if not self._edits:
            return config, []
        with suppress(ConfigError):
            return load(self._path, text, self._edits, seen=seen), [*self._edits]
        fitting: list[Edit] = []
        for edit in self._edits:
            try:
                config = load(self._path, text, [*fitting, edit], seen=seen)
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
