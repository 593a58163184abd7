from __future__ import annotations

import pytest

from streamwatch.source.outage import retry_seconds


def test_the_wait_doubles_up_to_5_s() -> None:
    waits = [retry_seconds(failures, refused=False, chance=0.0) for failures in range(1, 8)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_millions_of_failures_do_not_overflow() -> None:
    assert retry_seconds(6_000_000, refused=False, chance=0.0) == 5.0


@pytest.mark.parametrize("failures", [1, 2, 100])
def test_refused_credentials_are_retried_once_a_minute(failures: int) -> None:
    assert retry_seconds(failures, refused=True, chance=0.0) == 60.0


@pytest.mark.parametrize("chance", [0.3, 1.0])
def test_jitter_only_shortens_the_wait(chance: float) -> None:
    assert 4.0 <= retry_seconds(50, refused=False, chance=chance) < 5.0
    assert 48.0 <= retry_seconds(50, refused=True, chance=chance) < 60.0
