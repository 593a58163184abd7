"""One camera: its capture thread, its retries and its counters."""

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
from streamwatch.records import CameraCounts, Frame
from streamwatch.source.choice import MakeSource, source_for
from streamwatch.source.clock import Clock
from streamwatch.source.mask import Mask
from streamwatch.source.outage import MOST_SAID, STEADY_SECONDS, Outage, retry_seconds
from streamwatch.source.protocol import Decoded, Gate, Source, as_source_error
from streamwatch.source.slot import Slot
from streamwatch.source.stillness import STILL_SECONDS, Stillness
from streamwatch.source.timing import Cadence

log = logging.getLogger(__name__)

STOP_SECONDS = 1.5
"""A read returns every second."""

HANG_SECONDS = 60.0
"""Opening takes at most 20 s and a read returns every second, so after this long the driver or
FFmpeg hangs."""

MOST_HUNG_THREADS = 3
"""A hanging thread can't be ended. After this many the camera is not tried again, to bound their
number."""


class _Rejected(Exception):  # noqa: N818 - reads as what happened
    """The analysis has refused a frame, which was recorded as a failure."""

    def __init__(self, retry_seconds: float) -> None:
        super().__init__()
        self.retry_seconds = retry_seconds


class _Reader:
    """A thread with its own source and stop event, so that it can be abandoned when it hangs."""

    def __init__(self, source: Source, name: str, run: Callable[[_Reader], None]) -> None:
        self.source = source
        self.stop = threading.Event()
        self.thread = threading.Thread(target=run, args=(self,), name=name, daemon=True)

    def hangs(self, now: float) -> bool:
        since = self.source.away_since
        return since is not None and not self.stop.is_set() and now - since > HANG_SECONDS


class Capture:
    """Reads one camera in its own thread, `capture-<camera>`, and retries without limit.

    Each frame for which `due(seconds)` is true is masked, shown to the `gate` and put into `slot`;
    for a file with `pace: false` the thread then waits until it is taken. `due`, `gate` and
    `on_problem` are called in the capture thread (`on_problem` also in the thread that calls
    `recover` or `reject`); `on_problem` gets one sentence without secrets, once per outage.
    Whatever else than SourceError reading raises is such a problem too. The slot is closed when the
    thread ends. All methods may be called from any thread.
    """

    def __init__(
        self,
        camera: str,
        settings: CameraSettings,
        *,
        slot: Slot,
        due: Callable[[float], bool],
        on_problem: Callable[[str], None],
        gate: Gate | None = None,
        make_source: MakeSource = source_for,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
        counted: CameraCounts | None = None,
    ) -> None:
        """`counted` are the counters of an earlier capture of this camera, to continue from."""
        self._camera = camera
        self._log = logging.LoggerAdapter(log, {"camera": camera})
        self._clock = clock or Clock()
        self._make_source = partial(make_source, settings, self._clock)
        self._mask = Mask(settings.mask)
        self._waits = settings.kind == "file" and not settings.pace
        self._stillness = None if settings.kind == "file" else Stillness()
        self._slot = slot
        self._due = due
        self._gate = gate
        self._on_problem = on_problem
        self._chance = chance
        self._failure: BaseException | None = None

        self._counted = counted

        self._lock = threading.Lock()
        """Guards the fields below, which the capture thread writes and others read."""
        self._cadence = Cadence()
        self._frames = 0
        self._offered = 0
        self._failures = 0
        self._reconnects = 0
        self._blocked = False
        self._ended = False
        self._outage: Outage | None = None
        self._frames_since: float | None = None
        """Monotonic seconds of the first frame since the last connect."""
        self._frozen = False
        self._rejected = False
        """Whether the analysis refused the newest frame that it took."""
        self._pause_seconds: float | None = None
        """How long to wait before opening again; None unless a frame was refused since."""
        self._hung: list[_Reader] = []
        self._gave_up = False
        self._reader = self._new_reader()

    def start(self) -> None:
        self._reader.thread.start()

    @property
    def started(self) -> bool:
        return self._reader.thread.ident is not None

    def request_stop(self) -> None:
        """Set the stop event and return at once, so that many captures can stop in parallel."""
        with self._lock:
            self._reader.stop.set()

    def recover(self, now: float) -> None:
        """Abandon a capture thread that hangs in a driver or in FFmpeg, and start another.

        The owner calls it periodically with `now` in monotonic seconds. An abandoned thread ends
        without effect if its call ever returns.
        """
        with self._lock:
            reader = self._reader
            if self._gave_up or not reader.hangs(now):
                return
            self._gave_up = len(self._hung) == MOST_HUNG_THREADS
            if not self._gave_up:
                reader.stop.set()
                self._hung.append(reader)
                self._reader = self._new_reader()
        problem = f"reading has hung in the driver or in FFmpeg for {HANG_SECONDS:.0f} s"
        if self._gave_up:
            problem += " once more: left alone until streamwatch is started again"
        self._record_failure(SourceError(problem))
        if not self._gave_up:
            self._reader.thread.start()

    def stop(self) -> None:
        """Stop within 1.5 s, and raise the exception that ended the thread, if any.

        Opening a stream can't be interrupted: such a thread goes on without effect until the
        opening times out.
        """
        self.request_stop()
        self.join(STOP_SECONDS)

    def join(self, timeout_seconds: float | None = None) -> None:
        """Wait for the thread to end, and raise the exception that ended it, if any."""
        if self._reader.thread.ident is not None:
            self._reader.thread.join(timeout_seconds)
        if self._failure is not None:
            raise self._failure

    def change_mask(self, polygons: Sequence[Polygon]) -> None:
        """Black out these polygons from the next frame on."""
        self._mask = Mask(polygons)

    def reject(self, problem: str) -> None:
        """The analysis can't use a frame: the camera is offline and opened again, until `accept`.

        `problem` is one sentence.
        """
        pause = self._record_failure(SourceError(problem))
        with self._lock:
            self._rejected, self._pause_seconds = True, pause

    def accept(self) -> None:
        """The analysis has used a frame."""
        with self._lock:
            self._rejected = False

    @property
    def failure(self) -> BaseException | None:
        """The unexpected exception that ended the thread: a bug, not an unreachable camera."""
        return self._failure

    @property
    def finished(self) -> bool:
        """Whether a file without `loop` has ended and its last frame was taken."""
        with self._lock:
            ended = self._ended
        return ended and self._slot.drained

    @property
    def problem(self) -> str | None:
        """The latest error of the current outage; None without one."""
        with self._lock:
            return self._outage.problem if self._outage else None

    @property
    def interval_seconds(self) -> float | None:
        """The usual time between two frames; None before it is known."""
        with self._lock:
            return self._cadence.usual_seconds

    def online(self, now: float) -> bool:
        """Whether frames arrive; `now` in monotonic seconds.

        A capture that waits for the detector counts as online.
        """
        with self._lock:
            return self._is_online(now)

    def _is_online(self, now: float) -> bool:
        source = self._reader.source
        age = self._cadence.age_seconds(now)
        if age is not None and source.unchanged_at is not None:
            age = min(age, now - source.unchanged_at)
        patience = max(self._cadence.patience_seconds, source.patience_seconds)
        arriving = self._blocked or (age is not None and age <= patience)
        return arriving and not self._frozen and not self._rejected

    def counts(self, now: float) -> CameraCounts:
        """The counters at `now`, in monotonic seconds.

        Without what the analysis counts and the gate says.
        """
        # Takes the slot's lock, so not under ours: its holder may call us and wait for ours.
        dropped = self._slot.dropped
        with self._lock:
            counts = CameraCounts(
                frames=self._frames,
                offered=self._offered,
                dropped=dropped,
                corrupt=sum(reader.source.corrupt for reader in (*self._hung, self._reader)),
                failures=self._failures,
                reconnects=self._reconnects,
                age_seconds=self._cadence.age_seconds(now),
                online=self._is_online(now),
            )
        return counts.after(self._counted) if self._counted else counts

    def _new_reader(self) -> _Reader:
        return _Reader(self._make_source(), f"capture-{self._camera}", self._run)

    def _run(self, reader: _Reader) -> None:
        try:
            self._capture(reader)
        except BaseException as error:
            if reader is self._reader:
                self._failure = error
        finally:
            if reader is self._reader:
                self._slot.close()

    def _capture(self, reader: _Reader) -> None:
        while not reader.stop.is_set():
            if self._gate is not None:
                self._gate.begin()
            try:
                with closing(reader.source.frames(reader.stop)) as frames:
                    for decoded in frames:
                        if reader.stop.is_set():
                            break
                        self._receive(decoded, reader.stop)
            except _Rejected as rejected:
                self._clock.wait(reader.stop, rejected.retry_seconds)
            except Exception as error:
                if not reader.stop.is_set():
                    self._clock.wait(reader.stop, self._record_failure(as_source_error(error)))
            else:
                if not reader.stop.is_set():
                    self._record_end_of_file()
                return

    def _receive(self, decoded: Decoded, stop: threading.Event) -> None:
        with self._lock:
            pause, self._pause_seconds = self._pause_seconds, None
        if pause is not None:
            raise _Rejected(pause)
        self._record_frame(decoded)
        if not self._due(decoded.seconds):
            return
        if self._is_frozen(decoded):
            return
        picture = decoded.unmasked.masked(self._mask)
        still = self._gate is not None and self._gate.is_still(picture, decoded.seconds)
        if stop.is_set():  # it hung meanwhile, and another thread reads now
            return
        frame = Frame(
            camera=self._camera,
            index=self._frames - 1,
            captured_at=decoded.captured_at,
            seconds=decoded.seconds,
            position=decoded.position,
            picture=picture,
            still=still,
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

    def _is_frozen(self, decoded: Decoded) -> bool:
        """Whether the picture is frozen: the camera is then offline until it changes.

        Raises SourceError the first time, since a reconnect may help.
        """
        if self._stillness is None:
            return False
        since = self._stillness.seconds(decoded.unmasked.checksum(), decoded.seconds)
        frozen = since >= STILL_SECONDS
        with self._lock:
            before, self._frozen = self._frozen, frozen
        if frozen and not before:
            raise SourceError(
                f"the picture has not changed for {STILL_SECONDS:.0f} s, though frames come"
            )
        return frozen

    def _record_frame(self, decoded: Decoded) -> None:
        now = self._clock.monotonic()
        over: Outage | None = None
        with self._lock:
            self._frames += 1
            if self._frozen or self._rejected:
                return
            self._cadence.tick(now)
            if self._frames_since is None:
                self._frames_since = now
                self._reconnects += self._outage is not None
            if self._outage and now - self._frames_since >= STEADY_SECONDS:
                over, self._outage = self._outage, None
        if over:
            self._log_recovery(over, now)
        elif self._frames == 1:
            self._log.info(
                "camera %s: first frame, %dx%d, %s", self._camera, *decoded.size, decoded.codec
            )

    def _record_failure(self, error: SourceError) -> float:
        """Count and report it; returns the seconds to wait before the next try."""
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
        is_new = problem not in outage.said and len(outage.said) < MOST_SAID
        if is_new:
            self._log.warning("camera %s: %s; trying again", self._camera, problem)
        if not outage.said:
            self._on_problem(problem)
        if is_new:
            outage.said.add(problem)
        refused = isinstance(error, CredentialsRefused)
        return retry_seconds(outage.failures, refused=refused, chance=self._chance())

    def _record_end_of_file(self) -> None:
        with self._lock:
            over = None if self._rejected else self._outage
            if over:
                self._outage = None
            self._ended = True
        if over:
            self._log_recovery(over, self._clock.monotonic())
        self._log.info("camera %s: the file has ended", self._camera)

    def _log_recovery(self, outage: Outage, now: float) -> None:
        self._log.info(
            "camera %s: frames again after %d failures in %.0f s",
            self._camera,
            outage.failures,
            now - outage.since,
        )
