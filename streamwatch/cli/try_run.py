"""Runs a trial for `streamwatch try`, with a progress bar."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from streamwatch.cli import try_screen
from streamwatch.cli.terminal_pictures import TerminalPictures
from streamwatch.config import Config
from streamwatch.errors import StreamwatchError
from streamwatch.records import Detection, Frame
from streamwatch.tuning.document import document
from streamwatch.tuning.footage import Footage, duration
from streamwatch.tuning.painting import Painter
from streamwatch.tuning.report import report
from streamwatch.tuning.seen import Alert
from streamwatch.tuning.trial import Run, Trial
from streamwatch.tuning.truth import ClipTruth, Truth, read_truth

THUMBNAIL_CELLS = 16
MOST_THUMBNAILS = 6
"""Shown in the terminal for each watch."""
WIDE_COLUMNS = 100


class Trying:
    """A trial on the screen. Implements `trial.Progress`."""

    def __init__(
        self,
        config: Config,
        console: Console,
        out: Path | None,
        *,
        quiet: bool,
        seconds: float | None,
    ) -> None:
        """`out` is the folder for annotated pictures; `quiet` shows no alerts as they come."""
        self._config = config
        self._console = console
        self._quiet = quiet
        self._seconds = seconds
        self._painter = None if out is None else Painter(out)
        self._terminal = TerminalPictures(console, wanted=False if quiet else None)
        self._trial = Trial(config, self)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[done]}"),
            TimeRemainingColumn(),
            console=console if console.is_terminal else Console(stderr=True),
            transient=True,
            disable=not (console.is_terminal or Console(stderr=True).is_terminal),
        )
        self._files: dict[tuple[str, Alert], Path] = {}
        """Where the thumbnails of a watch's alerts are, by the watch and the alert."""

    def run(self, footage: Sequence[Footage], stop: threading.Event) -> None:
        """Look at one after another until `stop` is set. Raises StreamwatchError."""
        with self._bar:
            for each in footage:
                if stop.is_set():
                    break
                total = self._total(each)
                self._task = self._bar.add_task(
                    f"{each.title} (the detector is being loaded)", total=total, done=""
                )
                self._shown = each
                self._trial.run(each, stop, self._seconds)
                if self._painter is not None:
                    self._painter.end()
                self._bar.remove_task(self._task)
        if self._painter is not None:
            self._write_thumbnails(self._painter)

    def document(self, truth: Truth | None) -> dict[str, Any]:
        return document(self._trial, self._config, truth)

    def write_report(self, path: Path, found: Mapping[str, Any]) -> None:
        """`found` is what `document` gives. Raises StreamwatchError."""
        try:
            path.write_text(report(found, self._trial), encoding="utf-8")
        except OSError as error:
            raise StreamwatchError(f"{path} can't be written: {error.strerror}") from None

    def show(self, found: Mapping[str, Any]) -> None:
        """Print the summary, with thumbnails where the terminal can show pictures."""
        try_screen.summary(found, self._console)
        self._show_thumbnails()
        if self._painter is not None and self._painter.written:
            count = len(self._painter.written)
            folder = self._painter.written[0].parent
            noun = "file" if count == 1 else "files"
            self._console.print(f"{count:,} {noun} in {folder}", markup=False, soft_wrap=True)

    # --- being told -------------------------------------------------------------------------------

    def hit(self, watch: str, alert: Alert, /) -> None:
        if self._quiet:
            return
        line = try_screen.hit(
            watch,
            alert.prompt,
            alert.confidence,
            self._place(alert),
            wide=self._console.width >= WIDE_COLUMNS,
        )
        self._console.print(line)

    def frame(self, footage: Footage, frame: Frame, found: Sequence[Detection], /) -> None:
        if self._painter is not None:
            self._painter.frame(footage, frame, found)

    def turn(self, run: Run, /) -> None:
        if run.footage.pictures:
            done: float = run.frames + run.unreadable_count
            said = f"{done:,} of {len(run.footage.pictures):,}"
        else:
            done = run.took_seconds if run.footage.live else run.position
            said = f"{done:.0f} s"
        self._bar.update(self._task, completed=done, done=said, description=run.footage.title)

    def problem(self, footage: Footage, sentence: str, /) -> None:
        if footage.live:
            self._console.print(Text(sentence, style="red"))

    # --- pictures ---------------------------------------------------------------------------------

    def _place(self, alert: Alert) -> str:
        if alert.position is None:
            return try_screen.time_of_day(alert.captured_at)
        place = self._shown.place(alert.position)
        return Path(place).name if self._shown.pictures else place

    def _total(self, footage: Footage) -> float | None:
        if footage.pictures:
            return len(footage.pictures)
        return self._seconds if footage.live else duration(footage)

    def _write_thumbnails(self, painter: Painter) -> None:
        """Those of the alerts in clips and of cameras: an annotated picture has its own."""
        pictures = {run.footage.name for run in self._trial.runs if run.footage.pictures}
        for watch, seen in self._trial.seen.items():
            told = [each for each in seen.alerts[seen.needed] if each.footage not in pictures]
            for number, alert in enumerate(told, 1):
                thumbnail = seen.thumbnails.get(alert)
                if thumbnail is not None:
                    stem = f"{alert.footage}-{watch}-{number}"
                    self._files[watch, alert] = painter.picture(stem, thumbnail)

    def _show_thumbnails(self) -> None:
        """Those of the first alerts of each watch; where the terminal shows none, their files."""
        for watch, seen in self._trial.seen.items():
            told = seen.alerts[seen.needed]
            for alert in [one for one in told if one in seen.thumbnails][:MOST_THUMBNAILS]:
                file = self._files.get((watch, alert))
                caption = Text(f"{watch} {alert.confidence:.2f}", style="dim")
                if file is not None:
                    caption.append(f"  {file}")
                if self._terminal.able:
                    self._console.print(caption, soft_wrap=True)
                    picture = seen.thumbnails[alert]
                    self._console.print(self._terminal.shown(picture, THUMBNAIL_CELLS))
                elif file is not None:
                    self._console.print(caption, soft_wrap=True)


def demand_writable(path: Path) -> None:
    """Raises StreamwatchError now, and not when hours of footage have been looked at."""
    try:
        path.open("a").close()
    except OSError as error:
        raise StreamwatchError(f"{path} can't be written: {error.strerror}") from None


def known_truth(path: Path, footage: Sequence[Footage]) -> Truth:
    """What is known of this footage. Raises StreamwatchError where it does not fit."""
    truth = read_truth(path)
    if isinstance(truth, ClipTruth):
        if len(footage) != 1 or footage[0].kind != "clip":
            raise StreamwatchError(f"{path} is the truth of one clip; try that clip alone")
    elif any(each.kind != "pictures" for each in footage):
        raise StreamwatchError(f"{path} is the truth of pictures; try pictures alone")
    return truth
