"""Why something was not told, in words; and what is learnt of what was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from streamwatch.geometry import Box
from streamwatch.learning.learnt import bin_of
from streamwatch.records import Detection, EndReason, Finding
from streamwatch.watch.learner import REPORT_SECONDS
from tests.watch.scenes import SIZE, Notes, Seen, camera_rules, camera_watches, frame, person, play

LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
DOG = Detection("dog", 0.41, person(300).box)


def there(*detections: Detection, since: float = 1.0, until: float = 4.0) -> Seen:
    return lambda seconds: list(detections) if since <= seconds < until else []


def misses(seen: Seen, until: float = 12.0, *, fps: float = 5, **keys: Any) -> Notes:
    """What one watch for a person says of a scene, and its camera."""
    notes = Notes()
    camera = keys.pop("camera", {})
    watches = camera_watches({"people": keys}, lessons=notes, fps=fps, **camera)
    play(watches, seen, until, fps)
    return notes


CASES: list[tuple[str, str, str, Seen, dict[str, Any]]] = [
    ("weak", "below", "0.24 is below 0.30", there(person(300, confidence=0.24)), {}),
    (
        "nearly sure enough",
        "below",
        "0.298 is below 0.300",
        there(person(300, confidence=0.298)),
        {},
    ),
    (
        "beaten",
        "beaten",
        'beaten by "dog" (0.41)',
        there(person(300, confidence=0.35), DOG),
        {"not": ["dog"]},
    ),
    (
        "weak and beaten",
        "below",
        '0.24 is below 0.30; beaten by "dog" (0.41)',
        there(person(300, confidence=0.24), DOG),
        {"not": ["dog"]},
    ),
    (
        "outside",
        "zone",
        "outside zone steps",
        there(person(500)),
        {"zones": ["steps"], "camera": {"zones": {"steps": LEFT_HALF}}},
    ),
    (
        "outside of two",
        "zone",
        "outside zones steps and door",
        there(person(500)),
        {"zones": ["door", "steps"], "camera": {"zones": {"steps": LEFT_HALF, "door": LEFT_HALF}}},
    ),
    (
        "ignored",
        "ignored",
        "in an ignored area",
        there(person(100)),
        {"camera": {"ignore": (LEFT_HALF,)}},
    ),
    ("small", "size", "too small", there(person(300)), {"min_area": 0.5}),
    ("large", "size", "too large", there(person(300)), {"max_area": 0.001}),
    ("alone", "company", "nothing of `with` is near", there(person(300)), {"with": ["dog"]}),
    (
        "in company",
        "company",
        "something of `without` is near",
        there(person(300), Detection("owner", 0.8, person(340).box)),
        {"without": ["owner"]},
    ),
    (
        "short",
        "frames",
        "seen in 2 frames of 3",
        there(person(300), since=1.0, until=1.4),
        {},
    ),
    ("restless", "dwell", "there for 3 s of 60 s", there(person(300)), {"dwell": "60s"}),
    (
        "at noon",
        "hours",
        "not in active hours",
        there(person(300)),
        {"active": ["22:00-06:00"]},
    ),
]


@pytest.mark.parametrize(
    ("kind", "reason", "seen", "keys"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_it_is_told_why_something_was_not(
    kind: str, reason: str, seen: Seen, keys: dict[str, Any]
) -> None:
    assert misses(seen, **keys).reasons == [(kind, reason)]


def test_a_second_visit_in_the_cooldown_is_told() -> None:
    def seen(seconds: float) -> Sequence[Detection]:
        return [person(300)] if 1 <= seconds < 3 or 10 <= seconds < 12 else []

    notes = misses(seen, 20, cooldown="60s")
    assert notes.reasons == [("cooldown", "in the cooldown after another visit")]
    assert [visit.id for visit in notes.visits] == ["visit-1", "visit-1"]


@pytest.mark.parametrize(
    ("finding", "reason"),
    [
        (
            Finding("clip", confirms=False, score=0.2, beaten_by="fire hydrant", milliseconds=1.0),
            'second look: rather "fire hydrant"',
        ),
        (
            Finding("clip", confirms=False, score=0.41, milliseconds=1.0),
            "second look: 0.41 is below 0.50",
        ),
        (
            Finding("vlm", confirms=False, answer="no", milliseconds=1.0),
            "second look: the answer was no",
        ),
        (
            Finding("clip", confirms=False, score=0.9, taught_by="01J", milliseconds=1.0),
            "second look: like 01J, which was taught wrong",
        ),
    ],
)
def test_what_a_second_look_held_back_is_told(finding: Finding, reason: str) -> None:
    notes = Notes()
    watches = camera_watches({"people": {"second_look": "require"}}, lessons=notes)
    for number in range(60):
        seconds = number / 5
        watches.update(frame(seconds), there(person(300))(seconds))
        for request in watches.take_looks():
            watches.answer(request, finding)
    assert notes.reasons == [("look", reason)]


def test_what_was_told_is_no_near_miss() -> None:
    notes = misses(there(person(300)))
    assert notes.misses == []
    assert [(visit.id, visit.reach) for visit in notes.visits] == [
        ("visit-1", 0.8),
        ("visit-1", 0.8),
    ]


def test_a_near_miss_shows_the_surest_sight() -> None:
    def seen(seconds: float) -> Sequence[Detection]:
        if not 1 <= seconds < 4:
            return []
        return [person(300 + 20 * seconds, confidence=0.26 if seconds == 2 else 0.2)]

    (miss,) = misses(seen).misses
    assert (miss.prompt, miss.confidence, miss.needed) == ("person", 0.26, 0.3)
    assert miss.box == person(340).box
    assert miss.captured_at == frame(2.0).captured_at
    assert miss.picture is not None
    x1, y1, x2, y2 = miss.picture.box
    assert (x2 - x1, y2 - y1) == pytest.approx((32, 80))
    assert miss.picture.picture.size < SIZE, "it holds the whole frame, which takes some MB"


def test_what_stays_and_does_not_count_is_told_while_it_is_there_and_not_again() -> None:
    notes = misses(there(person(300, confidence=0.2), until=300), REPORT_SECONDS + 2)
    assert len(notes.misses) == 1
    notes = misses(there(person(300, confidence=0.2), until=200), 220)
    assert len(notes.misses) == 1


def test_what_still_may_be_told_is_none_while_it_is_there() -> None:
    notes = misses(there(person(300), until=200), REPORT_SECONDS + 2, dwell="2m")
    assert notes.misses == []


@pytest.mark.parametrize(
    ("reason", "told"), [("lost", True), ("changed", False), ("shutdown", False)]
)
def test_what_a_change_or_a_stop_cuts_off_is_no_near_miss(reason: EndReason, told: bool) -> None:
    """Nobody knows whether it would have been told; where a recording ends it was not."""
    notes = Notes()
    watches = camera_watches({"people": {"dwell": "60s"}}, lessons=notes)
    play(watches, there(person(300), until=100), 8)
    watches.close(reason)
    assert bool(notes.misses) is told
    assert notes.learnt["people"].told == 0


@pytest.mark.parametrize("reason", ["lost", "changed", "shutdown"])
def test_what_was_told_is_learnt_of_when_it_is_cut_off_too(reason: EndReason) -> None:
    notes = Notes()
    watches = camera_watches(lessons=notes)
    play(watches, there(person(300), until=100), 8)
    watches.close(reason)
    assert notes.learnt["people"].told == 1
    assert notes.misses == []


def test_frames_in_which_nothing_moves_teach_nothing() -> None:
    notes = Notes()
    watches = camera_watches(lessons=notes)
    watches.update(frame(1.0), [person(300, confidence=0.2)])
    for number in range(1, 40):
        watches.repeat(frame(1.0 + number / 5))
    watches.update(frame(10.0), [])
    watches.update(frame(14.0), [])
    (miss,) = notes.misses
    assert miss.reason == "0.20 is below 0.30"
    assert notes.learnt["people"].weak == notes.learnt["people"].visits, "one frame is no sighting"


def test_histograms_hold_the_confidence_that_enough_frames_had() -> None:
    """As sure as in the third best frame: with a higher threshold it would not have been told."""
    confidences = [0.9, 0.5, 0.45, 0.6, 0.2]

    def seen(seconds: float) -> Sequence[Detection]:
        number = round((seconds - 1) * 5)
        return [person(300, confidence=confidences[number])] if 0 <= number < 5 else []

    notes = misses(seen)
    visits = notes.learnt["people"].visits
    assert [place for place, count in enumerate(visits) if count] == [bin_of(0.5)]
    weak = misses(lambda s: seen(s) if s < 1.5 else [], confidence=0.6).learnt["people"].weak
    assert [place for place, count in enumerate(weak) if count] == [bin_of(0.45)]


def test_what_lies_on_a_visits_box_is_counted_with_its_confidence() -> None:
    notes = Notes()
    watches = camera_watches(
        {"giraffes": {"prompt": ["giraffe"]}, "plants": {"prompt": ["potted plant"]}},
        lessons=notes,
    )

    def seen(seconds: float) -> Sequence[Detection]:
        if seconds % 10 >= 4:
            return []
        return [
            person(300, confidence=0.34, prompt="giraffe"),
            person(302, confidence=0.77, prompt="potted plant"),
            person(500, confidence=0.9, prompt="potted plant"),
        ]

    play(watches, seen, 49)
    learnt = notes.learnt["giraffes"]
    ((key, found),) = learnt.together.items()
    assert (key.prompt, key.watch, key.other_prompt) == ("giraffe", "plants", "potted plant")
    assert (learnt.told, found.times) == (5, 5)
    assert found.own / found.times == pytest.approx(0.34)
    assert found.other / found.times == pytest.approx(0.77)
    assert notes.learnt["plants"].told == 10


def test_a_learnt_threshold_steps_only_with_enough_visits_and_never_below_the_floor() -> None:
    """False alarms at 0.35, and visits at 0.8."""
    notes = Notes()
    watches = camera_watches({"people": {"confidence": "auto"}}, lessons=notes)

    def at(confidence: float) -> Callable[[float], Sequence[Detection]]:
        return lambda seconds: [person(300, confidence=confidence)] if seconds % 10 < 3 else []

    clock = 0.0
    for number in range(60):
        seen = at(0.35 if number % 2 else 0.8)
        for tick in range(50):
            watches.update(frame(clock + tick / 5), seen(tick / 5))
        clock += 10
        if sum(notes.learnt["people"].visits) < 20:
            assert notes.steps == []
    assert notes.steps[0] == (0.3, 0.35)
    assert all(abs(now - before) <= 0.05 + 1e-9 for before, now in notes.steps)
    threshold = notes.learnt["people"].threshold
    assert threshold is not None
    assert 0.37 < threshold < 0.8
    begun = [visit for visit in notes.visits if visit.confidence < 0.4]
    assert len(begun) < 60, "the false ones were told to the end"


def test_a_changed_word_is_learnt_anew_and_a_changed_rule_is_not() -> None:

    notes = Notes()
    watches = camera_watches(lessons=notes)
    play(watches, there(person(300)), 12)
    assert sum(notes.learnt["people"].visits) == 1
    watches.adopt(camera_rules({"people": {"leave": "4s"}}))
    assert sum(notes.learnt["people"].visits) == 1


def test_a_box_without_area_is_no_trouble() -> None:
    dot: Box = (10.0, 10.0, 10.0, 10.0)
    notes = misses(there(Detection("person", 0.2, dot), Detection("person", 0.21, dot)))
    assert len(notes.misses) >= 1
