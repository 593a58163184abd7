"""A visit is one visit, whatever happens to the thing, the camera and its clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from streamwatch.records import Detection, Event
from tests.watch.scenes import Seen, camera_watches, frame, person, play, told

RATES = [1, 2, 5, 15]
ONE_VISIT = [("new", "visit-1"), ("end", "visit-1")]


def noisy(seen: Seen, seed: int, missed: float = 0.1) -> Seen:
    """Edges off by 3 % of the box, confidences by 0.15, and each thing missed now and then."""

    def blurred(t: float) -> list[Detection]:
        chance = random.Random(f"{seed} {t:.3f}")
        found = []
        for thing in seen(t):
            x1, y1, x2, y2 = thing.box
            width, height = x2 - x1, y2 - y1
            off = [chance.gauss(0, 0.03) for _ in range(4)]
            box = (x1 + off[0] * width, y1 + off[1] * height,
                   x2 + off[2] * width, y2 + off[3] * height)  # fmt: skip
            confidence = min(0.99, max(0.05, thing.confidence + chance.gauss(0, 0.15)))
            if chance.random() >= missed:
                found.append(Detection(thing.prompt, confidence, box))
        return found

    return blurred


def visits(events: Sequence[Event]) -> tuple[int, int]:
    types = [event.type for event in events if event.type != "update"]
    return types.count("new"), types.count("end")


def walker(x: Callable[[float], float]) -> Seen:
    return lambda t: [person(x(t))] if 0 < x(t) < 640 else []


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("speed", [0, 30, 60, 100])
@pytest.mark.parametrize("hidden", [0.5, 1, 1.5, 1.9])
def test_hidden_for_less_than_leave_on_the_way(fps: int, speed: float, hidden: float) -> None:
    def seen(t: float) -> list[Detection]:
        if 2.5 <= t < 2.5 + hidden or t > 6:
            return []
        return [person(20 + speed * t)]

    assert told(play(camera_watches(fps=fps), seen, until=12, fps=fps)) == ONE_VISIT


@pytest.mark.parametrize("fps", [2, 5, 15])
@pytest.mark.parametrize("speed", [40, 80, 120])
def test_turning_round_is_one_visit(fps: int, speed: float) -> None:
    seen = walker(lambda t: 20 + speed * (t if t < 3 else 6 - t))
    events = play(camera_watches(fps=fps), noisy(seen, seed=1), until=12, fps=fps)
    assert visits(events) == (1, 1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fps", [2, 5, 15])
def test_two_prompts_with_different_boxes_are_one_object(fps: int, seed: int) -> None:
    """The second word finds the head and body only, and a box that is off makes no visit."""

    def seen(t: float) -> list[Detection]:
        if t >= 12:
            return []
        x = 100 + 30 * t
        return [person(x), person(x, prompt="pedestrian", confidence=0.6, height=66)]

    watches = camera_watches({"people": {"prompt": ["person", "pedestrian"]}}, fps=fps)
    assert visits(play(watches, noisy(seen, seed), until=18, fps=fps)) == (1, 1)


@pytest.mark.parametrize("fps", RATES)
def test_the_prompt_that_matches_may_change_each_frame(fps: int) -> None:
    def seen(t: float) -> list[Detection]:
        prompt = ("person", "pedestrian")[round(t * fps) % 2]
        return [person(100 + 30 * t, prompt=prompt)] if t < 12 else []

    watches = camera_watches({"people": {"prompt": ["person", "pedestrian"]}}, fps=fps)
    assert told(play(watches, seen, until=18, fps=fps))[::-1][0] == ("end", "visit-1")


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("speed", [40, 80])
def test_two_similar_objects_that_cross_keep_their_tracks(
    fps: int, hidden: bool, speed: float
) -> None:
    """With the one behind hidden while they overlap: each leaves where it was heading."""

    def seen(t: float) -> list[Detection]:
        right, left = 20 + speed * t, 620 - speed * t
        found = [person(right)] if right < 620 else []
        if left > 20 and not (hidden and abs(left - right) < 22):
            found.append(person(left, y=215))
        return found

    events = play(camera_watches(fps=fps), seen, until=600 / speed + 6, fps=fps)
    starts = {event.id: event.box for event in events if event.type == "new"}
    ends = {event.id: event.box for event in events if event.type == "end"}
    assert len(starts) == len(ends) == 2
    assert all((starts[id][0] < 320) != (ends[id][0] < 320) for id in starts)


@pytest.mark.parametrize("fps", [5, 15])
def test_two_objects_briefly_in_one_box_stay_two_visits(fps: int) -> None:
    """While they pass each other, a box around both takes the place of one."""

    def seen(t: float) -> list[Detection]:
        people = [person(100 + 50 * t), person(600 - 50 * t, y=205)]
        if abs(t - 5) > 0.3:
            return people if t < 10 else []
        boxes = [thing.box for thing in people]
        corners = (min(b[0] for b in boxes), min(b[1] for b in boxes),
                   max(b[2] for b in boxes), max(b[3] for b in boxes))  # fmt: skip
        return [Detection("person", 0.85, corners), *people]

    assert visits(play(camera_watches(fps=fps), seen, until=15, fps=fps)) == (2, 2)


@pytest.mark.parametrize("fps", [5, 15])
def test_a_part_of_an_object_is_no_visit(fps: int) -> None:
    """Found within it for a while, with less than half of its area: legs, or head and shoulders."""

    def seen(t: float) -> list[Detection]:
        if t >= 8:
            return []
        legs = Detection("person", 0.6, (290, 164, 314, 201))
        return [person(300), legs] if t >= 3 else [person(300)]

    assert visits(play(camera_watches(fps=fps), seen, until=12, fps=fps)) == (1, 1)


def test_a_small_object_before_a_much_larger_one_is_a_visit() -> None:
    watches = camera_watches({"any": {"prompt": ["bus", "person"]}})
    bus = Detection("bus", 0.9, (100, 50, 500, 300))
    seen = lambda t: [bus, person(300)] if t >= 3 else [bus]  # noqa: E731
    assert visits(play(watches, seen, until=10)) == (2, 0)


@pytest.mark.parametrize("fps", RATES)
def test_single_detections_make_no_visit(fps: int) -> None:
    seen = lambda t: [person(300)] if round(t * fps) % (4 * fps) == 1 else []  # noqa: E731
    assert play(camera_watches(fps=fps), seen, until=60, fps=fps) == []


@pytest.mark.parametrize("fps", RATES)
def test_a_parked_object_is_one_visit(fps: int) -> None:
    seen = noisy(lambda t: [person(300, confidence=0.7)], seed=3, missed=0.05)
    until = 300 if fps < 5 else 60
    events = play(camera_watches(fps=fps), seen, until=until, fps=fps)
    assert visits(events) == (1, 0)


@pytest.mark.parametrize("fps", RATES)
def test_leaving_and_coming_back_is_two_visits(fps: int) -> None:
    seen = lambda t: [person(300)] if t < 5 or 10 < t < 16 else []  # noqa: E731
    assert visits(play(camera_watches(fps=fps), seen, until=25, fps=fps)) == (2, 2)


# --- the camera and its clock ---------------------------------------------------------------------


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("before", [0.0, 3.9, 7200.0])
@pytest.mark.parametrize("stays", [0.0, 5.0])
def test_frame_times_that_restart_change_nothing(fps: int, before: float, stays: float) -> None:
    """As of a file that is opened again: the visit goes on, and ends when the thing is gone."""
    watches = camera_watches(fps=fps)
    frames = [before + number / fps for number in range(4 * fps)]
    again = [number / fps for number in range(12 * fps)]
    events = [event for at in frames for event in watches.update(frame(at), [person(300)])]
    for at in again:
        events += watches.update(frame(at), [person(300)] if at < stays else [])
    assert told(events) == ONE_VISIT
    assert events[-1].reason == "left"


def test_frames_with_equal_times_change_nothing() -> None:
    watches = camera_watches()
    events = [event for _ in range(50) for event in watches.update(frame(1.0), [person(300)])]
    assert [event.type for event in events] == ["new"]


@pytest.mark.parametrize("fps", RATES)
def test_hours_without_a_frame_end_the_visit(fps: int) -> None:
    """Nobody knows what was in between, so a thing that is there afterwards is a new visit."""
    watches = camera_watches(fps=fps)
    seen = lambda t: [person(300)]  # noqa: E731
    events = play(watches, seen, until=4, fps=fps)
    for number in range(4 * fps):
        events += watches.update(frame(7200 + number / fps), [person(300)])
    assert [(event.type, event.reason) for event in events] == [
        ("new", None), ("end", "left"), ("new", None),
    ]  # fmt: skip
    assert len({event.track for event in events}) == 2


@pytest.mark.parametrize("gone", [0.5, 2.5])
def test_a_reconnect_within_leave_is_one_visit(gone: float) -> None:
    watches = camera_watches()
    events = play(watches, lambda t: [person(100 + 20 * t)], until=4)
    assert watches.lost(gone) == ()
    for number in range(10):
        at = 4 + gone + number / 5
        events += watches.update(frame(at), [person(100 + 20 * at)])
    assert [event.type for event in events] == ["new"]


def test_a_reconnect_after_leave_begins_a_new_visit() -> None:
    watches = camera_watches()
    events = play(watches, lambda t: [person(100)], until=4)
    events += watches.lost(3.5)
    for number in range(10):
        events += watches.update(frame(10 + number / 5), [person(100)])
    assert [(event.type, event.reason) for event in events] == [
        ("new", None), ("end", "lost"), ("new", None),
    ]  # fmt: skip


SIZES = [(1280, 720), (320, 180), (640, 480)]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("size", SIZES)
def test_a_change_of_the_frames_size_neither_splits_nor_doubles(
    fps: int, size: tuple[int, int]
) -> None:
    """The same view in other pixels; two side by side, walking on."""
    x, y = size[0] / 640, size[1] / 360
    watches = camera_watches(fps=fps, zones={"all": [(0, 0), (1, 0), (1, 1), (0, 1)]})
    events: list[Event] = []
    for number in range(18 * fps):
        t = number / fps
        people = [person(60 + 25 * t), person(160 + 25 * t)] if t < 12 else []
        if 4 <= t < 8:
            people = [
                Detection(p.prompt, p.confidence, (b[0] * x, b[1] * y, b[2] * x, b[3] * y))
                for p in people
                for b in [p.box]
            ]
        events += watches.update(frame(t, size if 4 <= t < 8 else (640, 360)), people)
    assert visits(events) == (2, 2)
    assert [event.type for event in events] == ["new", "new", "end", "end"]
    starts = {event.id: event.box[0] for event in events if event.type == "new"}
    ends = {event.id: event.box[0] for event in events if event.type == "end"}
    first, second = starts
    assert ends[second] - ends[first] == pytest.approx(starts[second] - starts[first], abs=1)


def test_an_event_has_the_size_of_its_own_frame() -> None:
    watches = camera_watches({"people": {"leave": timedelta(seconds=1)}})
    events = play(watches, lambda t: [person(300)], until=2)
    double = Detection("person", 0.8, (568, 240, 632, 400))
    events += watches.update(frame(2.2, (1280, 720)), [double])
    events += watches.update(frame(4, (320, 180)), [])
    assert [(event.type, event.frame_size) for event in events] == [
        ("new", (640, 360)), ("end", (1280, 720)),
    ]  # fmt: skip
    assert events[1].box == double.box
