"""A visit over a restart of the daemon: what goes on, what ends, what is told of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from streamwatch.publisher import SqliteOutbox
from streamwatch.records import Detection, EndReason, Event, Remembered
from streamwatch.watch.camera import CameraWatches
from tests.watch.scenes import START, camera_rules, camera_watches, frame, person

Watches = dict[str, dict[str, Any]]
Told = list[tuple[str, str, int, EndReason | None]]
PEOPLE: Watches = {"people": {}}
COOLDOWN: Watches = {"people": {"cooldown": timedelta(seconds=60)}}


class Life:
    """A daemon's life from `start` seconds on, in which frames come 5 a second.

    `events` are all of it. `outbox` is what outlives it.
    """

    def __init__(
        self,
        outbox: SqliteOutbox,
        watches: Watches = PEOPLE,
        *,
        start: float = 0.0,
        number: int = 1,
        **camera: Any,
    ) -> None:
        self.outbox = outbox
        self.seconds = start
        self.events: list[Event] = []
        self.watches: CameraWatches = camera_watches(watches, life=number, **camera)
        self.keep(self.watches.recall(remembered(outbox, at(start))))

    def keep(self, events: Sequence[Event]) -> None:
        self.events += events
        for event in events:
            self.outbox.remove(self.outbox.add(event, time.monotonic()))

    def see(
        self,
        *scene: Detection,
        seconds: float = 2.0,
        size: tuple[int, int] = (640, 360),
    ) -> Life:
        for _ in range(round(seconds * 5)):
            self.keep(self.watches.update(frame(self.seconds, size), scene))
            self.seconds += 0.2
        return self

    def stop(self) -> SqliteOutbox:
        self.keep(self.watches.close("shutdown"))
        return self.outbox

    @property
    def told(self) -> Told:
        return [(event.type, event.id, event.sequence, event.reason) for event in self.events]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def remembered(outbox: SqliteOutbox, now: datetime) -> list[Remembered]:
    return [
        replace(visit, age_seconds=max(0.0, (now - visit.last.captured_at).total_seconds()))
        for visit in outbox.visits()
    ]


def crashed(*scene: Detection, watches: Watches = PEOPLE, **camera: Any) -> SqliteOutbox:
    """What is left of 2 s of this."""
    life = Life(SqliteOutbox(), watches, **camera).see(*scene)
    life.outbox.remember(life.watches.open_visits())
    assert life.outbox.visits()
    return life.outbox


def stopped(*scene: Detection, watches: Watches = PEOPLE, **camera: Any) -> SqliteOutbox:
    return Life(SqliteOutbox(), watches, **camera).see(*scene).stop()


def again(outbox: SqliteOutbox, watches: Watches = PEOPLE, *, after: float = 30.0) -> Life:
    return Life(outbox, watches, start=2 + after, number=2)


GONE_ON: Told = [("update", "visit-1", 1, None)]
MISSED: Told = [("end", "visit-1", 1, "restart")]


# --- after a crash --------------------------------------------------------------------------------


def test_after_a_crash_a_visit_goes_on_at_the_first_detection() -> None:
    life = again(crashed(person(300, confidence=0.7)))
    life.see(person(304, confidence=0.6), seconds=0.2)
    (event,) = life.events
    assert life.told == GONE_ON
    assert (event.started_at, event.captured_at) == (at(0), at(32))
    assert (event.confidence, event.best_confidence) == (0.6, 0.7)
    assert (event.track, event.continues, event.picture) == (1, None, None)
    life.see(person(304, confidence=0.6)).see(seconds=4)
    assert life.told == [*GONE_ON, ("end", "visit-1", 2, "left")]
    assert life.events[-1].started_at == at(0)


def test_numbers_of_tracks_go_on_after_the_highest_that_is_remembered() -> None:
    """At once: somebody else may have written it to the broker."""
    (visit,) = remembered(crashed(person(300)), at(30))
    life = Life(SqliteOutbox(), start=32, number=2)
    life.watches.recall([replace(visit, last=replace(visit.last, track=10**18))])
    life.see(person(10))
    (event,) = [event for event in life.events if event.type == "new"]
    assert event.track == 10**18 + 1


def test_a_higher_confidence_than_before_the_crash_gives_a_new_snapshot() -> None:
    life = again(crashed(person(300, confidence=0.7))).see(person(300, confidence=0.8))
    assert life.told == GONE_ON
    assert life.events[0].best_confidence == 0.8
    assert life.events[0].picture is not None
    life.see(person(300, confidence=0.9))
    assert [event.best_confidence for event in life.events] == [0.8, 0.9]


@pytest.mark.parametrize(
    ("thing", "goes_on"),
    [
        pytest.param(person(300), True, id="still there"),
        pytest.param(person(308), True, id="IoU 0.6"),
        pytest.param(person(314), False, id="IoU 0.4"),
        pytest.param(person(300, y=160, height=40), False, id="another in its place"),
        pytest.param(person(500), False, id="elsewhere"),
        pytest.param(person(300, confidence=0.2), False, id="too uncertain to count"),
    ],
)
def test_a_visit_goes_on_with_a_detection_at_the_same_place(
    thing: Detection, goes_on: bool
) -> None:
    for outbox in crashed(person(300)), stopped(person(300)):
        life = again(outbox).see(thing, seconds=5)
        continued = any(event.continues == "visit-1" for event in life.events)
        assert (("update", "visit-1", 1, None) in life.told or continued) is goes_on


def test_places_are_compared_as_shares_of_the_frame() -> None:
    large = Detection("person", 0.8, (568, 240, 632, 400))
    life = again(crashed(person(300))).see(large, size=(1280, 720))
    assert life.told == GONE_ON
    assert life.events[0].frame_size == (1280, 720)


def test_a_visit_unseen_for_leave_ends_at_its_last_detection() -> None:
    life = again(crashed(person(300))).see(seconds=3)
    assert life.told == []
    life.see(seconds=0.2)
    (end,) = life.events
    assert life.told == MISSED
    assert (end.captured_at, end.ended_at, end.started_at) == (at(1.8), at(1.8), at(0))
    assert end.box == person(300).box
    assert life.outbox.visits() == ()


def test_leave_does_not_run_before_the_camera_is_online() -> None:
    life = again(crashed(person(300)))
    life.keep(life.watches.lost(500))
    life.seconds += 500
    life.see(person(300))
    assert life.told == GONE_ON


def test_leave_does_not_run_while_the_camera_is_lost_again() -> None:
    life = again(crashed(person(300))).see(seconds=2)
    life.keep(life.watches.lost(60))
    life.seconds += 60
    life.see(seconds=2).see(person(300))
    assert life.told == GONE_ON


@pytest.mark.parametrize(("gone", "kept"), [(569.0, True), (571.0, False)])
def test_without_the_camera_a_visit_is_kept_for_ten_minutes(gone: float, kept: bool) -> None:
    life = again(crashed(person(300)))  # it was seen 30.2 s ago
    life.keep(life.watches.lost(gone))
    assert life.told == ([] if kept else MISSED)


@pytest.mark.parametrize("after", [590, 601])
def test_the_ten_minutes_count_from_the_last_detection(after: float) -> None:
    life = again(crashed(person(300)), after=after)
    assert life.told == ([] if after < 600 else MISSED)
    life.see(person(300))
    assert life.told[0] == (GONE_ON if after < 600 else MISSED)[0]


def test_the_ten_minutes_count_while_the_camera_gives_no_frame() -> None:
    life = again(crashed(person(300)))
    for _ in range(3):
        assert life.told == []
        life.keep(life.watches.lost(250.0))
        life.see(seconds=0.2)
    assert life.told == MISSED


def test_a_clock_set_back_expires_no_visit() -> None:
    life = Life(crashed(person(300)), start=-3600, number=2).see(person(300))
    assert life.told == GONE_ON


def test_a_long_visits_age_counts_from_its_last_detection() -> None:
    """Nothing is told of a parked car for hours, so how it stands is remembered beside that."""
    before = Life(SqliteOutbox()).see(person(300)).see(person(300), seconds=700)
    before.outbox.remember(before.watches.open_visits())
    life = Life(before.outbox, start=before.seconds + 30, number=2).see(person(300))
    assert before.told == [("new", "visit-1", 0, None)]
    assert life.told == GONE_ON


def test_a_visit_goes_on_at_its_last_box_not_the_last_published_one() -> None:
    before = Life(SqliteOutbox()).see(person(300))
    for x in range(300, 360, 2):
        before.see(person(x), seconds=0.2)
    before.outbox.remember(before.watches.open_visits())
    assert before.told == [("new", "visit-1", 0, None)]
    life = Life(before.outbox, start=60, number=2).see(person(360))
    assert life.told == GONE_ON


def test_each_visit_goes_on_with_the_nearest_detection() -> None:
    """Two side by side, each nearer to one of the two before; a third has come."""
    outbox = crashed(person(300), person(330))
    ids = {visit.last.box: visit.last.id for visit in outbox.visits()}
    life = again(outbox).see(person(303), person(335), person(500))
    assert {(event.type, event.id, event.box) for event in life.events} == {
        ("update", ids[person(300).box], person(303).box),
        ("update", ids[person(330).box], person(335).box),
        ("new", "life-2-visit-1", person(500).box),
    }
    assert {event.track for event in life.events} == {1, 2, 5}


def test_of_two_visits_at_one_place_one_goes_on_and_one_ends() -> None:
    outbox = SqliteOutbox()
    life = Life(outbox).see(person(300))
    (first,) = life.events
    twin = replace(first, id="twin", box=person(304).box)
    outbox.remove(outbox.add(twin, time.monotonic()))
    after = again(outbox).see(person(301), seconds=5)
    assert after.told == [*GONE_ON, ("end", "twin", 1, "restart")]


def test_one_detection_only_continues_a_visit() -> None:
    life = again(crashed(person(306))).see(person(299), person(312))
    assert [event.box for event in life.events if event.id == "visit-1"] == [person(312).box]
    assert life.told[1:] == [("new", "life-2-visit-1", 0, None)]


def test_a_visit_goes_on_after_two_crashes() -> None:
    once = again(crashed(person(300))).see(person(300))
    twice = Life(once.outbox, start=60, number=3).see(person(300)).see(seconds=4)
    assert [*once.told, *twice.told] == [
        ("update", "visit-1", 1, None),
        ("update", "visit-1", 2, None),
        ("end", "visit-1", 3, "left"),
    ]


# --- after a clean stop ---------------------------------------------------------------------------


def test_after_a_stop_a_new_visit_continues_the_previous_one() -> None:
    life = again(stopped(person(300))).see(person(300), seconds=0.2)
    (new,) = life.events
    assert life.told == [("new", "life-2-visit-1", 0, None)]
    assert (new.continues, new.started_at, new.track) == ("visit-1", at(32), 2)
    assert new.picture is not None
    life.see(person(300)).see(seconds=4)
    assert [(event.type, event.continues) for event in life.events] == [
        ("new", "visit-1"), ("end", "visit-1"),
    ]  # fmt: skip
    assert life.outbox.visits() == ()


def test_an_object_gone_after_a_stop_gives_no_event() -> None:
    outbox = stopped(person(300))
    life = again(outbox).see(seconds=3.4)
    assert life.watches.open_visits() == ()
    life.see(person(300))
    assert life.told == [("new", "life-2-visit-1", 0, None)]
    assert life.events[0].continues is None


def test_a_stopped_visit_is_remembered_over_another_stop() -> None:
    life = again(stopped(person(300))).see(seconds=1)
    assert [event.id for event in life.watches.open_visits()] == ["visit-1"]
    third = Life(life.stop(), start=40, number=3).see(person(300))
    assert [event.continues for event in third.events] == ["visit-1"]


def test_a_stop_before_the_first_detection_ends_a_crashed_visit() -> None:
    life = again(crashed(person(300)))
    third = Life(life.stop(), start=40, number=3).see(person(300))
    assert life.told == [("end", "visit-1", 1, "shutdown")]
    assert [(event.type, event.continues) for event in third.events] == [("new", "visit-1")]


def test_a_visit_stopped_too_long_ago_is_forgotten() -> None:
    life = again(stopped(person(300)), after=601)
    assert (life.told, life.watches.open_visits()) == ([], ())


# --- what holds an alert back, and what does not --------------------------------------------------

HELD_BACK = [
    pytest.param({"dwell": timedelta(seconds=1)}, {"dwell": timedelta(hours=1)}, id="dwell"),
    pytest.param({}, {"appear": {"hits": 10, "within": timedelta(seconds=5)}}, id="appear"),
    pytest.param({}, {"active": ["13:00-14:00"]}, id="active"),
]


@pytest.mark.parametrize(("before", "now"), HELD_BACK)
def test_a_continued_visit_need_not_meet_the_conditions_again(
    before: dict[str, Any], now: dict[str, Any]
) -> None:
    outbox = crashed(person(300), watches={"people": before})
    assert again(outbox, {"people": now}).see(person(300), seconds=0.4).told == GONE_ON
    outbox = stopped(person(300), watches={"people": before})
    life = again(outbox, {"people": now}).see(person(300), seconds=0.4)
    assert [event.continues for event in life.events] == ["visit-1"]


def test_cooldown_holds_back_other_visits_only() -> None:
    """Of a visit that a stop ended, and of one that was missed after a crash."""
    for outbox, ends in (
        (stopped(person(300), watches=COOLDOWN), []),
        (crashed(person(300), watches=COOLDOWN), MISSED),
    ):
        life = again(outbox, COOLDOWN).see(seconds=4)
        assert life.told == ends
        life.see(person(500), seconds=30)
        (new,) = life.events[len(ends) :]
        assert new.captured_at == at(61.8)
    life = again(stopped(person(300), watches=COOLDOWN), COOLDOWN).see(person(300))
    assert [event.continues for event in life.events] == ["visit-1"]


def test_an_object_just_outside_its_zone_is_still_in_it_after_a_restart() -> None:
    zones = {"left": [(0, 0), (0.5, 0), (0.5, 1), (0, 1)]}
    watches: Watches = {"people": {"zones": ["left"]}}
    before = Life(SqliteOutbox(), watches, zones=zones).see(person(318)).see(person(324))
    life = Life(before.outbox, watches, start=30, number=2, zones=zones).see(person(324))
    assert life.told == GONE_ON
    assert life.events[0].zones == ("left",)


# --- what there is no more ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("watches", "goes_on"),
    [
        pytest.param({"others": {}}, False, id="watch removed"),
        pytest.param({"people": {"prompt": ["dog"]}}, False, id="other prompts"),
        pytest.param({"people": {"prompt": ["dog", "person"]}}, True, id="one prompt more"),
        pytest.param({"people": {"confidence": 0.5}}, True, id="other settings"),
    ],
)
def test_a_visit_goes_on_unless_its_watch_lost_its_prompt(watches: Watches, goes_on: bool) -> None:
    life = again(crashed(person(300)), watches)
    assert life.told == ([] if goes_on else MISSED)
    life = again(stopped(person(300)), watches)
    assert life.told == []
    assert bool(life.watches.open_visits()) is goes_on


def test_a_reload_keeps_the_remembered_visits_of_unchanged_watches() -> None:
    both: Watches = {"people": {}, "walkers": {}}
    outbox = crashed(person(300), watches=both)
    life = again(outbox, both)
    changed = {**both, "walkers": {"leave": timedelta(seconds=9)}}
    life.keep(life.watches.adopt(camera_rules(changed)))
    (end,) = life.events
    assert (end.watch, end.type, end.reason, end.sequence) == ("walkers", "end", "changed", 1)
    life.see(person(300))
    assert [(e.watch, e.type) for e in life.events[1:]] == [
        ("people", "update"),
        ("walkers", "new"),
    ]


@pytest.mark.parametrize("reason", ["lost", "removed", "changed", "disabled", "shutdown"])
def test_remembered_visits_end_with_their_camera(reason: EndReason) -> None:
    life = again(crashed(person(300)))
    life.keep(life.watches.close(reason))
    assert life.told == [("end", "visit-1", 1, reason)]
    assert life.watches.close(reason) == ()
