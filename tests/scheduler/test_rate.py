"""Which frames of a stream are due, so that the average rate is the configured one."""

from __future__ import annotations

import pytest

from streamwatch.scheduler.rate import Rate


@pytest.mark.parametrize(
    ("stream_fps", "fps", "expected"),
    [(15, 2, 2.0), (15, 5, 5.0), (15, 4, 4.0), (25, 10, 10.0), (30, 7, 7.0), (15, 15, 15.0)],
)
def test_the_average_rate_is_the_configured_one(stream_fps: int, fps: int, expected: float) -> None:
    rate = Rate(fps)
    seconds = 600
    taken = sum(rate.due(number / stream_fps) for number in range(seconds * stream_fps))
    assert taken / seconds == pytest.approx(expected, abs=0.002)


def test_every_frame_of_a_slower_stream_is_due() -> None:
    rate = Rate(5)
    assert all(rate.due(float(number)) for number in range(100))


def test_jitter_does_not_lower_the_average() -> None:
    rate = Rate(5)
    times = [number / 15 + (0.012 if number % 3 else -0.012) for number in range(15 * 60)]
    assert sum(rate.due(time) for time in times) / 60 == pytest.approx(5.0, abs=0.05)


def test_a_gap_is_not_followed_by_a_burst() -> None:
    rate = Rate(1)
    assert rate.due(0.0)
    assert rate.due(10.0)
    assert not rate.due(10.1)
    assert not rate.due(10.9)
    assert rate.due(11.0)
