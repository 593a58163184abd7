"""What `streamwatch alerts` prints: a line for each alert, or its JSON.

Payloads are others' texts: nothing in them reaches a terminal as a command to it.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

import typer
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamwatch.cli.terminal_pictures import TerminalPictures

MOST_CHARACTERS = 200
"""Of a text that is shown: as many as the configuration allows for a prompt."""
JOINERS = "\u200c\u200d"
"""Invisible, harmless, and a part of words and emoji."""
LONGEST_NAME = 20
"""Cells of a camera's or watch's name in a wide terminal."""
PICTURE_CELLS = 48
KINDS = {"new": "bold green", "update": "dim", "end": "yellow"}
REASONS = {
    "left": "left",
    "lost": "the camera gave no more frames",
    "removed": "removed from the configuration",
    "changed": "its watch was changed",
    "disabled": "disabled",
    "shutdown": "the daemon was stopped",
    "restart": "not there any more after a restart",
}


def _shown_here(moment: datetime) -> datetime:
    try:
        moment.astimezone()
    except OverflowError as error:
        raise ValueError("no local time has a year for it") from error
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_shown_here)]


class Alert(BaseModel):
    """The part of an event that is shown; how it looks as a whole is told in docs/mqtt.md."""

    model_config = ConfigDict(frozen=True)
    id: str
    sequence: int
    type: Literal["new", "update", "end"]
    camera: str
    watch: str
    prompt: str
    confidence: float
    best_confidence: float
    zones: tuple[str, ...] = ()
    captured_at: Moment
    started_at: Moment
    ended_at: Moment | None = None
    published_at: Moment
    reason: str | None = None
    continues: str | None = None
    delayed: bool = False
    snapshot: str | None = None

    @property
    def told_at(self) -> datetime:
        """When what it tells happened, in the local time zone."""
        moments = {"new": self.started_at, "update": self.captured_at, "end": self.ended_at}
        return (moments[self.type] or self.captured_at).astimezone()


class ToldClip(BaseModel):
    """The part of what is told of a clip that is shown."""

    model_config = ConfigDict(frozen=True)
    id: str
    path: str | None
    seconds: float
    complete: bool
    reason: str | None = None


def clip_sentence(clip: ToldClip, camera: str, watch: str) -> str:
    """`clip of porch parcel, 21.2 s: /var/…/….mp4`."""
    of, why = f"{clean(camera)} {clean(watch)}", clean(clip.reason or "")
    if clip.path is None:
        return f"no clip of {of}: {why}"
    # Not cut, so that it can be copied.
    return f"clip of {of}, {clip.seconds:.1f} s{f' ({why})' if why else ''}: {clip.path}"


class JsonLines:
    """Each event as it came, one a line, on stdout; all else on stderr."""

    def __init__(self) -> None:
        is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        self._ensure_ascii = not is_utf8

    def alert(self, _alert: Alert, fields: dict[str, Any], _jpeg: bytes | None) -> None:
        line = json.dumps(fields, ensure_ascii=self._ensure_ascii)
        # JSON may hold such characters only within texts, and there its escapes mean the same.
        sys.stdout.write("".join(map(_escaped_for_json, line)) + "\n")
        sys.stdout.flush()

    def say(self, sentence: str, _style: str = "", /) -> None:
        typer.echo(f"streamwatch: {_escaped(sentence)}", err=True)


class AlertConsole(Console):
    """Leaves a broken pipe to the command, for it to end as one that is done."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class AlertLines:
    """A line for each alert; in a terminal in columns, with a picture below it where it can."""

    def __init__(self, console: Console, pictures: TerminalPictures, *, verbose: bool) -> None:
        self._console = console
        self._pictures = pictures
        self._verbose = verbose
        self._day: date | None = None
        self._is_begun = False

    def alert(self, alert: Alert, _fields: dict[str, Any], jpeg: bytes | None) -> None:
        if alert.type == "update" and not self._verbose:
            return
        self._print(alert)
        if jpeg is not None and alert.type == "new" and self._pictures.able:
            try:
                picture = self._pictures.shown(jpeg, min(PICTURE_CELLS, self._console.width // 2))
            except ValueError:
                return
            self._console.print(picture)

    def say(self, sentence: str, style: str = "", /) -> None:
        """A line about the broker or the daemon rather than an alert."""
        text = Text(_escaped(sentence), style=style)
        now = datetime.now().astimezone()
        if self._console.is_terminal:
            self._begin_day(now)
            row = Table.grid(padding=(0, 2, 0, 0))
            row.add_column(width=8)
            row.add_column()
            row.add_row(Text(f"{now:%H:%M:%S}"), text)
            self._console.print(row)
        else:
            self._console.print(Text(f"{now:%Y-%m-%d %H:%M:%S}  ") + text, soft_wrap=True)

    def _print(self, alert: Alert) -> None:
        moment = alert.told_at
        best = alert.best_confidence if alert.type == "end" else alert.confidence
        names = clean(alert.camera), clean(alert.watch)
        sure = f"{min(max(best, 0.0), 1.0):.0%}"
        notes = clean(", ".join(_notes(alert)))
        what = Text.assemble(clean(alert.prompt), (f": {notes}" if notes else "", "dim"))
        if not self._console.is_terminal:
            cells = [f"{moment:%Y-%m-%d %H:%M:%S}", f"{alert.type:6}", *names, f"{sure:>4}"]
            self._console.print(Text("  ".join(cells) + "  ") + what, soft_wrap=True)
            return
        if not self._is_begun:
            self._is_begun = True
            headings = ("time", "", "camera", "watch", "sure", "what")
            self._row(*(Text(heading, style="dim") for heading in headings))
        self._begin_day(moment)
        kind = Text(alert.type, style=KINDS[alert.type])
        self._row(Text(f"{moment:%H:%M:%S}"), kind, *map(Text, names), Text(sure), what)

    def _begin_day(self, moment: datetime) -> None:
        """Print the date, where it is not that of the line before."""
        if moment.date() != self._day:
            self._day = moment.date()
            self._console.print(Text(f"{self._day:%Y-%m-%d}", style="dim"))

    def _row(self, *cells: Text) -> None:
        """Names that are too long are cut; the last column is broken between words."""
        kind = 6 if self._verbose else 3
        left = self._console.width - (8 + kind + 4) - 5 * 2
        name = max(min(left * 27 // 100, LONGEST_NAME), 4)
        row = Table.grid(padding=(0, 2, 0, 0))
        for width in (8, kind, name, name):
            row.add_column(width=width, no_wrap=True, overflow="ellipsis")
        row.add_column(width=4, no_wrap=True, justify="right")
        row.add_column(width=max(left - 2 * name, 8))
        row.add_row(*cells)
        self._console.print(row)


def _notes(alert: Alert) -> list[str]:
    notes = []
    if alert.delayed:
        notes.append(f"late by {_duration(alert.published_at - alert.captured_at)}")
    if alert.type == "end":
        if alert.ended_at is not None:
            notes.append(f"after {_duration(alert.ended_at - alert.started_at)}")
        if alert.reason is not None:
            notes.append(REASONS.get(alert.reason, alert.reason))
    else:
        if alert.continues is not None and alert.type == "new":
            notes.append("still there after a restart")
        if alert.zones:
            notes.append(f"in {' and '.join(alert.zones)}")
    return notes


def _duration(span: timedelta) -> str:
    """Of its two largest units: `24 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    seconds = max(round(span.total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def clean(text: str) -> str:
    """One line, cut, of which a terminal takes nothing for a command to it."""
    return _escaped(text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…")


def _escaped(text: str) -> str:
    return "".join(map(_escaped_character, text))


def _escaped_character(char: str) -> str:
    if char.isprintable() or char in JOINERS:
        return char
    if unicodedata.category(char) == "Zs":
        return " "
    return char.encode("unicode_escape").decode()


def _escaped_for_json(char: str) -> str:
    """C0 are escaped in JSON already; C1 begin commands to a terminal too."""
    return f"\\u{ord(char):04x}" if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char
