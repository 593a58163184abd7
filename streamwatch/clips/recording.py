"""One clip that is being made: from what is in memory already to what comes after the visit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from streamwatch import files
from streamwatch.clips.folder import poster_of
from streamwatch.clips.ring import ROUNDING_SECONDS, Cursor, Ring
from streamwatch.clips.writing import ClipFile, finished, poster
from streamwatch.config import ClipSettings
from streamwatch.pictures.keeping import reason
from streamwatch.records import Clip, Event
from streamwatch.source.copies import CopiedPacket

PATIENCE_SECONDS = 10.0
"""A clip whose visit has ended waits so long for video that does not come."""
LONGEST_BEFORE = 0.5
"""Of `longest`, the share that may go before the alert: what stays for long is told late."""

LATE = "no earlier video was there"
NO_VIDEO = "no video of it was there"
TOO_LONG = "the visit went on for longer than clips.longest"
NO_MORE = "no more video came"
STOPPED = "streamwatch was stopped"


def begins_at(event: Event, settings: ClipSettings) -> datetime:
    """Where the clip of a visit is to begin, by its `new`."""
    return max(
        event.started_at - settings.before,
        event.captured_at - timedelta(seconds=settings.longest.total_seconds() * LONGEST_BEFORE),
    )


class Recording:
    """The clip of one visit, by its `new`; for one thread, but for `end`.

    What can't be written raises `writing.FAILURES`; `discard` it then.
    """

    def __init__(
        self, event: Event, path: Path, ring: Ring, settings: ClipSettings, owner: str
    ) -> None:
        """Holds from now on what is in memory; for the thread that tells of the event."""
        self._owner = owner
        self.event = event
        self.path = path
        self._ring = ring
        since = begins_at(event, settings)
        self._since = since.timestamp()
        self._latest = self._since + settings.longest.total_seconds()
        self._after = settings.after.total_seconds()
        self._cursor: Cursor | None = ring.read_from(since, event.captured_at)
        self._file: ClipFile | None = None
        self._last_pts: int | None = None
        """The latest of its pictures."""
        self._shown_until: float | None = None
        """Unix time up to which that is shown."""
        self._until: float | None = None
        """Unix time up to which it goes, once the visit has ended."""
        self._quiet_since: float | None = None
        """When video came last, or the visit ended, in monotonic seconds."""

    @property
    def has_video(self) -> bool:
        return self._cursor is not None

    def end(self, ended_at: datetime) -> None:
        """The visit has ended; from any thread."""
        self._until = ended_at.timestamp() + self._after

    def advance(self, now: float) -> Clip | None:
        """Write what has come; `now` is in monotonic seconds. Its `Clip` once that is whole."""
        if self._cursor is None:
            return without_video(self.event, self._ring.refused or NO_VIDEO)
        packets, cut = self._ring.read(self._cursor)
        for packet in packets:
            if self._is_beyond(packet):
                return self._finish(self._cut_short)
            self._write(packet)
        if cut is not None:
            return self._finish(cut)
        return self._finish(NO_MORE) if self._in_vain(now, came=bool(packets)) else None

    def stop(self, now: float) -> Clip:
        """The daemon stops: make do with what has come."""
        return self.advance(now) or self._finish(STOPPED)

    def abandon(self) -> None:
        """Leave what is written to the next start."""
        self._let_go()
        if self._file is not None:
            self._file.close()

    def discard(self) -> None:
        self._let_go()
        if self._file is not None:
            self._file.discard()

    def _is_beyond(self, packet: CopiedPacket) -> bool:
        """Whether it comes after the end of the clip. What is shown before a picture that is in it
        goes in too, so that none is missing."""
        assert self._cursor is not None
        if packet.is_audio or self._last_pts is None:
            return False
        begins = self._cursor.run.decoded(packet)
        beyond = begins is not None and begins > self._ends_at + ROUNDING_SECONDS
        return beyond and packet.pts > self._last_pts

    @property
    def _ends_at(self) -> float:
        return self._latest if self._until is None else min(self._until, self._latest)

    @property
    def _is_whole(self) -> bool:
        """Whether it reaches its end."""
        if self._until is None or self._shown_until is None or self._until > self._latest:
            return False
        return self._shown_until + ROUNDING_SECONDS >= self._until

    @property
    def _cut_short(self) -> str | None:
        """Why it ends where it does, if that is too early."""
        return TOO_LONG if self._until is None or self._until > self._latest else None

    def _in_vain(self, now: float, *, came: bool) -> bool:
        """Whether what is still missing of an ended visit has not come for too long."""
        if self._quiet_since is None or came or self._until is None:
            self._quiet_since = now
        return now - self._quiet_since >= PATIENCE_SECONDS

    def _write(self, packet: CopiedPacket) -> None:
        assert self._cursor is not None
        if self._file is None:
            self._file = ClipFile(self.path, self._cursor.run, self._about)
        self._file.write(packet)
        if not packet.is_audio and packet.pts > (self._last_pts or packet.pts - 1):
            self._last_pts = packet.pts
            self._shown_until = self._cursor.run.ends(packet)

    def _finish(self, missing: str | None) -> Clip:
        """Its `Clip`; `missing` says what it lacks at its end, if it ends too early."""
        self._let_go()
        if self._is_whole:
            missing = None
        if self._file is None or not self._file.close():
            return without_video(self.event, missing or NO_VIDEO)
        began_at = self._file.began_at
        assert began_at is not None
        late = LATE if began_at > self._since + ROUNDING_SECONDS else None
        why = "; ".join(each for each in (late, missing) if each is not None) or None
        return made(self._about, self.path, began_at, why)

    @property
    def _about(self) -> dict[str, Any]:
        """What a file must say of itself, so that it can be finished after a crash."""
        return {
            "owner": self._owner,
            "id": self.event.id,
            "camera": self.event.camera,
            "watch": self.event.watch,
            "shown_at": self.event.captured_at.timestamp(),
        }

    def _let_go(self) -> None:
        if self._cursor is not None:
            self._ring.stop_reading(self._cursor)


def made(about: Mapping[str, Any], path: Path, began_at: float, why: str | None) -> Clip:
    """Make of `….part` the clip and its poster; `about` is what it says of itself, and `why` says
    what it lacks. Raises `writing.FAILURES`."""
    written = finished(path)
    jpeg = poster(path, about["shown_at"] - began_at)
    if jpeg is not None:
        target = poster_of(path)
        files.replace(target, jpeg, part=target.with_name(f".{target.name}.part"))
    return Clip(
        about["id"],
        about["camera"],
        about["watch"],
        path,
        datetime.fromtimestamp(began_at, UTC),
        written.seconds,
        written.bytes,
        written.codec,
        complete=why is None,
        reason=why,
    )


def without_video(event: Event, why: str) -> Clip:
    return Clip(
        event.id, event.camera, event.watch, None, None, 0.0, 0, None, complete=False, reason=why
    )


def failed(event: Event, error: Exception) -> Clip:
    """The `Clip` of what can't be written."""
    return without_video(event, f"it can't be saved ({reason(error)})")
