"""The command `tune`: what was learnt of each watch, and what to make of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamwatch.cli import output
from streamwatch.cli.endings import asking_the_daemon_of, fail
from streamwatch.cli.options import ConfigOption, JsonOption
from streamwatch.errors import StreamwatchError

if TYPE_CHECKING:
    from streamwatch.config import Config


def tune(
    watches: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WATCH]...", help="Which to show; all where left out."),
    ] = None,
    config: ConfigOption = None,
    apply: Annotated[
        str | None,
        typer.Option(
            "--apply",
            metavar="WATCH",
            help="Write what is suggested for this watch, its `confidence` or its `not`, into the "
            "configuration.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how sure each watch was of what it saw, and which threshold would be better.

    From the running daemon, or from what it left on the disk. Exit codes: 0 done; 1 the
    configuration is wrong; 3 nothing is suggested that could be applied, or it can't be read or
    written.
    """
    from rich.console import Console

    from streamwatch.cli import tune_screen
    from streamwatch.cli.terminal_pictures import TerminalPictures
    from streamwatch.config import did_you_mean, find, listing, load

    try:
        path = find(config)
        settings = load(path)
        known = settings.watches
        for name in (*(watches or ()), *([] if apply is None else [apply])):
            if name not in known:
                hint = did_you_mean(name, known)
                there = f"; there are {listing(known, 'and')}" if known else ""
                raise typer.BadParameter(f"there is no watch {name}{hint or there}")
        with asking_the_daemon_of(path):
            found = learnt(path, settings)
        if apply is not None:
            for change in applied(path, settings, apply, found):
                output.say(change)
            return
    except StreamwatchError as error:
        fail(error)
    if watches:
        found["watches"] = {
            name: each for name, each in found["watches"].items() if name in watches
        }
        found["together"] = [pair for pair in found["together"] if pair["watch"] in watches]
    if as_json:
        output.print_json(found)
        return
    console = Console(highlight=False)
    tune_screen.show(found, console, TerminalPictures(console, wanted=None))


def learnt(path: Path, settings: Config) -> dict[str, Any]:
    """All that the daemon of this configuration has learnt, whether it runs or not.

    Raises StreamwatchError, and what `socket.ask` raises.
    """
    from streamwatch.cli.taught import file_of
    from streamwatch.databases import reason
    from streamwatch.learning.overview import Experience, near_misses_of, overview
    from streamwatch.paths import state_file, status_sockets
    from streamwatch.status import socket

    found = socket.learnt(status_sockets(path))
    if found is not None:
        return found
    with file_of(path) as store:
        if store is None:
            return overview(settings, Experience())
        contents = store.load()
    file = state_file("learnt", path, ".sqlite3")
    try:
        rows = near_misses_of(file)
    except sqlite3.Error as error:
        raise StreamwatchError(f"{file} can't be read ({reason(error)})") from error
    known = Experience(contents.learnt, contents.visits, contents.votes, rows)
    return overview(settings, known)


@dataclass(frozen=True, slots=True)
class Suggested:
    """What would be better for a watch: another `confidence`, and more words of `not`."""

    confidence: float | None
    not_: tuple[str, ...]


def suggested_for(watch: str, found: Mapping[str, Any]) -> Suggested:
    """From what `learnt` gives."""
    of_watch = found["watches"].get(watch)
    if of_watch is None:
        return Suggested(None, ())
    in_force = {camera["confidence"] for camera in of_watch["cameras"].values()}
    confidence = of_watch["suggested"]
    if of_watch["learns"] or in_force == {confidence}:
        confidence = None
    settled = (pair["settled_by"] for pair in found["together"] if pair["watch"] == watch)
    return Suggested(confidence, tuple(dict.fromkeys(word for word in settled if word)))


def applied(path: Path, settings: Config, watch: str, found: Mapping[str, Any]) -> list[str]:
    """Write what is suggested for a watch into the file; returns what was written, in sentences.

    The daemon takes it from there, as any edit. Raises StreamwatchError.
    """
    from streamwatch.config import Edit, Put, as_list, listing, persist, written_watch

    better = suggested_for(watch, found)
    if better == Suggested(None, ()):
        raise StreamwatchError(f"nothing is suggested for {watch} yet; `streamwatch tune` says why")
    entry = dict(written_watch(path, watch))
    said = []
    if better.confidence is not None:
        entry["confidence"] = better.confidence
        was = settings.confidence_of(watch)
        said.append(f"{path}: watches.{watch}.confidence is {better.confidence:g} now, was {was:g}")
    if better.not_:
        entry["not"] = [*as_list(entry.get("not") or ()), *better.not_]
        said.append(f"{path}: watches.{watch}.not has {listing(better.not_, 'and')} now too")
    persist(path, [Edit("watches", watch, Put(entry))])
    return said
