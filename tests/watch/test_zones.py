"""Standing in zones: at their borders, at the frame's edge, and what is told of it."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta

import pytest

from streamwatch.records import Detection, Event
from streamwatch.watch.rules import Zones
from tests.watch.scenes import SIZE, Seen, camera_watches, frame, person, play, told

PAVEMENT = {"pavement": [(0, 0.5), (1, 0.5), (1, 1), (0, 1)]}  # from 180 px down
LEFT_RIGHT = {
    "left": [(0, 0), (0.5, 0), (0.5, 1), (0, 1)],
    "right": [(0.5, 0), (1, 0), (1, 1), (0.5, 1)],
}


def along_the_border(wobble: float) -> Seen:
    """A person of 80 px walking along y = 180 for 20 s, its foot off by up to `wobble` px."""

    def seen(t: float) -> list[Detection]:
        off = random.Random(round(t * 1000)).uniform(-wobble, wobble)
        return [person(40 + 28 * t, y=180 + off)] if t < 20 else []

    return seen


@pytest.mark.parametrize("fps", [1, 2, 5, 15])
def test_walking_along_a_border_is_one_change_at_most(fps: int) -> None:
    """Within a tenth of its height a thing that is in a zone stays in it."""
    watches = camera_watches(zones=PAVEMENT, fps=fps)
    events = play(watches, along_the_border(7.9), until=25, fps=fps)
    changes = [a.zones != b.zones for a, b in itertools.pairwise(events)]
    assert sum(changes) <= 1
    assert told(events)[-1] == ("end", "visit-1")


@pytest.mark.parametrize("fps", [1, 2, 5, 15])
def test_walking_along_the_border_of_a_watched_zone_is_one_visit(fps: int) -> None:
    watches = camera_watches({"people": {"zones": ["pavement"], "leave": timedelta(seconds=1)}},
                             zones=PAVEMENT, fps=fps)  # fmt: skip
    border = along_the_border(7.9)
    inside_first = lambda t: [person(40 + 28 * t, y=190)] if t < 3 else border(t)  # noqa: E731
    events = play(watches, inside_first, until=25, fps=fps)
    assert [event.type for event in events] == ["new", "end"]


def test_a_border_is_crossed_by_entering_not_by_coming_near() -> None:
    """Before it has appeared, nothing holds a thing in a zone: three frames must be inside."""
    watches = camera_watches({"people": {"zones": ["pavement"]}}, zones=PAVEMENT)
    once_inside = lambda t: [person(300, y=181 if round(t * 5) == 5 else 176)]  # noqa: E731
    assert play(watches, once_inside, until=10) == []


@pytest.mark.parametrize(("y", "stays"), [(180.0, True), (172.1, True), (171.9, False)])
def test_the_distance_outside_a_zone_that_counts_as_left(y: float, stays: bool) -> None:
    """A tenth of the height of 80 px; to come in, no more than a pixel may be missing."""
    place = Zones({"pavement": ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))}, ())
    box = person(300, y=y).box
    assert (place.zones_at(box, SIZE, held=["pavement"]) == ("pavement",)) is stays
    assert (place.zones_at(box, SIZE) == ("pavement",)) is (y == 180)


@pytest.mark.parametrize("bottom", [1.0, 0.9975])
def test_an_object_cut_by_the_bottom_edge_is_in_a_zone_that_touches_it(bottom: float) -> None:
    """Also where the picture ends a pixel before or after the zone does."""
    zones = {"near": [(0, 0.8), (1, 0.8), (1, bottom), (0, bottom)]}
    watches = camera_watches({"people": {"zones": ["near"]}}, zones=zones)
    cut = lambda t: [person(100 + 20 * t, y=360)] if t < 5 else []  # noqa: E731
    assert [event.type for event in play(watches, cut, until=10)] == ["new", "end"]


def changes(events: list[Event]) -> list[tuple[str, ...]]:
    return [event.zones for event in events if event.type != "end"]


def at_x(*spans: tuple[float, float]) -> Seen:
    """A person at x from the given second on, until the next span; one left without x is gone."""

    def seen(t: float) -> list[Detection]:
        x = next((x for start, x in reversed(spans) if t >= start), None)
        return [] if x is None or x < 0 else [person(x, height=20)]

    return seen


def test_a_change_within_a_second_of_an_update_is_reported_after_it() -> None:
    events = play(camera_watches(zones=LEFT_RIGHT), at_x((0, 318), (0.8, 326)), until=4)
    assert changes(events) == [("left",), ("right",)]
    new, update = events
    assert (new.captured_at - frame(0).captured_at).total_seconds() == pytest.approx(0.4)
    assert (update.captured_at - frame(0).captured_at).total_seconds() == pytest.approx(0.8)
    assert update.box == person(326, height=20).box


def test_a_zone_crossed_within_a_second_is_reported() -> None:
    events = play(camera_watches(zones=LEFT_RIGHT), at_x((0, 318), (0.6, 326), (1.0, 310)), until=6)
    assert changes(events) == [("left",), ("right",), ("left",)]


def test_a_change_is_reported_even_without_another_detection() -> None:
    events = play(camera_watches(zones=LEFT_RIGHT), at_x((0, 318), (0.8, 326), (1.2, -1)), until=6)
    assert changes(events) == [("left",), ("right",)]
    assert [event.type for event in events] == ["new", "update", "end"]


def test_moving_back_and_forth_queues_no_updates() -> None:
    """Told once a second at most, and nothing is told any more soon after it rests."""
    hopping = at_x(*((0.2 * number, 326 if number % 2 else 310) for number in range(50)))
    resting: Seen = lambda t: hopping(t) if t < 10 else [person(310, height=20)]  # noqa: E731
    watches = camera_watches(zones=LEFT_RIGHT)
    events = [(number / 5, event) for number in range(100)
              for event in watches.update(frame(number / 5), resting(number / 5))]  # fmt: skip
    times = [time for time, _ in events]
    assert all(b - a >= 1 for a, b in itertools.pairwise(times))
    assert times[-1] <= 13
    assert events[-1][1].zones == ("left",)


def test_the_end_event_has_the_last_zones() -> None:
    watches = camera_watches({"people": {"leave": timedelta(milliseconds=500)}}, zones=LEFT_RIGHT)
    events = play(watches, at_x((0, 318), (0.8, 326), (1.0, -1)), until=3)
    assert [event.zones for event in events] == [("left",), ("right",)]
    assert [event.type for event in events] == ["new", "end"]


def test_the_picture_holds_the_zones_that_let_it_count() -> None:
    """Not those that it only stands in as well, and none where it counts everywhere."""
    both = LEFT_RIGHT | PAVEMENT
    watches = camera_watches(
        {"here": {"zones": ["left", "right"]}, "anywhere": {}},
        zones=both,
    )
    shown = {
        event.watch: event.picture and dict(event.picture.zones)
        for event in play(watches, lambda _: [person(100, y=300)], until=2)
        if event.type == "new"
    }
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    assert shown == {"here": {"left": left}, "anywhere": {}}
