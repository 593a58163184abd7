"""The capture of one camera, with scripted sources."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.errors import CredentialsRefused, SourceError
from streamwatch.records import Image
from streamwatch.source import Capture, Clock, Decoded, Slot
from tests.source.fake_clock import START, FakeClock
from tests.source.pictures import Drawn
from tests.source.waiting import taken, until

WHITE = np.full((120, 160, 3), 255, np.uint8)
WHITE.flags.writeable = False
FRAME = 1 / 15


class Script:
    """A source that on each opening yields so many frames, 1/15 s apart, and then raises the
    error; without an error it gives no more frames until it is stopped.
    """

    def __init__(
        self, clock: FakeClock, openings: Sequence[tuple[int, BaseException | None]]
    ) -> None:
        self.corrupt = 0
        self.away_since: float | None = None
        self.patience_seconds = 5.0
        self.unchanged_at = None
        self._clock = clock
        self._openings = iter(openings)

    def frames(self, stop: threading.Event) -> Generator[Decoded, None, None]:
        count, error = next(self._openings)
        for _ in range(count):
            self._clock.now += FRAME
            now = self._clock.now
            yield Decoded(
                START + timedelta(seconds=now), now, None, (160, 120), "h264", Drawn(self._drawn())
            )
        if error is not None:
            raise error
        stop.wait()

    def _drawn(self) -> Image:
        """Never the same image twice, as from a real sensor."""
        image = WHITE.copy()
        image[0, 0] = self._clock.now * 15 % 251
        return image


@dataclass
class Scene:
    """A capture and the problems it reported."""

    capture: Capture
    slot: Slot
    clock: FakeClock
    problems: list[str] = field(default_factory=list)


@contextmanager
def scene(
    *openings: tuple[int, BaseException | None],
    settings: CameraSettings | None = None,
    due: Callable[[float], bool] = lambda seconds: True,
    on_problem: Callable[[str], None] | None = None,
) -> Iterator[Scene]:
    clock = FakeClock()
    slot = Slot(threading.Condition())
    problems: list[str] = []
    capture = Capture(
        "porch",
        settings or CameraSettings(url="rtsp://127.0.0.1/stream"),
        slot=slot,
        due=due,
        on_problem=on_problem or problems.append,
        make_source=lambda _settings, _clock: Script(clock, openings),
        clock=clock.clock,
        chance=lambda: 0.0,
    )
    capture.start()
    try:
        yield Scene(capture, slot, clock, problems)
    finally:
        capture.request_stop()
    if capture.failure is None:
        capture.join(5)


def frames_of(scene: Scene, count: int) -> None:
    until(lambda: scene.capture.counts(0.0).frames == count)


def test_the_thread_is_named_after_the_camera() -> None:
    with scene((1, None)):
        assert "capture-porch" in [thread.name for thread in threading.enumerate()]


def test_only_due_frames_are_offered_and_all_are_counted() -> None:
    seen: list[float] = []

    def every_third(seconds: float) -> bool:
        seen.append(seconds)
        return len(seen) % 3 == 0

    with scene((10, None), due=every_third) as running:
        frames_of(running, 10)
        frame = taken(running.slot)
        assert frame.camera == "porch"
        assert frame.index == 8
        assert frame.seconds == pytest.approx(9 * FRAME)
        assert frame.captured_at == START + timedelta(seconds=frame.seconds)
        assert frame.position is None
        counts = running.capture.counts(running.clock.now)
    assert seen == pytest.approx([index * FRAME for index in range(1, 11)])
    assert counts.offered == 3
    assert counts.dropped == 2


def test_the_mask_is_applied_to_a_copy() -> None:
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    settings = CameraSettings(url="rtsp://127.0.0.1/stream", mask=(left,))
    with scene((1, None), settings=settings) as running:
        image = taken(running.slot).picture.bgr()
    assert not image[:, :80].any()
    assert (image[:, 82:] == 255).all()
    assert (WHITE == 255).all()


def test_it_retries_with_growing_waits_and_reports_an_outage_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "streamwatch")
    gone, refused = SourceError("porch is gone"), SourceError("porch refused")
    openings = [(0, gone)] * 3 + [(0, refused), (0, gone), (0, refused)] + [(100, None)]
    with scene(*openings) as running:
        frames_of(running, 100)
        counts = running.capture.counts(running.clock.now)
        assert running.capture.problem is None
    assert running.clock.waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert running.problems == ["porch is gone"]
    assert (counts.failures, counts.reconnects) == (6, 1)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "camera porch: porch is gone; trying again"),
        ("WARNING", "camera porch: porch refused; trying again"),
        ("INFO", "camera porch: first frame, 160x120, h264"),
        ("INFO", "camera porch: frames again after 6 failures in 23 s"),
    ]


def test_an_outage_lasts_until_frames_are_steady() -> None:
    """A few frames per connection don't end an outage: the waits keep growing."""
    flap = (3, SourceError("porch is gone"))
    with scene(flap, flap, flap, (3, None)) as running:
        frames_of(running, 12)
        assert running.capture.problem == "porch is gone"
    assert running.clock.waits == [0.5, 1.0, 2.0]
    assert running.problems == ["porch is gone"]


def test_each_outage_is_reported() -> None:
    gone = SourceError("porch is gone")
    with scene((100, gone), (100, gone), (100, None)) as running:
        frames_of(running, 300)
        assert running.capture.counts(running.clock.now).reconnects == 2
    assert running.clock.waits == [0.5, 0.5]
    assert running.problems == ["porch is gone"] * 2


def test_a_wrong_password_is_tried_once_a_minute() -> None:
    refused = CredentialsRefused("porch refused the password")
    with scene((0, refused), (0, refused), (1, None)) as running:
        frames_of(running, 1)
    assert running.clock.waits == [60.0, 60.0]
    assert running.problems == ["porch refused the password"]


def test_a_camera_is_online_for_5_s_after_its_last_frame() -> None:
    with scene((0, SourceError("porch is gone")), (30, None)) as running:
        frames_of(running, 30)
        capture, last = running.capture, running.clock.now
        assert capture.online(last + 4.9)
        assert not capture.online(last + 5.1)
        assert capture.counts(last + 2).age_seconds == pytest.approx(2)


def test_a_camera_is_offline_before_its_first_frame() -> None:
    with scene((0, None)) as running:
        assert not running.capture.online(0.0)
        assert running.capture.counts(0.0).age_seconds is None


@pytest.mark.parametrize("where", ["source", "due"])
def test_whatever_reading_raises_is_a_problem_of_the_camera(where: str) -> None:
    failed: list[float] = []

    def fail_once(seconds: float) -> bool:
        if where == "due" and not failed:
            failed.append(seconds)
            raise ZeroDivisionError("by rtsp://me:hunter2@camera/")
        return True

    error = ZeroDivisionError("by rtsp://me:hunter2@camera/")
    with scene((1, error if where == "source" else None), (5, None), due=fail_once) as running:
        taken(running.slot)
        until(lambda: running.capture.counts(0.0).frames >= 5)
        assert running.problems == [
            "its frames can't be read (ZeroDivisionError: by rtsp://me:***@camera/)"
        ]
        assert running.capture.failure is None


def test_a_failure_to_report_a_problem_is_raised_by_join_and_not_retried() -> None:
    def fail_to_tell(problem: str) -> None:
        raise ZeroDivisionError

    with scene((0, SourceError("porch is gone")), (1, None), on_problem=fail_to_tell) as running:
        until(lambda: running.capture.failure is not None)
        with pytest.raises(ZeroDivisionError):
            running.capture.join(5)
        with pytest.raises(ZeroDivisionError):
            running.capture.stop()
        assert running.slot.drained
        assert not running.capture.finished


def test_a_rejected_frame_is_an_outage_until_one_is_accepted() -> None:
    with scene((2, None), (1, None)) as running:
        frames_of(running, 2)
        assert running.capture.online(running.clock.now)
        running.capture.reject("its frames can't be analysed (ValueError)")
        assert not running.capture.online(running.clock.now)
        assert running.problems == ["its frames can't be analysed (ValueError)"]
        assert running.capture.problem == "its frames can't be analysed (ValueError)"


def test_the_camera_is_opened_again_after_a_rejected_frame() -> None:
    due_at: list[float] = []
    entered = threading.Event()

    def reject_the_second(seconds: float) -> bool:
        entered.wait(5)
        due_at.append(seconds)
        if len(due_at) == 2:
            running.capture.reject("too strange")
        return True

    with scene((9, None), (200, None), due=reject_the_second) as running:
        entered.set()
        until(lambda: running.capture.counts(0.0).frames == 2 + 200)
        assert running.clock.waits == [0.5]
        assert not running.capture.online(running.clock.now)
        running.capture.accept()
        assert running.capture.problem == "too strange"
    counts = running.capture.counts(0.0)
    assert (counts.failures, running.problems) == (1, ["too strange"])


def test_a_file_whose_last_frame_was_rejected_stays_a_problem() -> None:
    """It has ended before the analysis has looked at that frame."""
    settings = CameraSettings(url="clip.mp4", pace=False)
    with scene((0, None), settings=settings) as running:
        running.capture.reject("too strange")
    running.capture.join(5)
    assert running.capture.problem == "too strange"
    assert not running.capture.online(running.clock.now)


def test_a_capture_that_never_started_can_be_stopped() -> None:
    capture = Capture(
        "porch",
        CameraSettings(url="rtsp://127.0.0.1/stream"),
        slot=Slot(threading.Condition()),
        due=lambda seconds: True,
        on_problem=lambda problem: None,
    )
    capture.stop()


def filming(path: Path, slot: Slot, *, pace: bool, loop: bool = False) -> Capture:
    return Capture(
        "porch",
        CameraSettings(url=str(path), pace=pace, loop=loop),
        slot=slot,
        due=lambda seconds: True,
        on_problem=lambda problem: None,
    )


def test_without_pace_every_frame_waits_for_the_detector(clip: Path) -> None:
    condition = threading.Condition()
    slot = Slot(condition)
    capture = filming(clip, slot, pace=False)
    capture.start()
    indices: list[int] = []
    with condition:
        while not capture.finished:
            frame = slot.take()
            if frame is None:
                assert condition.wait(5)
                continue
            indices.append(frame.index)
            # A slow detector: slower than the decoding of the file.
            condition.wait(0.02)
    capture.join(5)
    assert indices == list(range(30))
    counts = capture.counts(time.monotonic())
    assert (counts.frames, counts.offered, counts.dropped) == (30, 30, 0)


def test_a_capture_waiting_for_the_detector_is_online_and_stops_soon(clip: Path) -> None:
    slot = Slot(threading.Condition())
    capture = filming(clip, slot, pace=False)
    capture.start()
    until(lambda: capture.counts(0.0).offered == 1)
    assert capture.online(time.monotonic() + 3600)
    began = time.monotonic()
    capture.stop()
    assert time.monotonic() - began < 1.5
    assert not capture.finished
    assert "capture-porch" not in [thread.name for thread in threading.enumerate()]


def test_a_paced_file_is_finished_once_its_last_frame_is_taken(clip: Path) -> None:
    clock = FakeClock()
    slot = Slot(threading.Condition())
    capture = Capture(
        "porch",
        CameraSettings(url=str(clip)),
        slot=slot,
        due=lambda seconds: True,
        on_problem=lambda problem: None,
        clock=clock.clock,
    )
    capture.start()
    capture.join(5)
    assert not capture.finished
    frame = slot.take()
    assert frame is not None
    assert (frame.index, slot.dropped) == (29, 29)
    assert capture.finished
    assert clock.now == pytest.approx(29 * FRAME)


def test_a_missing_file_is_retried_until_it_exists(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "later.mp4"
    problems: list[str] = []
    slot = Slot(threading.Condition())
    capture = Capture(
        "porch",
        CameraSettings(url=str(path), pace=False),
        slot=slot,
        due=lambda seconds: True,
        on_problem=problems.append,
    )
    capture.start()
    until(lambda: bool(problems))
    path.write_bytes(clip.read_bytes())
    assert taken(slot).index == 0
    capture.stop()
    assert problems == [f"{path}: no such file or device"]


def test_a_stop_interrupts_the_wait_for_a_retry() -> None:
    def refusing(settings: CameraSettings, clock: Clock) -> Script:
        return Script(FakeClock(), [(0, CredentialsRefused("porch refused the password"))] * 9)

    problems: list[str] = []
    capture = Capture(
        "porch",
        CameraSettings(url="rtsp://127.0.0.1/stream"),
        slot=Slot(threading.Condition()),
        due=lambda seconds: True,
        on_problem=problems.append,
        make_source=refusing,
    )
    capture.start()
    until(lambda: bool(problems))
    began = time.monotonic()
    capture.stop()
    assert time.monotonic() - began < 1.5
    assert len(problems) == 1


class Hanging(Script):
    """A source that hangs when it is opened, as in a driver, until `let_go` is set."""

    def __init__(self, clock: FakeClock, let_go: threading.Event) -> None:
        super().__init__(clock, [(3, None)])
        self.let_go = let_go

    def frames(self, stop: threading.Event) -> Generator[Decoded, None, None]:
        self.away_since = self._clock.now
        self.patience_seconds = 5.0
        self.unchanged_at = None
        self.let_go.wait()
        self.away_since = None
        self.patience_seconds = 5.0
        self.unchanged_at = None
        yield from super().frames(stop)


@dataclass
class Hangs:
    """A capture whose first `count` sources hang."""

    capture: Capture
    slot: Slot
    clock: FakeClock
    sources: list[Script]
    problems: list[str]


@contextmanager
def hanging(count: int) -> Iterator[Hangs]:
    clock = FakeClock()
    slot = Slot(threading.Condition())
    let_go = threading.Event()
    sources: list[Script] = []
    problems: list[str] = []

    def make_source(_settings: CameraSettings, _clock: Clock) -> Script:
        hangs = len(sources) < count
        sources.append(Hanging(clock, let_go) if hangs else Script(clock, [(3, None)]))
        return sources[-1]

    capture = Capture(
        "porch",
        CameraSettings(url="rtsp://127.0.0.1/stream"),
        slot=slot,
        due=lambda seconds: True,
        on_problem=problems.append,
        make_source=make_source,
        clock=clock.clock,
    )
    capture.start()
    try:
        yield Hangs(capture, slot, clock, sources, problems)
    finally:
        let_go.set()
        capture.request_stop()
        capture.join(5)


def test_a_hanging_thread_is_replaced() -> None:
    with hanging(1) as scene:
        until(lambda: scene.sources[0].away_since is not None)
        scene.clock.now += 59
        scene.capture.recover(scene.clock.now)
        assert len(scene.sources) == 1
        scene.clock.now += 2
        scene.capture.recover(scene.clock.now)
        until(lambda: scene.capture.counts(0.0).frames == 3)
        scene.capture.recover(scene.clock.now)
        assert len(scene.sources) == 2
        assert scene.problems == ["reading has hung in the driver or in FFmpeg for 60 s"]
        taken(scene.slot)
        scene.sources[0].let_go.set()  # type: ignore[attr-defined]
        until(lambda: [t.name for t in threading.enumerate()].count("capture-porch") == 1)
        assert scene.capture.counts(0.0).frames == 3
        assert not scene.slot.drained


def test_hanging_threads_are_limited_and_the_last_may_recover() -> None:
    with hanging(10) as scene:
        for number in range(8):
            until(lambda: all(source.away_since is not None for source in scene.sources))
            scene.clock.now += 61
            scene.capture.recover(scene.clock.now)
            assert len(scene.sources) == min(number + 2, 4)
        assert scene.capture.problem == (
            "reading has hung in the driver or in FFmpeg for 60 s once more:"
            " left alone until streamwatch is started again"
        )
        assert not scene.capture.online(scene.clock.now)
        scene.sources[0].let_go.set()  # type: ignore[attr-defined]
        until(lambda: scene.capture.counts(0.0).frames == 3)
        assert scene.capture.online(scene.clock.now)


class Frozen(Script):
    """A source whose picture doesn't change from `since` to `until`, in seconds of the clock."""

    def __init__(self, clock: FakeClock, since: float, until: float) -> None:
        super().__init__(clock, [(1000, None), (2000, None)])
        self._frozen = since, until

    def _drawn(self) -> Image:
        since, until = self._frozen
        return WHITE if since <= self._clock.now < until else super()._drawn()


def test_a_frozen_picture_is_a_problem_and_offline() -> None:
    clock = FakeClock()
    slot = Slot(threading.Condition())
    problems: list[str] = []
    began = clock.now
    online: list[tuple[float, bool]] = []

    def due(seconds: float) -> bool:
        online.append((seconds - began, capture.online(seconds)))
        return True

    capture = Capture(
        "porch",
        CameraSettings(url="rtsp://127.0.0.1/stream"),
        slot=slot,
        due=due,
        on_problem=problems.append,
        make_source=lambda _settings, _clock: Frozen(clock, began + 3, began + 120),
        clock=clock.clock,
        chance=lambda: 0.0,
    )
    capture.start()
    until(lambda: capture.counts(0.0).frames == 2000 + 63 * 15)
    assert problems == ["the picture has not changed for 60 s, though frames come"]
    was_online = {round(seconds): state for seconds, state in online}
    assert [was_online[second] for second in (1, 30, 62, 64, 100, 119, 122, 150)] == [
        True, True, True, False, False, False, True, True,
    ]  # fmt: skip
    assert capture.problem is None
    capture.request_stop()
    capture.join(5)
