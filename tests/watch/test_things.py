"""What is found in one frame and in the next: one thing or two, and how sure it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.geometry import Box
from streamwatch.records import Detection, MarkedPicture, Track
from streamwatch.watch.rules import Reason
from streamwatch.watch.things import (
    MOST_FOLLOWED,
    MOST_PICTURES,
    SOON_SECONDS,
    Found,
    Thing,
    Things,
)
from streamwatch.watch.visit import Sighting, Visit
from tests.watch.scenes import SIZE, START, frame, person

BELOW = Reason("below", "0.20 is below 0.30")
OUTSIDE = Reason("zone", "outside zone drive")
THRESHOLD = 0.3
KEEP_SECONDS = 3.0
WITHIN_SECONDS = 2.1
HITS = 3


def found(confidence: float, x: float = 300, visit: Visit | None = None, *reasons: Reason) -> Found:
    below = (BELOW,) if confidence < THRESHOLD else ()
    return Found(person(x, confidence=confidence), (*below, *reasons), visit)


def pictured(each: Found) -> MarkedPicture:
    return MarkedPicture(frame(0).picture, each.detection.box, "person")


def followed(
    scene: Sequence[tuple[float, Sequence[Found]]], *, fps: float = 5, hits: int = HITS
) -> Things:
    things = Things(KEEP_SECONDS, hits)
    things.within_seconds = WITHIN_SECONDS
    things.soon_seconds = max(SOON_SECONDS, 1.5 / fps)
    for seconds, seen in scene:
        things.see(frame(seconds), seen, THRESHOLD, pictured)
    return things


def steps(*confidences: float | None, fps: float = 5, **options: Any) -> Thing:
    """The thing that was so sure in one frame after the other, and not found where it is None."""
    scene = [
        (number / fps, [] if confidence is None else [found(confidence)])
        for number, confidence in enumerate(confidences)
    ]
    (thing,) = followed(scene, fps=fps, **options)
    return thing


def visit(id: str | None = None) -> Visit:
    detection = person(300)
    track = Track(1, detection.prompt, detection.box, 0, 0, 0.8, 0.8)
    last = Sighting(track, 0, START, None, SIZE, ())
    return Visit(1, START, 0, last, pictured(Found(detection, (), None)), 0.8, id=id)


# --- reach ----------------------------------------------------------------------------------------


def test_the_reach_is_the_confidence_that_so_many_frames_had() -> None:
    assert steps(0.5, 0.9, 0.6, 0.7).reach == 0.6
    assert steps(0.5, 0.5, 0.5).reach == 0.5
    assert steps(0.5, 0.9, 0.6, 0.7, hits=1).reach == 0.9
    assert steps(0.5, 0.9, 0.6, 0.7, hits=4).reach == 0.5


def test_a_thing_found_in_too_few_frames_reaches_nothing() -> None:
    thing = steps(0.9, 0.9)
    assert (thing.reach, thing.hits, thing.confidence) == (0.0, 2, 0.9)


def test_frames_longer_ago_than_the_time_to_appear_do_not_count() -> None:
    late = [(0.0, [found(0.9)]), (0.2, [found(0.9)]), (2.3, [found(0.5)]), (2.5, [found(0.5)])]
    (thing,) = followed(late)
    assert thing.reach == 0.0
    (thing,) = followed([*late, (2.7, [found(0.4)])])
    assert thing.reach == 0.4
    in_time = [(0.0, [found(0.9)]), (0.2, [found(0.9)]), (2.0, [found(0.5)])]
    (thing,) = followed(in_time)
    assert thing.reach == 0.5


def test_the_reach_never_falls() -> None:
    assert steps(0.8, 0.8, 0.8, *[0.3] * 30).reach == 0.8


def test_weak_frames_and_gaps_do_not_lower_the_reach() -> None:
    thing = steps(0.8, 0.1, None, 0.7, 0.1, None, 0.6)
    assert thing.reach == 0.6
    assert thing.hits == 3


def test_hits_are_the_frames_that_counted_in_the_time_to_appear() -> None:
    assert steps(0.8, 0.2, 0.2, 0.8).hits == 2
    assert steps(0.2, 0.2, 0.2).hits == 0
    assert steps(*[0.8] * 40).hits == 11  # 2 s at 5 frames a second, both ends counted


def test_a_thing_that_only_its_confidence_keeps_from_counting_reaches_something() -> None:
    assert steps(0.2, 0.25, 0.15).reach == 0.15


def test_frames_in_which_it_would_not_count_anyway_reach_nothing() -> None:
    scene = [(number / 5, [found(0.8, 300, None, OUTSIDE)]) for number in range(10)]
    (thing,) = followed(scene)
    assert (thing.reach, thing.hits, thing.confidence) == (0.0, 0, 0.8)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=30), st.integers(1, 5))
def test_the_reach_is_the_greatest_that_any_span_of_the_time_gives(
    confidences: list[float], hits: int
) -> None:
    thing = steps(*confidences, hits=hits)
    spans = [confidences[max(0, end - 10) : end + 1] for end in range(len(confidences))]
    reaches = [sorted(span, reverse=True)[hits - 1] for span in spans if len(span) >= hits]
    assert thing.reach == max(reaches, default=0.0)
    assert thing.hits == max(sum(each >= THRESHOLD for each in span) for span in spans)
    assert thing.confidence == max(confidences)


def test_a_visit_knows_the_reach_of_its_thing() -> None:
    stay = visit()
    (thing,) = followed([(number / 5, [found(0.6, 300, stay)]) for number in range(3)])
    assert thing.visit is stay
    assert stay.reach == 0.6


# --- one thing or two -----------------------------------------------------------------------------


def test_a_thing_that_moves_is_one() -> None:
    scene = [(number / 5, [found(0.5, 100 + 10 * number)]) for number in range(40)]
    (thing,) = followed(scene)
    assert thing.since_seconds == 0.0
    assert thing.box == person(490).box


def test_two_things_side_by_side_stay_two() -> None:
    scene = [(number / 5, [found(0.5, 100), found(0.6, 400)]) for number in range(20)]
    things = followed(scene)
    assert sorted(thing.confidence for thing in things) == [0.5, 0.6]


def test_two_that_cross_stay_two() -> None:
    """Which is which does not matter: each was seen."""
    scene = [
        (number / 5, [found(0.5, 100 + 10 * number), found(0.6, 400 - 10 * number)])
        for number in range(30)
    ]
    assert len(list(followed(scene))) == 2


@pytest.mark.parametrize("fps", [1.0, 2.0, 5.0])
def test_one_that_enters_where_another_has_just_left_is_another(fps: float) -> None:
    """The other is found 1.4 s later, or in the first frame after that."""
    leaves = [(number / fps, [found(0.5, 600 + 4 * number)]) for number in range(4)]
    last = leaves[-1][0]
    first = next(number / fps for number in range(99) if number / fps >= last + 1.4)
    enters = [(first + number / fps, [found(0.5, 590 - 4 * number)]) for number in range(2)]
    assert len(list(followed([*leaves, *enters], fps=fps))) == 2


def test_one_that_is_not_found_for_a_frame_or_two_goes_on() -> None:
    scene = [(0.0, [found(0.5, 300)]), (0.2, []), (0.4, []), (0.6, [found(0.5, 330)])]
    (thing,) = followed(scene)
    assert thing.seen_seconds == 0.6


def test_at_one_frame_a_second_a_thing_that_moves_is_one() -> None:
    scene = [(float(number), [found(0.5, 300 + 30 * number)]) for number in range(5)]
    assert len(list(followed(scene, fps=1))) == 1


def test_a_thing_that_stays_through_a_gap_is_one() -> None:
    scene = [(0.0, [found(0.5, 300)]), (0.2, [found(0.5, 300)]), (2.9, [found(0.5, 301)])]
    (thing,) = followed(scene)
    assert (thing.since_seconds, thing.seen_seconds) == (0.0, 2.9)


def test_what_is_found_elsewhere_after_a_gap_is_another() -> None:
    assert len(list(followed([(0.0, [found(0.5, 300)]), (2.9, [found(0.5, 310)])]))) == 2


def test_what_belongs_to_one_visit_is_one_wherever_it_is() -> None:
    stay = visit()
    scene = [(0.0, [found(0.5, 100, stay)]), (0.2, [found(0.5, 500, stay)])]
    (thing,) = followed(scene)
    assert thing.visit is stay


def test_what_belongs_to_another_visit_is_another_thing_at_the_same_place() -> None:
    one, other = visit(), visit()
    things = followed([(0.0, [found(0.5, 300, one)]), (0.2, [found(0.5, 300, other)])])
    assert [thing.visit for thing in things] == [one, other]


def test_the_nearest_goes_on() -> None:
    things = followed([(0.0, [found(0.5, 300), found(0.5, 340)]), (0.2, [found(0.5, 338)])])
    assert [thing.seen_seconds for thing in things] == [0.0, 0.2]


def test_a_box_without_an_area_is_followed_for_a_frame() -> None:
    nothing = Found(Detection("person", 0.5, (5.0, 5.0, 5.0, 5.0)), (), None)
    assert len(list(followed([(0.0, [nothing]), (0.2, [nothing])]))) == 2


# --- gone -----------------------------------------------------------------------------------------


def test_what_is_not_found_for_so_long_is_gone() -> None:
    things = followed([(0.0, [found(0.5, 100), found(0.6, 400)]), (0.2, [found(0.6, 400)])])
    assert things.take_gone(KEEP_SECONDS - 0.1) == []
    (gone,) = things.take_gone(KEEP_SECONDS)
    assert gone.confidence == 0.5
    assert [thing.confidence for thing in things] == [0.6]
    assert things.take_gone(KEEP_SECONDS) == []


def test_what_was_there_is_there_while_nothing_moves() -> None:
    things = followed([(0.0, [found(0.5, 100)]), (0.2, [found(0.6, 400)])])
    for number in range(1, 20):
        things.stay(0.2 + number)
    (gone,) = things.take_gone(19.2)
    assert gone.confidence == 0.5
    (there,) = things
    assert there.seen_seconds == 19.2
    things.see(frame(19.4), [found(0.5, 400)], THRESHOLD, pictured)
    assert len(list(things)) == 1


def test_all_are_taken_at_the_end() -> None:
    things = followed([(0.0, [found(0.5, 100), found(0.6, 400)])])
    assert len(things.take_all()) == 2
    assert list(things) == []


# --- limits ---------------------------------------------------------------------------------------


def row(count: int, confidence: Callable[[int], float]) -> list[Found]:
    """Small things side by side."""
    boxes: list[Box] = [(60.0 * x, 0.0, 60.0 * x + 20, 20.0) for x in range(count)]
    return [
        Found(Detection("person", confidence(number), box), (), None)
        for number, box in enumerate(boxes)
    ]


def test_no_more_than_the_surest_are_followed() -> None:
    many = row(20, lambda number: 0.3 + number / 100)
    things = followed([(0.0, many)])
    surest = sorted((each.detection.confidence for each in many), reverse=True)[:MOST_FOLLOWED]
    assert [thing.confidence for thing in things] == surest
    things.see(frame(0.2), many, THRESHOLD, pictured)
    assert len(list(things)) == MOST_FOLLOWED


@given(st.lists(st.lists(st.floats(0.01, 1), max_size=20), max_size=8))
def test_no_more_are_followed_and_pictured_than_allowed(frames: list[list[float]]) -> None:
    things = followed([])
    for number, confidences in enumerate(frames):
        seen = row(len(confidences), confidences.__getitem__)
        things.see(frame(number / 5), seen, THRESHOLD, pictured)
        assert len(list(things)) <= MOST_FOLLOWED
        assert sum(thing.best.picture is not None for thing in things) <= MOST_PICTURES


def test_the_surest_things_hold_the_frame_in_which_they_were_surest() -> None:
    things = followed([(0.0, row(4, lambda number: (0.4, 0.6, 0.5, 0.7)[number]))])
    held = {thing.confidence: thing.best.picture is not None for thing in things}
    assert held == {0.4: False, 0.5: False, 0.6: True, 0.7: True}


def test_the_picture_is_of_the_frame_in_which_it_was_surest() -> None:
    thing = steps(0.4, 0.8, 0.6)
    assert thing.best.captured_at == frame(0.2).captured_at
    assert thing.best.frame_size == SIZE
    assert thing.confidence == 0.8


def test_a_picture_that_is_not_wanted_is_not_held() -> None:
    things = Things(KEEP_SECONDS, HITS)
    things.see(frame(0), [found(0.5)], THRESHOLD, lambda _: None)
    (thing,) = things
    assert thing.best.picture is None


def test_a_thing_that_is_told_holds_no_picture() -> None:
    stay = visit()
    things = followed([(0.0, [found(0.5, 300, stay)])])
    (thing,) = things
    assert thing.best.picture is not None
    stay.id = "told"
    asked: list[Found] = []

    def picture(each: Found) -> MarkedPicture:
        asked.append(each)
        return pictured(each)

    things.see(frame(0.2), [found(0.9, 300, stay)], THRESHOLD, picture)
    assert thing.told
    assert thing.best.picture is None
    assert asked == []


def test_a_thing_drops_its_picture_once_it_is_told() -> None:
    stay = visit()
    things = followed([(0.0, [found(0.9, 300, stay)])])
    stay.id = "told"
    things.see(frame(0.2), [found(0.5, 300, stay)], THRESHOLD, pictured)
    assert [thing.best.picture for thing in things] == [None]


def test_the_picture_of_a_thing_that_is_told_makes_room_for_another() -> None:
    stay = visit()
    things = followed([(0.0, [found(0.9, 100, stay), found(0.5, 300), found(0.4, 500)])])
    assert [thing.best.picture is not None for thing in things] == [True, True, False]
    stay.id = "told"
    things.see(frame(0.2), [found(0.8, 100, stay), found(0.45, 500)], THRESHOLD, pictured)
    assert [thing.best.picture is not None for thing in things] == [False, True, True]


def test_a_told_thing_leaves_its_room_to_others() -> None:
    told = visit("told")
    scene = [(0.0, [found(0.9, 100, told), found(0.5, 300), found(0.4, 500)])]
    held = {thing.confidence: thing.best.picture is not None for thing in followed(scene)}
    assert held == {0.9: False, 0.5: True, 0.4: True}
