"""What a second look changes: alerts wait for it or tell it, and some never come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from streamwatch.records import Detection, Event, Finding, LookRequest, Remembered, SecondLook
from streamwatch.watch.camera import CameraWatches
from tests.watch.scenes import Seen, camera_rules, camera_watches, frame, person

YES = Finding("clip", confirms=True, score=0.9, milliseconds=4.0)
NO = Finding("clip", confirms=False, score=0.2, beaten_by="tree", milliseconds=5.0)
FAILED = Finding("clip", confirms=False, failure="the image tower's process was killed")

Answers = Callable[[LookRequest], Finding | None]
"""What a look gives at once; None where it takes longer."""


class Bench:
    """Watches whose looks are answered at once, or later by `answer`."""

    def __init__(self, second_look: object, answers: Answers, **keys: Any) -> None:
        self.watches = camera_watches({"people": {"second_look": second_look, **keys}})
        self.answers = answers
        self.asked: list[LookRequest] = []
        self.waiting: list[LookRequest] = []
        self.seconds = 0.0

    def play(self, seen: Seen, until: float, fps: float = 5) -> list[Event]:
        events: list[Event] = []
        while self.seconds <= until + 1e-6:
            events += self.watches.update(frame(self.seconds), seen(self.seconds))
            events += self._look()
            self.seconds = round(self.seconds + 1 / fps, 3)
        return events

    def answer(self, finding: Finding) -> list[Event]:
        """Answer the look that waits."""
        request = self.waiting.pop(0)
        return [*self.watches.answer(request, finding), *self._look()]

    def _look(self) -> Iterator[Event]:
        for request in self.watches.take_looks():
            self.asked.append(request)
            finding = self.answers(request)
            if finding is None:
                self.waiting.append(request)
            else:
                yield from self.watches.answer(request, finding)
                yield from self._look()


def always(finding: Finding | None) -> Answers:
    return lambda _: finding


def in_turn(*findings: Finding) -> Answers:
    left = iter(findings)
    return lambda _: next(left)


def stands(until: float, **how: Any) -> Seen:
    return lambda seconds: [person(300, **how)] if seconds <= until else []


def comes_nearer(seconds: float) -> Sequence[Detection]:
    """Grows by 15 px a second."""
    return [person(300, height=60 + 15 * seconds)] if seconds <= 8 else []


def kinds(events: Sequence[Event]) -> list[str]:
    return [event.type for event in events]


def test_without_one_nothing_is_looked_at() -> None:
    bench = Bench("off", always(NO))
    assert kinds(bench.play(stands(4), 8)) == ["new", "end"]
    assert bench.asked == []


def seconds_of(event: Event) -> float:
    return (event.captured_at - frame(0).captured_at).total_seconds()


# --- require -------------------------------------------------------------------------------------


def test_a_confirmed_alert_comes_at_the_same_frame_and_tells_the_look() -> None:
    plain = Bench("off", always(YES)).play(stands(4), 8)
    events = Bench("require", always(YES)).play(stands(4), 8)
    assert kinds(events) == ["new", "end"]
    look = SecondLook("clip", 0.9, None, None, 1, "confirmed", 4.0)
    assert [event.second_look for event in events] == [look, look]
    for event, other in zip(events, plain, strict=True):
        assert (event.captured_at, event.sequence) == (other.captured_at, other.sequence)


def test_a_look_gets_the_whole_frame_and_the_box_in_it() -> None:
    bench = Bench("require", always(YES))
    (event, *_) = bench.play(stands(4), 1)
    (request,) = bench.asked
    assert (request.camera, request.watch, request.visit) == ("porch", "people", event.track)
    assert request.picture.size == (640, 360)
    assert request.box == event.box


def test_what_is_not_confirmed_by_the_last_look_is_rejected_at_once_and_never_told() -> None:
    bench = Bench({"looks": 2}, always(NO))
    events = bench.play(comes_nearer, 20)
    assert kinds(events) == ["rejected"]
    (rejected,) = events
    assert rejected.second_look == SecondLook("clip", 0.2, None, "tree", 2, "rejected", 5.0)
    assert rejected.picture is not None
    assert seconds_of(rejected) < 3
    assert len(bench.asked) == 2


def test_what_was_not_confirmed_when_it_leaves_is_rejected_then() -> None:
    bench = Bench("require", always(NO))
    events = bench.play(stands(4), 10)
    assert kinds(events) == ["rejected"]
    assert events[0].second_look == SecondLook("clip", 0.2, None, "tree", 1, "rejected", 5.0)
    assert len(bench.asked) == 1, "every frame is as good as the first"


def test_another_look_is_at_a_better_frame() -> None:
    bench = Bench("require", in_turn(NO, YES))
    events = bench.play(comes_nearer, 20)
    assert kinds(events) == ["new", "end"]
    assert events[0].second_look == SecondLook("clip", 0.9, None, None, 2, "confirmed", 4.0)
    first, second = (request.box[3] - request.box[1] for request in bench.asked)
    assert second >= 1.2 * first


def test_the_best_look_is_told_when_none_confirms() -> None:
    bench = Bench({"looks": 2}, in_turn(replace(NO, score=0.4), replace(NO, score=0.1)))
    (rejected,) = bench.play(comes_nearer, 20)
    assert rejected.second_look is not None
    assert rejected.second_look.score == 0.4


def test_what_the_edge_cuts_is_looked_at_again_when_it_is_whole() -> None:
    def walks_in(seconds: float) -> Sequence[Detection]:
        x = min(300.0, 20 * seconds - 10)
        x1, y1, x2, y2 = person(x).box
        return [Detection("person", 0.8, (max(0.0, x1), y1, x2, y2))] if seconds <= 8 else []

    bench = Bench("require", in_turn(NO, YES))
    assert kinds(bench.play(walks_in, 20)) == ["new", "end"]
    cut, whole = (request.box[0] for request in bench.asked)
    assert cut == 0.0
    assert whole > 2.0


def test_the_edge_is_that_of_the_crop_that_the_detector_sees() -> None:
    bench = Bench("require", in_turn(NO, YES))
    bench.watches.adopt(camera_rules({"people": {"second_look": "require"}}, crop=[0.5, 0, 1, 1]))

    def walks_in(seconds: float) -> Sequence[Detection]:
        x1, y1, x2, y2 = person(310 + 20 * seconds).box
        return [Detection("person", 0.8, (max(320.0, x1), y1, x2, y2))] if seconds <= 6 else []

    assert kinds(bench.play(walks_in, 20)) == ["new", "end"]
    assert [request.box[0] > 322 for request in bench.asked] == [False, True]


@pytest.mark.parametrize("fps", [1, 5, 15])
def test_a_late_answer_is_told_as_soon_as_it_is_there(fps: float) -> None:
    bench = Bench("require", always(None), appear={"hits": 1})
    assert bench.play(stands(8), 4, fps) == []
    events = bench.answer(YES)
    assert kinds(events) == ["new"]
    assert (events[0].captured_at - frame(0).captured_at).total_seconds() == pytest.approx(
        4, abs=0.05
    )
    assert kinds(bench.play(stands(8), 15, fps)) == ["end"]


def test_an_answer_after_the_visit_still_tells_of_it() -> None:
    bench = Bench("require", always(None))
    assert bench.play(stands(2), 9) == []
    events = bench.answer(YES)
    assert kinds(events) == ["new", "end"]
    assert events[1].reason == "left"
    assert seconds_of(events[1]) == pytest.approx(2)


def test_a_no_after_the_visit_rejects_it_once() -> None:
    bench = Bench("require", always(None))
    assert bench.play(stands(2), 9) == []
    assert kinds(bench.answer(NO)) == ["rejected"]
    assert bench.play(stands(2), 20) == []


def test_an_answer_for_a_watch_that_has_changed_changes_nothing() -> None:
    bench = Bench("require", always(None))
    bench.play(stands(8), 2)
    bench.watches.adopt(camera_rules({"people": {"second_look": "require", "dwell": "1s"}}))
    assert bench.answer(YES) == []
    bench.watches.adopt(camera_rules({"others": {}}))
    assert bench.watches.answer(bench.asked[0], YES) == ()


def test_a_camera_that_is_away_rejects_what_it_held_back() -> None:
    bench = Bench("require", always(NO))
    assert bench.play(stands(8), 2) == []
    assert kinds(bench.watches.lost(60)) == ["rejected"]
    assert bench.watches.close("lost") == ()


def test_a_stop_tells_nothing_of_what_is_undecided() -> None:
    bench = Bench("require", always(NO))
    assert bench.play(stands(8), 2) == []
    assert bench.watches.close("shutdown") == ()


def test_nothing_is_looked_at_before_the_alert_is_due() -> None:
    bench = Bench("require", always(YES), dwell="3s")
    assert bench.play(stands(8), 2.8) == []
    assert bench.asked == []
    assert kinds(bench.play(stands(8), 3.4)) == ["new"]


def test_what_is_only_passing_is_never_rejected() -> None:
    bench = Bench("require", always(NO), dwell="3s")
    assert bench.play(stands(2), 10) == []


def test_a_rejected_visit_spends_no_cooldown() -> None:
    def twice(seconds: float) -> Sequence[Detection]:
        return [person(300)] if seconds <= 2 or 8 <= seconds <= 10 else []

    bench = Bench("require", in_turn(NO, YES), cooldown="1m")
    assert kinds(bench.play(twice, 16)) == ["rejected", "new", "end"]


def test_two_things_are_looked_at_each_for_itself() -> None:
    def two(seconds: float) -> Sequence[Detection]:
        return [person(100), person(500)] if seconds <= 3 else []

    bench = Bench("require", lambda asked: YES if asked.box[0] > 300 else NO)
    events = bench.play(two, 9)
    assert sorted(kinds(events)) == ["end", "new", "rejected"]
    assert [event.box[0] > 300 for event in events if event.type != "rejected"] == [True, True]


# --- note ----------------------------------------------------------------------------------------


def test_note_alerts_at_once_and_tells_the_look_in_an_update() -> None:
    events = Bench("note", always(NO)).play(stands(4), 9)
    assert kinds(events) == ["new", "update", "end"]
    look = SecondLook("clip", 0.2, None, "tree", 1, "rejected", 5.0)
    assert [event.second_look for event in events] == [None, look, look]
    times = [event.captured_at for event in events]
    assert 1 <= (times[1] - times[0]).total_seconds() < 1.3


def test_note_looks_again_at_better_frames_until_one_confirms() -> None:
    def comes_slowly(seconds: float) -> Sequence[Detection]:
        return [person(300, height=60 + 6 * seconds)] if seconds <= 8 else []

    bench = Bench("note", in_turn(NO, YES))
    events = bench.play(comes_slowly, 20)
    assert kinds(events) == ["new", "update", "update", "end"]
    decided = [event.second_look.decided for event in events if event.second_look is not None]
    assert decided == ["rejected", "confirmed", "confirmed"]
    assert len(bench.asked) == 2


def test_note_tells_at_the_end_that_it_could_not_look() -> None:
    events = Bench("note", always(FAILED)).play(stands(4), 9)
    assert kinds(events) == ["new", "end"]
    assert events[1].second_look == SecondLook("clip", None, None, None, 0, "skipped", None)


# --- what can't be looked at ---------------------------------------------------------------------


def test_where_it_can_not_look_the_alert_goes_out_without() -> None:
    events = Bench("require", always(FAILED)).play(stands(4), 9)
    assert kinds(events) == ["new", "end"]
    assert events[0].second_look == SecondLook("clip", None, None, None, 0, "skipped", None)


def test_a_failure_after_a_look_that_said_no_alerts_nobody() -> None:
    bench = Bench("require", in_turn(NO, FAILED, *[FAILED] * 9))
    assert kinds(bench.play(comes_nearer, 20)) == ["rejected"]


def test_hold_tries_again_until_it_can_look() -> None:
    bench = Bench({"on_failure": "hold"}, in_turn(FAILED, FAILED, YES))
    events = bench.play(stands(8), 15)
    assert kinds(events) == ["new", "end"]
    assert events[0].second_look is not None
    assert events[0].second_look.looks == 1
    assert seconds_of(events[0]) == pytest.approx(0.4 + 2 + 2), "a pause after each failure"


def test_hold_rejects_what_could_never_be_looked_at() -> None:
    events = Bench({"on_failure": "hold"}, always(FAILED)).play(stands(4), 9)
    assert kinds(events) == ["rejected"]
    assert events[0].second_look == SecondLook("clip", None, None, None, 0, "skipped", None)


def test_what_is_too_small_is_not_looked_at() -> None:
    bench = Bench("require", always(NO))
    events = bench.play(stands(4, height=20), 9)
    assert kinds(events) == ["new", "end"]
    assert events[0].second_look == SecondLook("clip", None, None, None, 0, "skipped", None)
    assert bench.asked == []


def test_hold_waits_until_it_is_large_enough() -> None:
    def comes(seconds: float) -> Sequence[Detection]:
        return [person(300, height=15 + 5 * seconds)] if seconds <= 6 else []

    bench = Bench({"on_failure": "hold"}, always(YES))
    assert kinds(bench.play(comes, 12)) == ["new", "end"]
    (request,) = bench.asked
    assert request.box[3] - request.box[1] >= 24


# --- restarts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["crash", "shutdown"])
def test_a_visit_that_goes_on_after_a_restart_is_not_looked_at_again(reason: str) -> None:
    before = Bench("require", always(YES))
    events = before.play(stands(60), 4)
    last = before.watches.open_visits()[0] if reason == "crash" else None
    if last is None:
        (last,) = before.watches.close("shutdown")
    after = Bench("require", always(NO))
    assert after.watches.recall([Remembered(last, age_seconds=5)]) == ()
    (first, *_) = after.play(stands(60), 4)
    assert first.type == ("update" if reason == "crash" else "new")
    assert first.second_look == events[0].second_look
    assert after.asked == []


def test_all_the_watches_of_a_camera_ask_for_their_looks() -> None:
    watches: CameraWatches = camera_watches(
        {"one": {"second_look": "require"}, "two": {"second_look": "note"}, "three": {}}
    )
    for number in range(5):
        watches.update(frame(number / 5), [person(300)])
    assert [request.watch for request in watches.take_looks()] == ["one", "two"]
    assert watches.take_looks() == ()
