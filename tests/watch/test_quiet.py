"""When a watch keeps quiet: `cooldown` and `active`, which gate `new` alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from streamwatch.records import Event
from tests.watch.scenes import START, Seen, camera_watches, person, play, told


def news(events: Sequence[Event]) -> list[float]:
    """When alerts began, in seconds."""
    return [
        round((event.captured_at - START).total_seconds(), 1)
        for event in events
        if event.type == "new"
    ]


def stays(*spans: tuple[float, float], x: float = 300) -> Seen:
    return lambda t: [person(x)] if any(start <= t < end for start, end in spans) else []


def together(*seen: Seen) -> Seen:
    return lambda t: [detection for one in seen for detection in one(t)]


COOLDOWN_20 = {"cooldown": timedelta(seconds=20)}


@pytest.mark.parametrize(
    ("watch", "seen", "expected"),
    [
        # `new` comes at the third frame of 5 a second, 0.4 s in; `ended_at` is a frame before
        # it is gone.
        pytest.param(COOLDOWN_20, stays((0, 5), (24.6, 30)), [0.4, 25.0], id="after it"),
        pytest.param(COOLDOWN_20, stays((0, 5), (24.2, 30)), [0.4, 24.8], id="expires at once"),
        pytest.param(COOLDOWN_20, stays((0, 5), (10, 15)), [0.4], id="within it"),
        pytest.param(COOLDOWN_20, stays((0, 5), (10, 30)), [0.4, 24.8], id="still there"),
        pytest.param(
            COOLDOWN_20, stays((0, 5), (10, 15), (20, 24)), [0.4], id="silent visits spend nothing"
        ),
        pytest.param(
            COOLDOWN_20,
            stays((0, 5), (10, 15), (26, 30)),
            [0.4, 26.4],
            id="silent visits do not prolong it",
        ),
        pytest.param(
            COOLDOWN_20,
            together(stays((0, 5), x=100), stays((3, 9), x=500)),
            [0.4, 3.4],
            id="two at once are two",
        ),
        pytest.param(
            COOLDOWN_20,
            together(stays((0, 5), x=100), stays((0, 40), x=300), stays((9, 40), x=500)),
            [0.4, 0.4, 24.8],
            id="one ends, one stays, a third waits",
        ),
        pytest.param(
            COOLDOWN_20,
            together(stays((0, 5), x=100), stays((0, 10), x=300), stays((14, 40), x=500)),
            [0.4, 0.4, 29.8],
            id="the later end counts",
        ),
        pytest.param(
            {**COOLDOWN_20, "dwell": timedelta(seconds=5)},
            stays((0, 4), (10, 17)),
            [15.0],
            id="too short for dwell spends nothing",
        ),
        pytest.param(
            {**COOLDOWN_20, "dwell": timedelta(seconds=5)},
            stays((0, 8), (20, 40)),
            [5.0, 27.8],
            id="dwell runs during it",
        ),
        pytest.param(
            {"cooldown": timedelta(hours=1)}, stays((0, 600)), [0.4], id="a parked car is one event"
        ),
    ],
)
def test_cooldown(watch: dict[str, Any], seen: Seen, expected: list[float]) -> None:
    assert news(play(camera_watches({"people": watch}), seen, until=45)) == expected


def test_cooldowns_of_two_watches_are_their_own() -> None:
    watches = camera_watches({"quiet": COOLDOWN_20, "loud": {}})
    events = play(watches, stays((0, 2), (8, 10)), until=15)
    assert [event.watch for event in events if event.type == "new"] == ["quiet", "loud", "loud"]


def test_cooldown_runs_while_the_camera_is_lost() -> None:
    watches = camera_watches({"people": COOLDOWN_20})
    play(watches, stays((0, 5)), until=5)
    assert [event.reason for event in watches.lost(4)] == ["lost"]
    later = lambda t: [person(300)] if t >= 10 else []  # noqa: E731
    # The frames' time begins anew at 0, which is 5.2 s; it is quiet until
    # 4.8 s + 20 s.
    assert news(play(watches, later, until=40)) == [19.6]


# START is a Monday, 12:00 UTC.
@pytest.mark.parametrize(
    ("active", "seen", "expected"),
    [
        pytest.param(["mon 12:00-12:01"], stays((0, 300)), [0.4], id="open"),
        pytest.param(["mon 13:00-14:00"], stays((0, 300)), [], id="closed"),
        pytest.param(["12:02-13:00"], stays((0, 300)), [120.0], id="there when it opens"),
        pytest.param(["12:02-13:00"], stays((119.8, 300)), [120.2], id="appearing as it opens"),
        pytest.param(["12:02-13:00"], stays((0, 119)), [], id="gone before it opens"),
        pytest.param(["12:00-12:01"], stays((58, 59.9), (70, 80)), [58.4], id="none after it"),
        pytest.param(["12:00-12:01", "12:02-12:03"], stays((61, 200)), [120.0], id="a list"),
    ],
)
def test_active_holds_back_new_visits_only(
    active: list[str], seen: Seen, expected: list[float]
) -> None:
    watches = camera_watches({"people": {"active": active}}, zone="UTC")
    assert news(play(watches, seen, until=200)) == expected


def test_an_open_visit_goes_on_after_the_active_hours() -> None:
    watches = camera_watches({"people": {"active": "12:00-12:01"}}, zone="UTC")
    surer = lambda t: [person(300, confidence=0.9 if t > 90 else 0.5)] if t < 100 else []  # noqa: E731
    events = play(watches, surer, until=110)
    assert [event.type for event in events] == ["new", "update", "end"]
    assert events[-1].reason == "left"


def test_dwell_runs_while_it_is_not_active() -> None:
    watch = {"active": "12:01-13:00", "dwell": timedelta(seconds=50)}
    watches = camera_watches({"people": watch}, zone="UTC")
    assert news(play(watches, stays((5, 300)), until=100)) == [60.0]
    late = camera_watches({"people": watch}, zone="UTC")
    assert news(play(late, stays((30, 300)), until=100)) == [80.0]


def test_active_hours_are_in_the_configured_time_zone() -> None:
    berlin = camera_watches({"people": {"active": "14:00-14:01"}}, zone="Europe/Berlin")
    assert told(play(berlin, stays((0, 5)), until=10)) == [("new", "visit-1"), ("end", "visit-1")]
