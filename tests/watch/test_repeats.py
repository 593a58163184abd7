"""Frames that are not analysed since nothing moved: they count as seen, and change no event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.records import Detection, Event
from streamwatch.watch.camera import CameraWatches
from tests.watch.scenes import camera_watches, frame, person, told
from tests.watch.test_properties import ZONES, people, watch_settings

pytestmark = pytest.mark.slow(seconds=15)

FPS = 5.0
Segment = tuple[list[Detection], int]
"""What is there, and for how many frames."""


def analysed(watches: CameraWatches, segments: Sequence[Segment], fps: float = FPS) -> list[Event]:
    """The events where every frame is analysed."""
    events: list[Event] = []
    number = 0
    for scene, count in segments:
        for _ in range(count):
            events += watches.update(frame(number / fps), scene)
            number += 1
    return events


def gated(
    watches: CameraWatches,
    segments: Sequence[Segment],
    asleep: Sequence[bool],
    fps: float = FPS,
) -> tuple[list[Event], int]:
    """The events, and how many frames were analysed, where one may be left out that shows what the
    last analysed one did, and the gate is `asleep`."""
    events: list[Event] = []
    number = looked = 0
    last: list[Detection] | None = None
    for scene, count in segments:
        for _ in range(count):
            now = frame(number / fps)
            if asleep[number % len(asleep)] and scene == last and watches.may_repeat(now):
                events += watches.repeat(now)
            else:
                events += watches.update(now, scene)
                last = scene
                looked += 1
            number += 1
    return events, looked


def kept(event: Event) -> Event:
    """Without its picture, which is of another frame object."""
    return replace(event, picture=None)


def compared(events: Sequence[Event]) -> list[object]:
    return [repr(kept(event)) for event in events]


segments = st.lists(st.tuples(people, st.sampled_from([1, 2, 3, 8, 40, 120])), max_size=8)
decisions = st.lists(st.booleans(), min_size=1, max_size=30)


@settings(max_examples=300)
@given(one=watch_settings, two=watch_settings, segments=segments, asleep=decisions)
def test_the_events_are_those_of_every_frame_analysed(
    one: dict[str, Any], two: dict[str, Any], segments: list[Segment], asleep: list[bool]
) -> None:
    watches = {"one": one, "two": two}
    whole = analysed(camera_watches(watches, zones=ZONES), segments)
    found, _ = gated(camera_watches(watches, zones=ZONES), segments, asleep)
    for name, keys in watches.items():
        expected = [event for event in whole if event.watch == name]
        mine = [event for event in found if event.watch == name]
        if "without" not in keys:
            assert compared(own_ids(mine)) == compared(own_ids(expected))
            continue
        # What it must not be beside is remembered for a second; a thing that counts from then on
        # begins in a repeated frame, and appears when the next ones are analysed.
        assert bounds(mine) == bounds(expected)


def own_ids(events: Sequence[Event]) -> list[Event]:
    """With ids numbered within these, since two watches take turns with them."""
    numbers: dict[str, str] = {}
    return [replace(e, id=numbers.setdefault(e.id, str(len(numbers)))) for e in events]


def bounds(events: Sequence[Event]) -> list[tuple[object, ...]]:
    """Of each visit that has ended its track, begin, end and reason."""
    return [
        (event.track, event.started_at, event.ended_at, event.reason)
        for event in events
        if event.type == "end"
    ]


STANDING = [person(300)]
NOBODY: list[Detection] = []
ALWAYS = [True]


def test_a_parcel_that_lies_still_is_alerted_after_its_dwell() -> None:
    watches = camera_watches({"parcels": {"dwell": "60s"}})
    events, looked = gated(watches, [(NOBODY, 50), (STANDING, 400)], ALWAYS)
    assert told(events) == [("new", "visit-1")]
    (new,) = events
    assert (new.captured_at - new.started_at).total_seconds() == 60
    assert looked <= 1 + 3 + 400 / FPS / 2 + 5


def test_a_car_that_stays_for_hours_costs_a_frame_every_two_seconds() -> None:
    watches = camera_watches({"cars": {}})
    hours = round(3 * 3600 * FPS)
    events, looked = gated(watches, [(STANDING, hours), (NOBODY, 30)], ALWAYS)
    assert told(events) == [("new", "visit-1"), ("end", "visit-1")]
    assert (events[1].captured_at - events[0].captured_at).total_seconds() > 3 * 3600 - 3
    assert looked == pytest.approx(3 * 3600 / 2, rel=0.02)


@pytest.mark.parametrize("fps", [1, 5, 15])
def test_an_empty_scene_is_looked_at_every_ten_seconds(fps: float) -> None:
    _, looked = gated(camera_watches(fps=fps), [(NOBODY, round(100 * fps))], ALWAYS, fps)
    assert looked == 10


@pytest.mark.parametrize("hits", [2, 3])
def test_one_false_detection_alone_alerts_nobody(hits: int) -> None:
    """Whatever the gate then says, its repeats are no hits."""
    watches = camera_watches({"people": {"appear": {"hits": hits}}})
    events = list(watches.update(frame(0), STANDING))
    for number in range(1, 100):
        events += watches.repeat(frame(number / FPS))
    assert events == []


def test_while_something_is_about_to_appear_every_due_frame_is_analysed() -> None:
    watches = camera_watches()
    watches.update(frame(0), NOBODY)
    assert watches.may_repeat(frame(0.2))
    watches.update(frame(0.4), STANDING)
    assert not watches.may_repeat(frame(0.6))
    watches.update(frame(0.6), STANDING)
    assert not watches.may_repeat(frame(0.8))
    watches.update(frame(0.8), STANDING)
    assert watches.may_repeat(frame(1.0))


@pytest.mark.parametrize("leave", ["3s", "10m"])
def test_what_was_missed_once_is_looked_for_in_every_due_frame(leave: str) -> None:
    """The detector may have missed it, and repeats of that would end the visit. With a long `leave`
    that is over after some seconds."""
    watches = camera_watches({"people": {"leave": leave}})
    for number in range(5):
        watches.update(frame(number / FPS), STANDING)
    watches.update(frame(1.0), NOBODY)
    assert not watches.may_repeat(frame(1.2))
    watches.update(frame(1.2), STANDING)
    assert watches.may_repeat(frame(1.4))
    missing = [number / FPS for number in range(7, 60)]
    awake = []
    for before, now in pairwise(missing):
        watches.update(frame(before), NOBODY)
        awake.append(not watches.may_repeat(frame(now)))
    assert awake[:14] == [True] * 14
    assert not any(awake[-20:])


def test_what_is_told_late_is_of_the_frame_it_was_told_at() -> None:
    """A file's `position` and the picture's time go on while nothing is analysed."""
    watches = camera_watches({"people": {"dwell": "4s"}})
    events = list(watches.update(frame(0), STANDING))
    for number in (1, 2):
        events += watches.update(frame(number / FPS), STANDING)
    for number in range(3, 30):
        events += watches.repeat(frame(number / FPS))
    (new,) = events
    assert new.captured_at == frame(4.0).captured_at


def test_without_watches_a_frame_is_looked_at_every_ten_seconds() -> None:
    watches = camera_watches({})
    watches.update(frame(0), [])
    assert watches.may_repeat(frame(9.8))
    assert not watches.may_repeat(frame(10))


def test_the_first_frame_is_never_a_repeat() -> None:
    assert not camera_watches().may_repeat(frame(0))


def test_a_clock_that_starts_anew_is_followed() -> None:
    """As a file's that is opened again: its frames come after those before, 1/fps apart."""
    watches = camera_watches()
    watches.update(frame(100), NOBODY)
    assert watches.may_repeat(frame(3))
    watches.repeat(frame(3))
    assert watches.may_repeat(frame(12))
    assert not watches.may_repeat(frame(13.2))
