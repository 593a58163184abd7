"""Warnings about cameras that are too slow for a watch."""

from __future__ import annotations

import pytest

from streamwatch.config import Config
from streamwatch.config.pace_advice import too_slow

CONFIG = Config.model_validate(
    {
        "detector": {"model": "toybox"},
        "cameras": {"porch": {"url": "bundled:street"}},
        "watches": {"car": {"prompt": "car"}, "dog": {"prompt": "dog", "appear": {"hits": 1}}},
    }
)


@pytest.mark.parametrize(
    ("interval_seconds", "shown", "leave"),
    [(2.49, "2.5", "8s"), (2.5, "2.5", "8s"), (4, "4", "12s")],
)
def test_the_leave_it_asks_for_is_long_enough(
    interval_seconds: float, shown: str, leave: str
) -> None:
    assert list(too_slow(CONFIG, "porch", interval_seconds)) == [
        (
            "car",
            f"nothing can appear at porch, which gives a picture every {shown} s: 3 sightings "
            "within 2s are asked for; write appear: {hits: 1}, or a longer within, and a leave of "
            f"{leave} or more",
        )
    ]


def test_a_camera_that_is_fast_enough_is_no_reason_to_warn() -> None:
    assert list(too_slow(CONFIG, "porch", 1.0)) == []
