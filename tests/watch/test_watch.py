"""The rules of a watch, one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pytest

from streamwatch.pixels import Pixels
from streamwatch.records import Detection, Event, Frame
from streamwatch.watch.camera import CameraWatches
from tests.watch.scenes import START, camera_rules, camera_watches, frame, person, play, told

NEW_AND_END = [("new", "visit-1"), ("end", "visit-1")]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def between(
    start: float, end: float, *detections: Detection
) -> Callable[[float], tuple[Detection, ...]]:
    return lambda t: detections if start <= t < end else ()


def test_a_visit_is_one_new_and_one_end() -> None:
    events = play(camera_watches(), between(1, 5, person(300)), until=12)
    assert told(events) == NEW_AND_END
    new, end = events
    assert new.captured_at == at(1.4)  # the third counting frame at 5 fps
    assert new.started_at == end.started_at == at(1)
    assert new.ended_at is None
    assert end.ended_at == end.captured_at == at(4.8)
    assert end.reason == "left"
    assert (new.sequence, end.sequence) == (0, 1)
    assert new.camera == "porch"
    assert new.watch == "people"
    assert new.box == person(300).box


def test_fewer_hits_than_appear_needs_give_no_event() -> None:
    flicker = lambda t: [person(300)] if round(t * 5) in (5, 6, 20, 35) else []  # noqa: E731
    assert play(camera_watches(), flicker, until=12) == []


def test_hits_must_lie_within_the_time() -> None:
    every_1_4_s = lambda t: [person(300)] if round(t * 5) % 7 == 0 else []  # noqa: E731
    assert play(camera_watches(), every_1_4_s, until=20) == []
    longer = camera_watches({"people": {"appear": {"hits": 3, "within": timedelta(seconds=3)}}})
    assert [event.type for event in play(longer, every_1_4_s, until=20)] == ["new"]


@pytest.mark.parametrize("fps", [1, 2, 5, 15])
def test_default_appear_can_be_met_at_any_rate_with_jitter(fps: int) -> None:
    watches = camera_watches(fps=fps)
    events: list[Event] = []
    for number in range(6 * fps):
        late = 0.02 if number % 2 else 0.0
        events += watches.update(frame(number / fps + late), [person(300)])
    assert [event.type for event in events] == ["new"]


def test_below_the_threshold_nothing_counts() -> None:
    assert play(camera_watches(), between(0, 9, person(300, confidence=0.29)), until=12) == []


def test_a_watch_may_have_a_threshold_of_its_own() -> None:
    watches = camera_watches({"sure": {"confidence": 0.7}, "any": {"confidence": 0.2}})
    events = play(watches, between(0, 4, person(300, confidence=0.5)), until=9)
    assert [(event.watch, event.type) for event in events] == [("any", "new"), ("any", "end")]


@pytest.mark.parametrize(
    ("model_floor", "thresholds", "floor"),
    [
        pytest.param(0.1, (0.7, 0.2), 0.1, id="toybox"),
        pytest.param(0.1, (0.7, 0.1), 0.05, id="half a threshold below toybox's floor"),
        pytest.param(0.02, (0.7, 0.1), 0.02, id="an official model"),
        pytest.param(0.02, (0.7, 0.03), 0.015, id="half a threshold below an official model's"),
    ],
)
def test_the_floor_is_the_models_or_half_the_threshold(
    model_floor: float, thresholds: tuple[float, ...], floor: float
) -> None:
    watches = {f"w{number}": {"confidence": one} for number, one in enumerate(thresholds)}
    assert camera_watches(watches, model_floor=model_floor).floor == pytest.approx(floor)


def weakly_then_surely(watches: CameraWatches) -> list[Event]:
    """What is told of a person that is 0.05 sure for 6 s, from 2.2 s on, and then 0.8 for 1 s."""
    confidences = [0.05] * 30 + [0.8] * 5
    return [
        event
        for number, confidence in enumerate(confidences, start=11)
        for event in watches.update(frame(number / 5), [person(300, confidence=confidence)])
    ]


def test_a_watch_that_goes_on_takes_another_models_floor() -> None:
    """As when `detector.model` is edited: the visit goes on, and its track, which is 0.05 sure,
    is kept alive by the new model's floor."""
    watches = camera_watches(model_floor=0.1)
    (new,) = play(watches, lambda _: [person(300)], until=2)
    assert watches.adopt(camera_rules(model_floor=0.02)) == ()
    assert watches.floor == pytest.approx(0.02)
    later = weakly_then_surely(watches)
    assert [(event.type, event.track) for event in later] == [
        ("end", new.track),
        ("new", new.track),
    ]


def test_a_watch_that_goes_on_keeps_nothing_alive_below_a_higher_floor() -> None:
    watches = camera_watches(model_floor=0.02)
    (new,) = play(watches, lambda _: [person(300)], until=2)
    assert watches.adopt(camera_rules(model_floor=0.1)) == ()
    later = weakly_then_surely(watches)
    assert [event.type for event in later] == ["end", "new"]
    assert later[1].track != new.track


def test_weak_detections_keep_the_track_but_do_not_count() -> None:
    """The event ends `leave` after the last counting frame, though the track lives on."""

    def fading(t: float) -> list[Detection]:
        return [person(300, confidence=0.8 if t < 3 or t >= 8 else 0.15)]

    events = play(camera_watches(), fading, until=10)
    assert told(events) == [*NEW_AND_END, ("new", "visit-2")]
    assert events[1].ended_at == at(2.8)
    assert events[0].track == events[2].track


def test_a_gap_shorter_than_leave_is_one_visit() -> None:
    seen = lambda t: [person(300)] if not 3 <= t < 5.8 else []  # noqa: E731
    assert [event.type for event in play(camera_watches(), seen, until=9)] == ["new"]


def test_a_gap_longer_than_leave_is_two_visits() -> None:
    seen = lambda t: [person(300)] if not 3 <= t < 6.4 else []  # noqa: E731
    events = play(camera_watches(), seen, until=9)
    assert told(events) == [*NEW_AND_END, ("new", "visit-2")]


def test_a_long_leave_keeps_a_parked_object() -> None:
    watches = camera_watches({"people": {"leave": timedelta(seconds=60)}})
    seen = lambda t: [person(300)] if not 10 <= t < 60 else []  # noqa: E731
    assert [event.type for event in play(watches, seen, until=90)] == ["new"]


def test_a_leave_shorter_than_a_frame_does_not_split() -> None:
    watches = camera_watches({"people": {"leave": timedelta(milliseconds=200)}}, fps=1)
    events = play(watches, between(0, 10, person(300)), until=12, fps=1)
    assert told(events) == NEW_AND_END


def test_dwell_counts_from_the_first_frame_over_gaps() -> None:
    watches = camera_watches({"people": {"dwell": timedelta(seconds=10)}})
    seen = lambda t: [person(300)] if t < 4 or 6 <= t < 20 else []  # noqa: E731
    events = play(watches, seen, until=30)
    assert told(events) == NEW_AND_END
    assert events[0].captured_at == at(10)
    assert events[0].started_at == at(0)


def test_an_object_that_leaves_before_dwell_gives_no_event() -> None:
    watches = camera_watches({"people": {"dwell": timedelta(seconds=10)}})
    assert play(watches, between(0, 9, person(300)), until=30) == []


def test_cooldown_counts_from_the_end_of_a_visit() -> None:
    watches = camera_watches({"people": {"cooldown": timedelta(seconds=21)}})
    seen = lambda t: [person(300)] if t % 10 < 3 else []  # noqa: E731
    events = play(watches, seen, until=45)
    news = [event for event in events if event.type == "new"]
    # The visits begin at 0, 10, 20, 30, 40 s; the first ends at 2.8 s, so it is quiet until 23.8.
    assert [event.started_at for event in news] == [at(0), at(30)]


def test_an_object_still_there_after_cooldown_is_reported_then() -> None:
    watches = camera_watches({"people": {"cooldown": timedelta(seconds=20)}})
    seen = lambda t: [person(300)] if t < 3 or t >= 15 else []  # noqa: E731
    news = [event for event in play(watches, seen, until=40) if event.type == "new"]
    assert [event.captured_at for event in news] == [at(0.4), at(22.8)]
    assert news[1].started_at == at(15)


def test_an_unreported_object_starts_no_cooldown() -> None:
    watches = camera_watches(
        {"people": {"cooldown": timedelta(seconds=60), "dwell": timedelta(seconds=5)}}
    )
    seen = lambda t: [person(300)] if t < 3 or t >= 8 else []  # noqa: E731
    news = [event for event in play(watches, seen, until=20) if event.type == "new"]
    assert [event.captured_at for event in news] == [at(13)]


STEPS = {"steps": [(0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6)]}


def test_only_the_foot_point_decides_on_a_zone() -> None:
    watches = camera_watches({"people": {"zones": ["steps"]}}, zones=STEPS)
    head_inside = person(320, y=300, height=130)
    assert play(watches, between(0, 5, head_inside), until=9) == []
    events = play(camera_watches({"people": {"zones": ["steps"]}}, zones=STEPS),
                  between(0, 5, person(320, y=200)), until=9)  # fmt: skip
    assert told(events) == NEW_AND_END
    assert events[0].zones == ("steps",)


def test_leaving_the_zone_ends_the_visit() -> None:
    watches = camera_watches({"people": {"zones": ["steps"]}}, zones=STEPS)
    seen = lambda t: [person(320, y=200 if t < 4 else 260)]  # noqa: E731
    events = play(watches, seen, until=12)
    assert told(events) == NEW_AND_END
    assert events[1].reason == "left"
    assert events[1].ended_at == at(3.8)


def test_a_watch_without_zones_reports_the_zones_and_their_changes() -> None:
    watches = camera_watches(zones=STEPS)
    seen = lambda t: [person(300, y=200 if 3 <= t < 6 else 260)] if t < 9 else []  # noqa: E731
    events = play(watches, seen, until=14)
    assert [(event.type, event.zones) for event in events] == [
        ("new", ()),
        ("update", ("steps",)),
        ("update", ()),
        ("end", ()),
    ]
    assert [event.sequence for event in events] == [0, 1, 2, 3]


def test_a_zone_up_to_the_frames_edge_contains_objects_on_the_edge() -> None:
    watches = camera_watches(
        {"people": {"zones": ["bottom"]}},
        zones={"bottom": [(0, 0.8), (1, 0.8), (1, 1), (0, 1)]},
    )
    assert told(play(watches, between(0, 5, person(320, y=360)), until=9)) == NEW_AND_END


def test_detections_in_an_ignored_area_do_not_count() -> None:
    ignore = [[(0, 0), (0.5, 0), (0.5, 1), (0, 1)]]
    both = lambda t: [person(100), person(500)] if t < 5 else []  # noqa: E731
    events = play(camera_watches(ignore=ignore), both, until=9)
    assert told(events) == NEW_AND_END
    assert events[0].box == person(500).box


@pytest.mark.parametrize(
    ("areas", "alerts"),
    [({}, 1), ({"min_area": 0.02}, 0), ({"max_area": 0.005}, 0), ({"min_area": 0.01}, 1)],
)
def test_area_is_a_share_of_the_frame(areas: dict[str, float], alerts: int) -> None:
    watches = camera_watches({"people": areas})  # the box covers 80 * 32 / (640 * 360) = 1.1 %
    events = play(watches, between(0, 5, person(300)), until=9)
    assert sum(event.type == "new" for event in events) == alerts


def test_two_at_once_are_two_events() -> None:
    seen = lambda t: [person(100 + 20 * t), person(500 - 20 * t)] if t < 6 else []  # noqa: E731
    events = play(camera_watches(), seen, until=12)
    assert sorted(told(events)) == sorted(
        [("new", "visit-1"), ("new", "visit-2"), ("end", "visit-1"), ("end", "visit-2")]
    )
    assert len({event.track for event in events}) == 2


def test_the_prompts_of_a_watch_are_alternatives() -> None:
    """One thing found by two prompts, the surer one changing, is one visit."""
    watches = camera_watches({"people": {"prompt": ["person", "pedestrian"]}})

    def seen(t: float) -> list[Detection]:
        if t >= 6:
            return []
        sure, unsure = ("person", "pedestrian") if t < 3 else ("pedestrian", "person")
        return [person(300, prompt=sure), person(301, confidence=0.5, prompt=unsure)]

    events = play(watches, seen, until=12)
    assert told(events) == NEW_AND_END
    assert [event.prompt for event in events] == ["person", "pedestrian"]


def test_watches_do_not_silence_each_other() -> None:
    watches = camera_watches({"any": {"prompt": ["vehicle"]}, "red": {"prompt": ["red car"]}})
    seen = lambda t: [person(300, prompt="vehicle", confidence=0.9),  # noqa: E731
                      person(300, prompt="red car", confidence=0.4)] if t < 5 else []  # fmt: skip
    events = play(watches, seen, until=9)
    assert sorted(event.watch for event in events) == ["any", "any", "red", "red"]


def test_a_higher_confidence_gives_one_update_a_second_at_most() -> None:
    seen = lambda t: [person(300, confidence=min(0.4 + 0.1 * t, 0.9))] if t < 8 else []  # noqa: E731
    events = play(camera_watches(), seen, until=12)
    types = [event.type for event in events]
    assert types == ["new", *["update"] * types.count("update"), "end"]
    assert types.count("update") >= 3
    told_at = [event.captured_at for event in events[:-1]]
    assert all(b - a >= timedelta(seconds=1) for a, b in itertools.pairwise(told_at))
    best = [event.best_confidence for event in events]
    assert best == sorted(best)
    assert best[-1] == pytest.approx(0.9)


def test_the_snapshot_is_the_best_frame_and_comes_with_its_event() -> None:
    watches = camera_watches()
    events: list[Event] = []
    for number in range(40):
        confidence = {1: 0.95}.get(number, 0.5)
        picture = np.full((360, 640, 3), number, np.uint8)
        shown = Frame("porch", number, START, number / 5, None, Pixels(picture))
        events += watches.update(shown, [person(300 + number, confidence=confidence)])
    new = events[0]
    assert new.snapshot
    assert new.picture is not None
    assert new.picture.picture.bgr()[0, 0, 0] == 1
    assert new.picture.box == person(301).box
    assert new.picture.label == "person 95%"
    assert all(event.picture is None for event in events[1:])


def test_without_snapshot_events_have_no_picture() -> None:
    watches = camera_watches({"people": {"snapshot": False}})
    events = play(watches, between(0, 4, person(300)), until=9)
    assert [(event.snapshot, event.picture) for event in events] == [(False, None)] * 2


def test_a_lost_camera_ends_its_visits_after_leave() -> None:
    watches = camera_watches()
    play(watches, lambda t: [person(300)], until=4)
    assert watches.lost(2.9) == ()
    (end,) = watches.lost(3.1)
    assert (end.type, end.reason, end.ended_at) == ("end", "lost", at(4))
    assert watches.lost(10) == ()


@pytest.mark.parametrize("fps", [1, 2, 5, 15])
@pytest.mark.parametrize("speed", [20, 60, 100, 125])
def test_a_moving_object_is_one_visit_at_any_frame_rate(fps: int, speed: int) -> None:
    """125 px a second is 1.5 heights: at 1 fps no two boxes overlap."""
    watches = camera_watches(fps=fps)
    seen = lambda t: [person(20 + speed * t)] if 20 + speed * t < 620 else []  # noqa: E731
    events = play(watches, seen, until=600 / speed + 5, fps=fps)
    assert told(events) == NEW_AND_END


@pytest.mark.parametrize("fps", [2, 5, 15])
def test_stop_and_go_is_one_visit(fps: int) -> None:
    def x(t: float) -> float:
        return 20 + 90 * (min(t, 3) + max(0.0, t - 8))

    seen = lambda t: [person(x(t))] if x(t) < 620 else []  # noqa: E731
    events = play(camera_watches(fps=fps), seen, until=18, fps=fps)
    assert told(events) == NEW_AND_END


def test_a_duplicate_box_is_no_second_visit() -> None:
    """Head and shoulders detected beside the whole, IoU 0.69, for a while."""

    def seen(t: float) -> list[Detection]:
        whole = person(300)
        x1, y1, x2, y2 = whole.box
        double = Detection("person", 0.6, (x1, y1 + 0.31 * (y2 - y1), x2, y2))
        return [whole, double] if 2 <= t < 4 else [whole] if t < 6 else []

    assert told(play(camera_watches(), seen, until=12)) == NEW_AND_END
