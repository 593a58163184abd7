"""What holds of the events of a camera's watches, whatever comes.

A machine draws frames, losses, jumps and changes in any order and keeps every event with the time
it was told at. A new kind of disturbance is one more rule; what must hold is in the invariants.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from streamwatch.publisher import SqliteOutbox
from streamwatch.records import Detection, EndReason, Event
from streamwatch.watch.camera import CameraWatches
from tests.watch.scenes import SIZE, START, camera_rules, camera_watches, frame, person

durations = st.sampled_from([0.3, 2.0, 3.0, 5.0]).map(lambda seconds: timedelta(seconds=seconds))
ZONES = {
    "left": [(0, 0), (0.5, 0), (0.5, 1), (0, 1)],
    "low": [(0, 0.5), (1, 0.5), (1, 1), (0, 1)],
}
REASONS: tuple[EndReason, ...] = ("shutdown", "removed", "changed", "disabled")

people = st.lists(
    st.builds(
        person,
        x=st.sampled_from([300.0, 318, 324, 70, 600]),
        y=st.sampled_from([178.0, 182, 100, 360]),
        confidence=st.sampled_from([0.5, 0.6, 0.9, 0.2, 0.05]),
        prompt=st.sampled_from(["person", "pedestrian", "dog"]),
        height=st.sampled_from([80.0, 40]),
    ),
    max_size=3,
)
twists = st.sampled_from(
    [
        {},
        {"dwell": timedelta(seconds=2)},
        {"cooldown": timedelta(seconds=5)},
        {"without": ["dog"]},
        {"with": ["pedestrian"]},
        {"zones": ["left"]},
        {"zones": ["left", "low"]},
        {"active": ["12:00-12:01"]},
        {"leave": timedelta(0)},
    ]
)
watch_settings = st.builds(
    lambda prompts, hits, leave, twist: {
        "prompt": prompts, "appear": {"hits": hits}, "leave": leave, **twist
    },
    st.sampled_from([["person"], ["person", "pedestrian"]]),
    st.sampled_from([1, 2, 3]),
    durations,
    twists,
)  # fmt: skip


def scaled(detection: Detection, size: tuple[int, int]) -> Detection:
    x, y = size[0] / SIZE[0], size[1] / SIZE[1]
    box = detection.box
    return Detection(
        detection.prompt,
        detection.confidence,
        (box[0] * x, box[1] * y, box[2] * x, box[3] * y),
    )


class CameraLife(RuleBasedStateMachine):
    """`now` is the time that has really passed; `said` is what the frames and the clock say."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.said = 0.0
        self.size = SIZE
        self.visits: dict[str, list[tuple[float, Event]]] = defaultdict(list)
        self.outbox = SqliteOutbox()
        self.lives = 1
        self.first_after_crash: set[tuple[str, int]] = set()
        """What was told first of a visit after a crash: id and sequence."""

    @initialize(one=watch_settings, two=watch_settings)
    def open(self, one: dict[str, object], two: dict[str, object]) -> None:
        self.settings: dict[str, dict[str, Any]] = {"one": one, "two": two}
        self.watches: CameraWatches = camera_watches(self.settings, zones=ZONES)

    def keep(self, events: Sequence[Event]) -> None:
        for event in events:
            self.visits[event.id].append((self.now, event))
            self.outbox.remove(self.outbox.add(event, time.monotonic()))

    def start_again(self, seconds: float, edited: dict[str, object] | None) -> None:
        """Another life, with nothing but what the outbox remembers; one watch perhaps `edited`."""
        if edited is not None:
            self.settings = {**self.settings, "one": edited}
        self.now += seconds
        self.said += seconds
        clock = START + timedelta(seconds=self.said)
        visits = [
            replace(visit, age_seconds=max(0.0, (clock - visit.last.captured_at).total_seconds()))
            for visit in self.outbox.visits()
        ]
        assert {visit.last.id for visit in visits if visit.open} == self.still_open()
        self.lives += 1
        self.watches = camera_watches(self.settings, life=self.lives, zones=ZONES)
        self.keep(self.watches.recall(visits))

    def pass_frame(self, step: float, scene: list[Detection]) -> None:
        self.now += step
        self.said += step
        found = [scaled(detection, self.size) for detection in scene]
        self.keep(self.watches.update(frame(self.said, self.size), found))

    def still_open(self) -> set[str]:
        return {id for id, told in self.visits.items() if told[-1][1].type != "end"}

    # --- what may happen -------------------------------------------------------------------------

    @rule(
        scene=people,
        step=st.sampled_from([0.2, 0.07, 0.5, 1.0, 4.0]),
        count=st.sampled_from([6, 1, 2, 12, 30]),
    )
    def see(self, scene: list[Detection], step: float, count: int) -> None:
        """The same for a while."""
        for _ in range(count):
            self.pass_frame(step, scene)

    @rule(
        steps=st.lists(
            st.tuples(st.sampled_from([300.0, 318, 324]), st.sampled_from([0.4, 0.6, 0.7, 0.9])),
            min_size=5,
            max_size=15,
        ),
        step=st.sampled_from([0.2, 0.5, 0.85]),
    )
    def wander(self, steps: list[tuple[float, float]], step: float) -> None:
        """Somebody to and fro over the border of two zones, seen better and worse."""
        for x, confidence in steps:
            self.pass_frame(step, [person(x, y=182, confidence=confidence, height=40)])

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.5, 60.0]))
    def lose_the_camera(self, seconds: float) -> None:
        """It comes back by itself, its clock going on."""
        self.now += seconds
        self.said += seconds
        self.keep(self.watches.lost(seconds))

    @rule(seconds=st.sampled_from([3600.0, 100_000.0]))
    def jump_on(self, seconds: float) -> None:
        self.now += seconds
        self.said += seconds

    @rule(share=st.sampled_from([0.0, 0.5, 1.0]))
    def jump_back(self, share: float) -> None:
        """The time between two frames is taken to have passed."""
        self.now += 1 / 5
        self.said *= share

    @rule(size=st.sampled_from([SIZE, (1280, 720), (320, 180), (640, 480)]))
    def change_size(self, size: tuple[int, int]) -> None:
        self.size = size

    @precondition(lambda self: self.visits)
    @rule(reason=st.sampled_from(REASONS))
    def close(self, reason: EndReason) -> None:
        """What is open ends; frames may follow, as after a camera was off."""
        before = self.still_open()
        ends = self.watches.close(reason)
        assert {event.id for event in ends} == before
        assert {event.reason for event in ends} <= {reason}
        self.keep(ends)
        assert self.watches.close(reason) == ()

    @rule(seconds=st.sampled_from([5.0, 60.0, 590.0, 700.0]), edited=st.none() | watch_settings)
    def crash(self, seconds: float, edited: dict[str, object] | None) -> None:
        """What is open stays so, until it goes on or is missed."""
        self.first_after_crash |= {(id, len(self.visits[id])) for id in self.still_open()}
        self.start_again(seconds, edited)

    @rule(seconds=st.sampled_from([5.0, 60.0, 590.0, 700.0]), edited=st.none() | watch_settings)
    def restart(self, seconds: float, edited: dict[str, object] | None) -> None:
        """A clean stop and a start."""
        self.keep(self.watches.close("shutdown"))
        self.start_again(seconds, edited)
        assert not self.still_open()

    @rule()
    def remember(self) -> None:
        """As is done every now and then, for the next crash."""
        visits = self.watches.open_visits()
        assert self.still_open() <= {event.id for event in visits}
        self.outbox.remember(visits)

    @rule(name=st.sampled_from(["one", "two"]), watch=watch_settings)
    def edit(self, name: str, watch: dict[str, object]) -> None:
        """The other watch goes on as if nothing had been."""
        others = {id for id in self.still_open() if self.visits[id][0][1].watch != name}
        self.settings = {**self.settings, name: watch}
        events = self.watches.adopt(camera_rules(self.settings, zones=ZONES))
        assert {event.reason for event in events} <= {"changed"}
        self.keep(events)
        assert others <= self.still_open()

    @rule(name=st.sampled_from(["one", "two"]))
    def remove(self, name: str) -> None:
        """And another watch of that name in its place."""
        left = {other: watch for other, watch in self.settings.items() if other != name}
        self.keep(self.watches.adopt(camera_rules(left, zones=ZONES)))
        self.keep(self.watches.adopt(camera_rules(self.settings, zones=ZONES)))

    def teardown(self) -> None:
        if hasattr(self, "watches"):
            self.close("shutdown")
            assert not self.still_open()
            self.each_visit_is_whole()

    # --- what must hold --------------------------------------------------------------------------

    @invariant()
    def each_visit_is_whole(self) -> None:
        for told in self.visits.values():
            events = [event for _, event in told]
            types = [event.type for event in events]
            assert types[0] == "new"
            assert types.count("new") == 1
            assert "end" not in types[:-1]
            assert [event.sequence for event in events] == list(range(len(events)))
            assert len({(e.watch, e.track, e.started_at) for e in events}) == 1

    @invariant()
    def what_is_told_fits_together(self) -> None:
        for told in self.visits.values():
            for _, event in told:
                ended = event.type == "end"
                assert (event.reason is not None) == ended
                assert event.ended_at == (event.captured_at if ended else None)
                assert event.best_confidence >= event.confidence
                width, height = event.frame_size
                assert 0 <= event.box[0] <= width
                assert 0 <= event.box[3] <= height
            best = [event.best_confidence for _, event in told]
            assert best == sorted(best)

    @invariant()
    def an_end_stays(self) -> None:
        """A visit goes on under its id after a crash alone; after a stop another continues it."""
        continued = [told[0][1] for told in self.visits.values() if told[0][1].continues]
        assert len({event.continues for event in continued}) == len(continued)
        for event in continued:
            assert event.continues is not None
            before = self.visits[event.continues][-1][1]
            assert (before.type, before.reason) == ("end", "shutdown")
            assert (before.watch, before.camera) == (event.watch, event.camera)
        for told in self.visits.values():
            assert len({event.continues for _, event in told}) == 1

    @invariant()
    def updates_come_once_a_second_at_most(self) -> None:
        for told in self.visits.values():
            times = [time for time, event in told if event.type != "end"]
            # Time is a sum of steps here and in a frame: a rounding may lie between.
            assert all(b - a > 1 - 1e-6 for a, b in itertools.pairwise(times))

    @invariant()
    def every_update_tells_something(self) -> None:
        for told in self.visits.values():
            events = [event for _, event in told]
            for before, after in itertools.pairwise(events):
                first = (after.id, after.sequence) in self.first_after_crash
                if after.type == "update" and not first:
                    assert (
                        after.zones != before.zones
                        or after.best_confidence >= before.best_confidence + 0.05
                    )

    @invariant()
    def a_track_has_one_open_visit(self) -> None:
        tracks = [self.visits[id][0][1].track for id in self.still_open()]
        assert len(tracks) == len(set(tracks))


CameraLife.TestCase.settings = settings(max_examples=100, stateful_step_count=25)
TestCameraLife = CameraLife.TestCase
