"""The supervisor of one camera: its thread, its retries, its counters."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from streamwatch.config.models import CameraSettings
from streamwatch.errors import CredentialsRefused, SourceError
from streamwatch.geometry import Polygon
from streamwatch.records import Frame
from streamwatch.source.choice import source_for
from streamwatch.source.clock import Clock
from streamwatch.source.mask import Mask
from streamwatch.source.protocol import Decoded, Source
from streamwatch.source.retry import retry_seconds
from streamwatch.source.slot import Slot
from streamwatch.source.timing import Cadence

log = logging.getLogger(__name__)

STOP_SECONDS = 1.5
"""A read gives control back every second."""

STEADY_SECONDS = 5.0
"""Frames must have come for this long before an outage is over; else a camera that gives one frame
a connection would be hammered, and each of its failures told anew."""


@dataclass(frozen=True, slots=True)
class CaptureCounts:
    """What one camera did since the start.

    `frames` were decoded and `offered` put into the slot, of which `dropped` were replaced before
    the detector took them. `corrupt` counts packets, `failures` attempts to open or read that
    failed, `reconnects` how often frames came again after that. `age_seconds` is the time since
    the last frame arrived, None before the first.
    """

    frames: int
    offered: int
    dropped: int
    corrupt: int
    failures: int
    reconnects: int
    age_seconds: float | None

    def after(self, earlier: CaptureCounts) -> CaptureCounts:
        """These with those of an earlier capture of the same camera."""
        return CaptureCounts(
            self.frames + earlier.frames,
            self.offered + earlier.offered,
            self.dropped + earlier.dropped,
            self.corrupt + earlier.corrupt,
            self.failures + earlier.failures,
            self.reconnects + earlier.reconnects,
            self.age_seconds,
        )


@dataclass(slots=True)
class _Outage:
    since: float
    problem: str
    failures: int = 0
    said: set[str] = field(default_factory=set)


class Capture:
    """Reads one camera in a thread of its own, `capture-<camera>`, and retries for ever.

    Each frame for which `due(seconds)` says so is converted, masked and left in `slot`; for a file
    with `pace: false` the thread then waits until it is taken. `due` and `on_problem` are called
    in the capture thread; `on_problem` gets one sentence without secrets, once per outage.
    The slot is closed when the thread ends. All methods may be called from any thread.
    """

    def __init__(
        self,
        camera: str,
        settings: CameraSettings,
        *,
        slot: Slot,
        due: Callable[[float], bool],
        on_problem: Callable[[str], None],
        make_source: Callable[[CameraSettings, Clock], Source] = source_for,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
        counted: CaptureCounts | None = None,
    ) -> None:
        """`counted` is what an earlier capture of this camera did, to go on counting from."""
        self._camera = camera
        self._clock = clock or Clock()
        self._source = make_source(settings, self._clock)
        self._mask = Mask(settings.mask)
        self._waits = settings.kind == "file" and not settings.pace
        self._slot = slot
        self._due = due
        self._on_problem = on_problem
        self._chance = chance
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"capture-{camera}", daemon=True)
        self._failure: BaseException | None = None

        self._counted = counted

        self._lock = threading.Lock()
        """Guards what follows, which the capture thread writes and others read."""
        self._cadence = Cadence()
        self._frames = 0
        self._offered = 0
        self._failures = 0
        self._reconnects = 0
        self._blocked = False
        self._ended = False
        self._outage: _Outage | None = None
        self._frames_since: float | None = None
        """When the first frame of this connection came."""

    def start(self) -> None:
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the thread to end and return at once, so that many can be asked before one waits."""
        self._stop.set()

    def stop(self) -> None:
        """Stop within 1.5 s, and raise what the thread died of.

        A thread that is just opening a stream can't be interrupted: it is left behind, does
        nothing any more and ends by itself when the opening times out.
        """
        self.request_stop()
        self.join(STOP_SECONDS)

    def join(self, timeout_seconds: float | None = None) -> None:
        """Wait for the thread's end, and raise what it died of."""
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        if self._failure is not None:
            raise self._failure

    def change_mask(self, polygons: Sequence[Polygon]) -> None:
        """Black these out from the next frame on."""
        self._mask = Mask(polygons)

    @property
    def failure(self) -> BaseException | None:
        """The unexpected exception the thread died of: a bug, not a camera that is away."""
        return self._failure

    @property
    def finished(self) -> bool:
        """Whether a file without `loop` ended and its last frame was taken."""
        with self._lock:
            ended = self._ended
        return ended and self._slot.drained

    @property
    def problem(self) -> str | None:
        """The sentence of the outage that lasts, None while frames come."""
        with self._lock:
            return self._outage.problem if self._outage else None

    def online(self, now: float) -> bool:
        """Whether frames come; `now` in monotonic seconds.

        A capture that waits for the detector could deliver, and counts as online.
        """
        with self._lock:
            return self._blocked or not self._cadence.silent(now)

    def counts(self, now: float) -> CaptureCounts:
        """The counters at this moment; `now` in monotonic seconds."""
        # Outside our lock: whoever holds the slot's condition may ask us something.
        dropped = self._slot.dropped
        with self._lock:
            counts = CaptureCounts(
                frames=self._frames,
                offered=self._offered,
                dropped=dropped,
                corrupt=self._source.corrupt,
                failures=self._failures,
                reconnects=self._reconnects,
                age_seconds=self._cadence.age_seconds(now),
            )
        return counts.after(self._counted) if self._counted else counts

    def _run(self) -> None:
        try:
            self._capture()
        except BaseException as error:
            self._failure = error
        finally:
            self._slot.close()

    def _capture(self) -> None:
        while not self._stop.is_set():
            try:
                with closing(self._source.frames(self._stop)) as pictures:
                    for picture in pictures:
                        self._receive(picture)
            except SourceError as error:
                if not self._stop.is_set():
                    self._clock.wait(self._stop, self._failed(error))
            else:
                self._end()
                return

    def _receive(self, picture: Decoded) -> None:
        self._arrived(picture)
        if not self._due(picture.seconds):
            return
        frame = Frame(
            camera=self._camera,
            index=self._frames - 1,
            captured_at=picture.captured_at,
            seconds=picture.seconds,
            position=picture.position,
            image=self._mask.applied(picture.to_image()),
        )
        with self._lock:
            self._offered += 1
            self._blocked = self._waits
        if not self._waits:
            self._slot.put(frame)
            return
        self._slot.put_and_wait(frame, self._stop)
        with self._lock:
            self._blocked = False
            self._cadence.excuse(self._clock.monotonic())

    def _arrived(self, picture: Decoded) -> None:
        now = self._clock.monotonic()
        over: _Outage | None = None
        with self._lock:
            self._frames += 1
            self._cadence.tick(now)
            if self._frames_since is None:
                self._frames_since = now
                self._reconnects += self._outage is not None
            if self._outage and now - self._frames_since >= STEADY_SECONDS:
                over, self._outage = self._outage, None
        if over:
            self._say_over(over, now)
        elif self._frames == 1:
            log.info("camera %s: first frame, %dx%d", self._camera, *picture.size)

    def _failed(self, error: SourceError) -> float:
        """Count and tell; the result is the seconds to wait."""
        problem = str(error)
        now = self._clock.monotonic()
        with self._lock:
            self._failures += 1
            self._frames_since = None
            if self._outage is None:
                self._outage = _Outage(since=now, problem=problem)
            outage = self._outage
            outage.problem = problem
            outage.failures += 1
        if problem not in outage.said:
            log.warning("camera %s: %s; trying again", self._camera, problem)
        if not outage.said:
            self._on_problem(problem)
        outage.said.add(problem)
        refused = isinstance(error, CredentialsRefused)
        return retry_seconds(outage.failures, refused=refused, chance=self._chance())

    def _end(self) -> None:
        """The source ended by itself, or by `stop`."""
        if self._stop.is_set():
            return
        with self._lock:
            over, self._outage = self._outage, None
            self._ended = True
        if over:
            self._say_over(over, self._clock.monotonic())
        log.info("camera %s: the file has ended", self._camera)

    def _say_over(self, outage: _Outage, now: float) -> None:
        log.info(
            "camera %s: frames again after %d failures in %.0f s",
            self._camera,
            outage.failures,
            now - outage.since,
        )
