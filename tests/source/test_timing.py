"""How capture times are estimated, and when a camera counts as silent."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from streamwatch.source.timing import JUMP_SECONDS, SILENCE_SECONDS, Cadence, CaptureTime, WallTime

FRAME = 1 / 15
NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def rises(times: list[float]) -> bool:
    return all(a < b for a, b in pairwise(times))


def test_jitter_is_smoothed_out() -> None:
    chance = random.Random(1)
    time = CaptureTime()
    estimates = [
        time.estimate(index * FRAME, 100 + index * FRAME + 0.05 + chance.random() * 0.2)
        for index in range(1000)
    ]
    assert rises(estimates)
    settled = estimates[100:]
    assert all(abs(b - a - FRAME) < 0.03 for a, b in pairwise(settled))
    # The constant part of the delay can't be known.
    assert settled[-1] == pytest.approx(100 + 999 * FRAME + 0.05, abs=0.02)


def test_after_a_burst_at_the_start_times_are_evenly_spaced() -> None:
    """The frames of the first second arrive at once, as from a new RTSP stream."""
    time = CaptureTime()
    estimates = [time.estimate(i * FRAME, 50 + max(0.0, i * FRAME - 1)) for i in range(60)]
    assert rises(estimates)
    assert all(b - a == pytest.approx(FRAME, abs=1e-3) for a, b in pairwise(estimates[16:]))


def test_the_first_frame_may_lack_a_time_stamp() -> None:
    time = CaptureTime()
    assert time.estimate(None, 7.0) == 7.0
    assert time.estimate(FRAME, 7.0 + FRAME) == pytest.approx(7.0 + FRAME)


def test_without_time_stamps_the_arrival_time_is_used() -> None:
    time = CaptureTime()
    assert [time.estimate(None, arrival) for arrival in (3.0, 3.1, 3.3)] == [3.0, 3.1, 3.3]


def test_a_delayed_frame_keeps_its_time() -> None:
    """As after a read timeout, which releases a delayed frame."""
    time = CaptureTime()
    for index in range(30):
        time.estimate(index * FRAME, 10 + index * FRAME)
    late = time.estimate(30 * FRAME, 10 + 30 * FRAME + 1.0)
    assert late == pytest.approx(10 + 30 * FRAME, abs=0.02)


def test_a_frame_without_a_time_stamp_follows_the_last_by_one_step() -> None:
    time = CaptureTime()
    for index in range(30):
        time.estimate(index * FRAME, 10 + index * FRAME)
    late = 3.0
    stalled = [time.estimate(None, 10 + 30 * FRAME + late)]
    stalled += [time.estimate(i * FRAME, 10 + 30 * FRAME + late) for i in range(31, 60)]
    assert stalled == pytest.approx([10 + i * FRAME for i in range(30, 60)], abs=0.02)


def test_a_drifting_camera_clock_is_followed() -> None:
    """An hour with a clock 500 ppm slow, five times as bad as the worst quartz."""
    time = CaptureTime()
    for index in range(3600 * 5):
        arrival = index / 5
        estimate = time.estimate(arrival * 0.9995, arrival)
    assert estimate == pytest.approx(arrival, abs=0.01)


def test_a_lasting_delay_is_adapted_to() -> None:
    time = CaptureTime()
    time.estimate(0.0, 0.0)
    for index in range(1, 5 * 600):
        arrival = index / 5
        estimate = time.estimate(arrival - 2.0, arrival)
    assert estimate == pytest.approx(arrival, abs=0.01)


@pytest.mark.parametrize("jump", [-3600.0, -2.0, 2.0, 3600.0])
def test_a_jump_of_the_cameras_clock_keeps_times_rising_and_current(jump: float) -> None:
    time = CaptureTime()
    before = [time.estimate(5000 + i * FRAME, 10 + i * FRAME) for i in range(30)]
    after = [time.estimate(5000 + jump + i * FRAME, 10 + i * FRAME) for i in range(30, 60)]
    assert rises(before + after)
    assert after[-1] == pytest.approx(10 + 59 * FRAME, abs=0.02)


def test_a_delay_above_the_limit_counts_as_a_clock_jump() -> None:
    time = CaptureTime()
    time.estimate(0.0, 0.0)
    assert time.estimate(FRAME, JUMP_SECONDS + 1) == JUMP_SECONDS + 1


def test_small_steps_back_keep_times_rising() -> None:
    time = CaptureTime()
    assert rises([time.estimate(pts, 10 + i * 0.01) for i, pts in enumerate((1.0, 0.9, 1.0, 1.0))])


def test_after_a_reset_times_start_at_arrival_and_keep_rising() -> None:
    time = CaptureTime()
    last = [time.estimate(900 + i * FRAME, 10 + i * FRAME) for i in range(30)][-1]
    time.reset()
    first = time.estimate(0.0, 12.5)
    assert first == 12.5
    assert first > last


def test_wall_time_ignores_small_jitter() -> None:
    wall = WallTime()
    assert wall.at(100.0, 100.0, NOON) == NOON
    late = NOON + timedelta(seconds=1.2)
    assert wall.at(101.0, 101.0, late) == NOON + timedelta(seconds=1)


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_wall_time_follows_a_clock_that_was_set(step: timedelta) -> None:
    wall = WallTime()
    wall.at(100.0, 100.0, NOON)
    assert wall.at(101.0, 101.0, NOON + step + timedelta(seconds=1)) == (
        NOON + step + timedelta(seconds=1)
    )


def silent(cadence: Cadence, now: float) -> bool:
    age = cadence.age_seconds(now)
    return age is None or age > cadence.patience_seconds


def test_a_camera_is_silent_before_its_first_frame_and_5_s_after_its_last() -> None:
    cadence = Cadence()
    assert silent(cadence, 0.0)
    assert cadence.age_seconds(0.0) is None
    for index in range(10):
        cadence.tick(index * FRAME)
    assert not silent(cadence, 9 * FRAME + SILENCE_SECONDS - 0.1)
    assert silent(cadence, 9 * FRAME + SILENCE_SECONDS + 0.1)


def test_a_slow_stream_is_silent_after_three_frame_intervals() -> None:
    cadence = Cadence()
    for index in range(5):
        cadence.tick(index * 4.0)
    assert cadence.patience_seconds == 12.0
    assert not silent(cadence, 16 + 11.9)
    assert silent(cadence, 16 + 12.1)


def test_one_outage_does_not_lengthen_the_timeout() -> None:
    cadence = Cadence()
    for now in (0.0, 0.1, 0.2, 60.0, 60.1):
        cadence.tick(now)
    assert cadence.patience_seconds == SILENCE_SECONDS


def test_frames_that_come_together_do_not_hide_the_wait_for_the_next() -> None:
    cadence = Cadence()
    for index in range(4):
        for extra in (0.0, 0.01, 0.02):
            cadence.tick(7.0 * index + extra)
    assert cadence.patience_seconds == pytest.approx(3 * 6.98)


def test_a_first_interval_may_be_long() -> None:
    cadence = Cadence(30.0)
    cadence.excuse(0.0)
    cadence.tick(0.1)  # soon after the connect, which says nothing
    assert cadence.patience_seconds == 30.0
    cadence.tick(7.1)
    assert cadence.patience_seconds == pytest.approx(21.0)


def test_excuse_restarts_the_silence_timeout() -> None:
    cadence = Cadence()
    cadence.tick(0.0)
    cadence.excuse(100.0)
    assert not silent(cadence, 104.0)
