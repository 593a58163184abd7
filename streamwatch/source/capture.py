"""The supervisor of one camera: its thread, its retries, its counters."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

from streamwatch.config import CameraSettings
from streamwatch.errors import CredentialsRefused, SourceError
from streamwatch.geometry import Polygon
from streamwatch.records import CameraCounts, Frame, Image
from streamwatch.source.choice import source_for
from streamwatch.source.clock import Clock
from streamwatch.source.mask import Mask
from streamwatch.source.outage import STEADY_SECONDS, Outage, retry_seconds
from streamwatch.source.protocol import Decoded, Source
from streamwatch.source.slot import Slot
from streamwatch.source.stillness import STILL_SECONDS, Stillness
from streamwatch.source.timing import Cadence

log = logging.getLogger(__name__)

STOP_SECONDS = 1.5
"""A read gives control back every second."""

AWAY_SECONDS = 60.0
"""Opening takes 20 s at most and reading hands control back every second: after so long something
hangs in the driver or in FFmpeg."""

MOST_LEFT_BEHIND = 3
"""Threads that hang can't be ended. After these the camera is left alone, lest they pile up."""


class _Reading:
    """A thread that reads, with a source and a stop of its own, so that it can be left behind."""

    def __init__(self, source: Source, name: str, run: Callable[[_Reading], None]) -> None:
        self.source = source
        self.stop = threading.Event()
        self.thread = threading.Thread(target=run, args=(self,), name=name, daemon=True)

    def hangs(self, now: float) -> bool:
        since = self.source.away_since
        return since is not None and not self.stop.is_set() and now - since > AWAY_SECONDS


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
        counted: CameraCounts | None = None,
    ) -> None:
        """`counted` is what an earlier capture of this camera did, to go on counting from."""
        self._camera = camera
        self._clock = clock or Clock()
        self._make_source = partial(make_source, settings, self._clock)
        self._mask = Mask(settings.mask)
        self._waits = settings.kind == "file" and not settings.pace
        self._stillness = None if settings.kind == "file" else Stillness()
        self._slot = slot
        self._due = due
        self._on_problem = on_problem
        self._chance = chance
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
        self._outage: Outage | None = None
        self._frames_since: float | None = None
        """When the first frame of this connection came."""
        self._stands_still = False
        self._left_behind: list[_Reading] = []
        self._left_alone = False
        self._reading = self._new_reading()

    def start(self) -> None:
        self._reading.thread.start()

    def request_stop(self) -> None:
        """Ask the thread to end and return at once, so that many can be asked before one waits."""
        with self._lock:
            self._reading.stop.set()

    def recover(self, now: float) -> None:
        """Leave behind a thread that hangs in foreign code, and read anew in another.

        For the owner to call every now and then, with the monotonic seconds. The thread left behind
        does nothing any more, should it ever come back.
        """
        with self._lock:
            before = self._reading
            if self._left_alone or not before.hangs(now):
                return
            self._left_alone = len(self._left_behind) == MOST_LEFT_BEHIND
            if not self._left_alone:
                before.stop.set()
                self._left_behind.append(before)
                self._reading = self._new_reading()
        problem = f"reading has hung in the driver or in FFmpeg for {AWAY_SECONDS:.0f} s"
        if self._left_alone:
            problem += " once more: left alone until streamwatch is started again"
        self._failed(SourceError(problem))
        if not self._left_alone:
            self._reading.thread.start()

    def stop(self) -> None:
        """Stop within 1.5 s, and raise what the thread died of.

        A thread that is just opening a stream can't be interrupted: it is left behind, does
        nothing any more and ends by itself when the opening times out.
        """
        self.request_stop()
        self.join(STOP_SECONDS)

    def join(self, timeout_seconds: float | None = None) -> None:
        """Wait for the thread's end, and raise what it died of."""
        if self._reading.thread.ident is not None:
            self._reading.thread.join(timeout_seconds)
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
            return self._comes(now)

    def _comes(self, now: float) -> bool:
        flowing = self._blocked or not self._cadence.silent(now)
        return flowing and not self._stands_still

    def counts(self, now: float) -> CameraCounts:
        """The counters at this moment, but for `analysed` and `gated`, which the detector counts.

        `now` in monotonic seconds.
        """
        # Outside our lock: whoever holds the slot's condition may ask us something.
        dropped = self._slot.dropped
        with self._lock:
            counts = CameraCounts(
                frames=self._frames,
                offered=self._offered,
                dropped=dropped,
                corrupt=sum(
                    reading.source.corrupt for reading in (*self._left_behind, self._reading)
                ),
                failures=self._failures,
                reconnects=self._reconnects,
                age_seconds=self._cadence.age_seconds(now),
                online=self._comes(now),
            )
        return counts.after(self._counted) if self._counted else counts

    def _new_reading(self) -> _Reading:
        return _Reading(self._make_source(), f"capture-{self._camera}", self._run)

    def _run(self, reading: _Reading) -> None:
        try:
            self._capture(reading)
        except BaseException as error:
            if reading is self._reading:
                self._failure = error
        finally:
            if reading is self._reading:
                self._slot.close()

    def _capture(self, reading: _Reading) -> None:
        while not reading.stop.is_set():
            try:
                with closing(reading.source.frames(reading.stop)) as pictures:
                    for picture in pictures:
                        if reading.stop.is_set():
                            break
                        self._receive(picture, reading.stop)
            except SourceError as error:
                if not reading.stop.is_set():
                    self._clock.wait(reading.stop, self._failed(error))
            else:
                if not reading.stop.is_set():
                    self._end()
                return

    def _receive(self, picture: Decoded, stop: threading.Event) -> None:
        self._arrived(picture)
        if not self._due(picture.seconds):
            return
        image = picture.to_image()
        if self._is_still(image, picture.seconds):
            return
        frame = Frame(
            camera=self._camera,
            index=self._frames - 1,
            captured_at=picture.captured_at,
            seconds=picture.seconds,
            position=picture.position,
            image=self._mask.applied(image),
        )
        with self._lock:
            self._offered += 1
            self._blocked = self._waits
        if not self._waits:
            self._slot.put(frame)
            return
        self._slot.put_and_wait(frame, stop)
        with self._lock:
            self._blocked = False
            self._cadence.excuse(self._clock.monotonic())

    def _is_still(self, image: Image, seconds: float) -> bool:
        """Whether the picture is frozen; a SourceError the first time, since connecting anew may
        mend it, and then its frames don't count as coming until it changes."""
        if self._stillness is None:
            return False
        still = self._stillness.seconds(image, seconds) >= STILL_SECONDS
        with self._lock:
            before, self._stands_still = self._stands_still, still
        if still and not before:
            raise SourceError(
                f"the picture has not changed for {STILL_SECONDS:.0f} s, though frames come"
            )
        return still

    def _arrived(self, picture: Decoded) -> None:
        now = self._clock.monotonic()
        over: Outage | None = None
        with self._lock:
            self._frames += 1
            if self._stands_still:
                return
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
                self._outage = Outage(since=now, problem=problem)
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
        """The source ended by itself."""
        with self._lock:
            over, self._outage = self._outage, None
            self._ended = True
        if over:
            self._say_over(over, self._clock.monotonic())
        log.info("camera %s: the file has ended", self._camera)

    def _say_over(self, outage: Outage, now: float) -> None:
        log.info(
            "camera %s: frames again after %d failures in %.0f s",
            self._camera,
            outage.failures,
            now - outage.since,
        )
