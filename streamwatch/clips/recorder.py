"""Makes the clips: a thread of its own writes what the cameras' rings hold."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from streamwatch.clips.encoding import Encoding, Film, Filmed
from streamwatch.clips.folder import ClipFolder, clip_name
from streamwatch.clips.recording import Recording, failed, made
from streamwatch.clips.ring import Memory, Ring
from streamwatch.clips.writing import FAILURES, PART, found, parts
from streamwatch.config import CameraSettings, ClipSettings, Config, WatchSettings, clip_folder
from streamwatch.elapsed import Elapsed
from streamwatch.geometry import Polygon
from streamwatch.pictures.keeping import Cleaning, Trouble
from streamwatch.records import Clip, Event
from streamwatch.source import MakeSource, Source, source_for
from streamwatch.source.clock import Clock

log = logging.getLogger(__name__)

TURN_SECONDS = 0.5
"""How often what has come is written."""
SLACK_SECONDS = 10.0
"""A visit may be told this much later than its watch asks for: a busy detector, a second look."""

ENDED = "streamwatch ended while it was written"
MASKED = "the camera has got a mask"


@dataclass(slots=True)
class _Feed:
    """What a camera's clips may be made of: its packets, or its pictures; `chosen` is which of the
    two rings is filled."""

    copied: Ring
    film: Film
    chosen: Ring | None = None


class Recorder:
    """Keeps the last seconds of the cameras whose watches ask for clips, and makes a clip of each
    of their visits.

    In the thread `clips`, `on_clip` is called with each clip that is whole, `complain` with one
    sentence where clips can't be saved, and `on_refused` with a camera whose video can't be copied
    and why, or None for that where it can again. Alerts never wait for any of it. What a crash of
    the same `owner` has left is finished at the start: several daemons may share the folder.
    """

    def __init__(
        self,
        config: Config,
        owner: str,
        *,
        on_clip: Callable[[Clip], None],
        complain: Callable[[str], None],
        on_refused: Callable[[str, str | None], None] = lambda _camera, _why: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._owner = owner
        self._on_clip = on_clip
        self._complain = complain
        self._on_refused = on_refused
        self._now = now
        self._seconds = seconds
        self._elapsed = Elapsed(seconds, now)
        self._config = config
        self._memory = Memory(config.clips.memory)
        self._encoding = Encoding()
        self._feeds: dict[str, _Feed] = {}
        self._reaches: dict[str, float] = {}
        """By camera whose clips are wanted, how many of its last seconds must be there."""
        self._lock = threading.Lock()
        """Held while feeds or recordings are added, chosen or removed."""
        self._paths: dict[str, tuple[str, Path]] = {}
        """By the id of each open visit with a clip, its camera and its file."""
        self._recordings: dict[str, Recording] = {}
        self._refused: dict[str, str] = {}
        """By camera whose clips are wanted, why it can't be copied."""
        self._told_refusals: dict[str, str] = {}
        self._kept_by: ClipSettings | None = None
        self._stop_by: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clips", daemon=True)
        self.change(config)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Make do with what has come of each visit; waits for at most so many seconds, and leaves
        the rest to the next start. A second call does nothing."""
        self._stop_by = self._seconds() + timeout
        self._encoding.stop(timeout)
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    # --- for any thread ---------------------------------------------------------------------------

    def source_of(self, camera: str) -> MakeSource:
        """What reads a camera, so that its clips can be made."""
        with self._lock:
            feed = self._feed(camera)

        def make(settings: CameraSettings, clock: Clock) -> Source:
            source = source_for(settings, clock, feed.copied)
            return Filmed(source, feed.film, self._encoding)

        return make

    def change(self, config: Config) -> None:
        """Continue with another configuration."""
        self._memory.change(config.clips.memory)
        by_camera = config.watches_by_camera()
        with self._lock:
            self._config = config
            self._reaches = {
                camera: _reach(wanted, config.clips)
                for camera, watches in by_camera.items()
                if (wanted := [watch for watch in watches.values() if watch.clip])
            }
            for camera in {*self._reaches, *self._feeds}:
                self._choose(camera)
            # A visit on a camera that another daemon has now does not end here.
            there = self._paths.items()
            self._paths = {id: held for id, held in there if held[0] in config.cameras}

    def _choose(self, camera: str) -> None:
        """Keep of a camera what its clips are made of now; with the lock held."""
        feed, reach = self._feed(camera), self._reaches.get(camera)
        settings, encode = self._config.cameras.get(camera), self._config.clips.encode
        masked = settings is not None and settings.mask and not self._config.clips.unmasked
        if feed.chosen is not None and masked and feed.chosen is feed.copied:
            feed.copied.cut(MASKED)  # what is being written must not show what is masked now
        chosen = feed.copied
        if masked or (encode and feed.copied.refused is not None):
            chosen = feed.film.ring
        feed.chosen = None if reach is None or (masked and not encode) else chosen
        for ring in (feed.copied, feed.film.ring):
            ring.want(reach if ring is feed.chosen else None)

    def take(self, event: Event) -> Event:
        """The event with the file of its clip, if one is made. Returns at once."""
        if event.type == "new":
            self._begin(event)
        with self._lock:
            _, path = self._paths.get(event.id, ("", None))
            if event.type == "end":
                self._paths.pop(event.id, None)
                recording = self._recordings.get(event.id)
                if recording is not None and event.ended_at is not None:
                    recording.end(event.ended_at)
        if path is None:
            return event
        http = self._config.http
        page = None if http is None or not http.has_page else http.address
        url = None if page is None else f"{page}/alerts/{event.id}#clip"
        return replace(event, clip_path=path, clip_url=url)

    def _begin(self, event: Event) -> None:
        watch = self._config.watches.get(event.watch)
        if watch is None or not watch.clip:
            return
        settings = self._config.clips
        path = clip_folder(settings).absolute() / clip_name(event)
        with self._lock:
            feed = self._feed(event.camera)
            recording = Recording(event, path, feed.chosen or feed.copied, settings, self._owner)
            self._recordings[event.id] = recording
            if recording.has_video:
                self._paths[event.id] = event.camera, path

    def _feed(self, camera: str) -> _Feed:
        """With the lock held."""
        if camera not in self._feeds:
            film = Film(self._memory.ring(), partial(self._mask_of, camera))
            self._feeds[camera] = _Feed(self._memory.ring(), film)
        return self._feeds[camera]

    def _mask_of(self, camera: str) -> tuple[Polygon, ...]:
        settings = self._config.cameras.get(camera)
        return () if settings is None else settings.mask

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        self._follow_settings()
        self._sweep()
        while not self._stopping.wait(TURN_SECONDS):
            self._follow_settings()
            self._advance()
            self._follow_refusals()
            self._cleaning.clean_if_due()
        self._finish_all()

    def _follow_settings(self) -> None:
        settings = self._config.clips
        if settings == self._kept_by:
            return
        self._kept_by = settings
        self._folder = ClipFolder(
            clip_folder(settings), keep=settings.keep, max_bytes=settings.max_size
        )
        self._trouble = Trouble("clips", self._folder.path, self._complain)
        self._cleaning = Cleaning(
            self._folder,
            "clips",
            complain=self._complain,
            now=self._now,
            seconds=self._seconds,
            elapsed=self._elapsed,
        )

    def _advance(self) -> None:
        for recording in self._current():
            self._step(recording, recording.advance)

    def _finish_all(self) -> None:
        for recording in self._current():
            if self._stop_by is not None and self._seconds() >= self._stop_by:
                with suppress(*FAILURES):
                    recording.abandon()
            else:
                self._step(recording, recording.stop)

    def _current(self) -> tuple[Recording, ...]:
        with self._lock:
            return tuple(self._recordings.values())

    def _step(self, recording: Recording, step: Callable[[float], Clip | None]) -> None:
        try:
            clip = step(self._seconds())
        except Exception as error:
            if not isinstance(error, FAILURES):  # a defect: it costs this clip, and no other
                log.exception("the clip %s can't be made", recording.path)
            recording.discard()
            clip = failed(recording.event, error)
            self._trouble.failed(error)
        if clip is None:
            return
        with self._lock:
            self._recordings.pop(clip.id, None)
        self._told(clip)

    def _told(self, clip: Clip) -> None:
        if clip.path is not None:
            self._folder.note(clip.bytes)
            self._trouble.over()
            log.info(
                "%s: clip of %s, %.1f s%s: %s",
                clip.camera,
                clip.watch,
                clip.seconds,
                "" if clip.reason is None else f" ({clip.reason})",
                clip.path,
            )
        self._on_clip(clip)

    def _follow_refusals(self) -> None:
        """Encode what can't be copied, or tell that it can't be."""
        with self._lock:
            refused = {
                camera: why
                for camera in self._reaches
                if (why := self._feed(camera).copied.refused) is not None
            }
            for camera in refused.keys() ^ self._refused.keys():
                self._choose(camera)
            told = {} if self._config.clips.encode else refused
        for camera in self._told_refusals.keys() | told.keys():
            if self._told_refusals.get(camera) != told.get(camera):
                self._on_refused(camera, told.get(camera))
        self._refused, self._told_refusals = refused, told

    # --- what a crash has left --------------------------------------------------------------------

    def _sweep(self) -> None:
        """Finish the clips that were being written when the daemon ended."""
        try:
            left = [*parts(self._folder.path)]
        except OSError:
            return
        for part in left:
            with suppress(OSError):  # it is being written by another daemon, or gone
                about = found(part)
                if about is None:
                    part.unlink()
                elif about.get("owner") == self._owner:
                    self._finish(part, about)

    def _finish(self, part: Path, about: dict[str, Any]) -> None:
        path = part.with_name(part.name.removesuffix(PART))
        try:
            clip = made(about, path, about["began_at"], ENDED)
        except (*FAILURES, KeyError, TypeError) as error:
            log.warning("the clip %s can't be finished: %s", path, error)
            part.unlink()
        else:
            self._told(clip)


def _reach(watches: list[WatchSettings], settings: ClipSettings) -> float:
    """How many of the last seconds must be there when a visit is told."""
    latest = max(
        max(watch.appear.within, min(watch.dwell, settings.longest / 2)) for watch in watches
    )
    return (settings.before + latest + timedelta(seconds=SLACK_SECONDS)).total_seconds()
