"""Problems that last: the configuration file is wrong or cut off, the HTTP port is taken, second
looks or clips can't be made, notices can't be sent, or the detector can't be compiled or is too
slow."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from streamwatch.config import listing
from streamwatch.daemon.changing import Outcome
from streamwatch.publisher import ErrorReport, Publisher
from streamwatch.source import no_clips
from streamwatch.status.shortage import Short

log = logging.getLogger(__name__)

Kind = (
    Literal["file", "mount", "http", "compiling", "slow"]
    | tuple[Literal["looks", "notices", "clips"], str]
)
"""`looks` with the name of who takes second looks, `notices` with that of the service, `clips` with
that of the camera."""

NOT_TAKEN_OVER = "the configuration is not taken over, what ran before goes on"


class Problems:
    """At most one of each kind. Published on `P/errors` when it begins, in `P/info` while it lasts.

    Each method may be called from any thread.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._lasting: dict[Kind, ErrorReport] = {}

    @property
    def lasting(self) -> tuple[ErrorReport, ...]:
        return tuple(self._lasting.copy().values())

    def lasts(self, kind: Kind) -> bool:
        return kind in self._lasting

    def begin(self, kind: Kind, report: ErrorReport) -> None:
        self._lasting[kind] = report
        self._publisher.error(report)

    def amend(self, kind: Kind, report: ErrorReport) -> None:
        """Tell otherwise, in `P/info` alone, of a problem that lasts."""
        self._lasting[kind] = report

    def end(self, kind: Kind) -> bool:
        """Whether there was one."""
        return self._lasting.pop(kind, None) is not None

    def take_outcome(self, outcome: Outcome) -> bool:
        """Report what became of an edit, in the log too; whether `P/info` has to tell it."""
        if outcome.error is None:
            return self.end("file")
        for line in (*str(outcome.error).splitlines(), NOT_TAKEN_OVER):
            log.error("%s", line)
        self.begin("file", not_applied(outcome))
        return True

    def take_cut_off(self, path: Path, *, cut_off: bool) -> None:
        """Report that saves of the file can't be seen, in the log too, or that they can again."""
        if cut_off:
            report = not_seen(path)
            log.error("%s", report.message)
            self.begin("mount", report)
        else:
            self.end("mount")

    def take_web(self, problem: str | None) -> bool:
        """Report what `http` can't be listened on, or that it can again: then `P/info` has to tell
        it."""
        if problem is None:
            return self.end("http")
        self.begin("http", not_listening(problem))
        return False


def not_applied(outcome: Outcome) -> ErrorReport:
    """The report that a configuration was not applied, because of the outcome's error."""
    first = str(outcome.error).partition("\n")[0]
    mistakes = len(outcome.problems)
    count = f" (the first of {mistakes} mistakes)" if mistakes > 1 else ""
    return ErrorReport(
        "config",
        f"{NOT_TAKEN_OVER}: {first}{count}",
        errors=outcome.problems or None,
        at=datetime.now(UTC),
    )


def not_seen(path: Path) -> ErrorReport:
    """The report that the file at `path` is mounted alone, and was replaced outside."""
    return ErrorReport(
        "config",
        f"{path} was replaced outside, where it is mounted from, which can't be seen from here:"
        " start anew, and mount the folder that it is in rather than the file",
        at=datetime.now(UTC),
    )


def not_looking(sentence: str) -> ErrorReport:
    """The report that second looks can't be made."""
    return ErrorReport(
        "detector",
        f"second looks can't be made: {sentence}; alerts go out or are held as on_failure says",
        at=datetime.now(UTC),
    )


def not_told(sentence: str) -> ErrorReport:
    """The report that notices to a service can't be sent."""
    return ErrorReport("publisher", sentence, at=datetime.now(UTC))


def no_clips_of(camera: str, why: str) -> ErrorReport:
    """The report that a camera's clips can't be made."""
    return ErrorReport("camera", no_clips(why), camera=camera, at=datetime.now(UTC))


def not_compiled(sentence: str) -> ErrorReport:
    """The report that the detector can't be compiled, so that torch goes on."""
    return ErrorReport("detector", sentence, at=datetime.now(UTC))


def too_slow(short: Mapping[str, Short], ungated: Collection[str] = ()) -> ErrorReport:
    """The report that these cameras are short of detector time; at least one.

    Of those that are `ungated` the frames are analysed in which nothing moves, too.
    """
    cameras = [
        f"{name} ({_rate(each.analysed)} of {_rate(each.due)} frames a second)"
        for name, each in short.items()
    ]
    return ErrorReport(
        "detector",
        f"the detector is too slow for {listing(cameras, 'and')}: a smaller detector.model or"
        f" detector.image_size, {_less_to_do([n for n in short if n in ungated])} would help",
        at=datetime.now(UTC),
    )


def _less_to_do(ungated: Sequence[str]) -> str:
    if not ungated:
        return "or a lower fps"
    return f"a lower fps, or motion: auto for {listing(ungated, 'and')}"


def _rate(a_second: float) -> str:
    """With two digits: `0.25`, `2.1`, `120`."""
    return f"{float(f'{a_second:.2g}'):g}"


def not_listening(problem: str) -> ErrorReport:
    """The report that the HTTP port can't be listened on."""
    return ErrorReport("config", problem, at=datetime.now(UTC))
