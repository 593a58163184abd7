"""A sweep gives at each threshold the events that a run with that threshold gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.records import Detection, Event, Finding, Frame, LookRequest
from streamwatch.tuning.sweep import Sweep, thresholds
from streamwatch.watch.camera import CameraRules, CameraWatches
from tests.watch.scenes import camera_rules, frame, person

TRIED = (0.05, 0.1, 0.2, 0.3, 0.35, 0.5, 0.7, 0.9)
PROMPTS = ("person", "man", "statue", "dog", "bag")
"""Two that are watched for, what they must beat, and their company."""

Found = Sequence[tuple[Detection, ...]]
"""By frame."""

confidences = st.floats(0.02, 0.99)
detections = st.builds(
    person,
    x=st.integers(20, 620),
    y=st.integers(60, 360),
    confidence=confidences,
    prompt=st.sampled_from(PROMPTS),
    height=st.integers(20, 160),
)
things = st.lists(detections, max_size=3)


@st.composite
def footages(draw: st.DrawFn) -> Found:
    """Some things that stay where they are for a while, as sure as they happen to be found, among
    things found by chance."""
    frames: list[list[Detection]] = [[] for _ in range(draw(st.integers(1, 40)))]
    for _ in range(draw(st.integers(0, 4))):
        thing = draw(detections)
        first = draw(st.integers(0, len(frames) - 1))
        for number in range(first, min(len(frames), first + draw(st.integers(1, 25)))):
            x1, y1, x2, y2 = thing.box
            step = draw(st.integers(-6, 6))
            thing = replace(thing, box=(x1 + step, y1, x2 + step, y2))
            frames[number].append(replace(thing, confidence=draw(confidences)))
    for number in range(len(frames)):
        if draw(st.booleans()):
            frames[number] += draw(things)
    return [tuple(found) for found in frames]


watches = st.fixed_dictionaries(
    {
        "prompt": st.sampled_from((["person"], ["person", "man"])),
        "appear": st.sampled_from(({"hits": 1}, {"hits": 3}, {"hits": 2, "within": "1s"})),
        "dwell": st.sampled_from(("0s", "1s")),
        "leave": st.sampled_from(("400ms", "2s")),
        "cooldown": st.sampled_from(("0s", "2s")),
        "second_look": st.sampled_from(("off", "note", "require")),
    },
    optional={
        "not": st.just(["statue"]),
        "with": st.just(["bag"]),
        "without": st.just(["dog"]),
        "min_area": st.just(0.01),
        "zones": st.just(["left"]),
    },
)


def look(request: LookRequest) -> Finding:
    """An answer that depends on the crop alone."""
    score = sum(request.box) % 1000 / 1000
    return Finding("clip", score > 0.4, score=score, milliseconds=1.0)


def told(event: Event) -> Event:
    """The event without what differs from run to run."""
    return replace(event, id="", track=0, picture=None)


def as_run(rules: CameraRules, frames: Sequence[Frame], found: Found) -> list[dict[str, Any]]:
    """The events of a run with these rules, whose detector gives what is above their floor."""
    watcher = CameraWatches("porch", rules, lambda: "")
    events: list[Event] = []
    for each, detections in zip(frames, found, strict=True):
        above = [one for one in detections if one.confidence >= watcher.floor]
        events += watcher.update(each, above)
        while requests := watcher.take_looks():
            for request in requests:
                events += watcher.answer(request, look(request))
    events += watcher.close("lost")
    return [fields(event) for event in events]


def fields(event: Event) -> dict[str, Any]:
    event = told(event)
    return {name: getattr(event, name) for name in Event.__slots__}


@settings(max_examples=150, deadline=None)
@given(found=footages(), keys=watches, other=st.sampled_from((0.04, 0.3)))
def test_a_sweep_gives_the_events_of_a_run_at_each_threshold(
    found: Found, keys: dict[str, Any], other: float
) -> None:
    zone = {"left": [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]}
    # Beside another watch, whose lower floor gives all of them more detections.
    both = {"people": keys, "dogs": {"prompt": ["dog"], "confidence": other}}
    rules = camera_rules(both, zones=zone)
    frames = [frame(number / 5) for number in range(len(found))]
    sweep = Sweep("porch", rules, {"people": TRIED, "dogs": (other,)}, look)
    swept: dict[float, list[dict[str, Any]]] = {threshold: [] for threshold in TRIED}
    for each, detections in zip(frames, found, strict=True):
        above = [one for one in detections if one.confidence >= sweep.floor]
        for watch, threshold, event in sweep.see(each, above):
            if watch == "people":
                swept[threshold].append(fields(event))
    for watch, threshold, event in sweep.close("lost"):
        if watch == "people":
            swept[threshold].append(fields(event))
    for threshold in TRIED:
        alone = replace(
            rules,
            watches={"people": rules.watches["people"]},
            confidences={"people": threshold},
        )
        assert swept[threshold] == as_run(alone, frames, found)


def test_each_look_is_taken_once_for_all_thresholds() -> None:
    asked: list[LookRequest] = []

    def counted(request: LookRequest) -> Finding:
        asked.append(request)
        return look(request)

    rules = camera_rules({"people": {"second_look": "require"}})
    sweep = Sweep("porch", rules, {"people": TRIED}, counted)
    for number in range(5):
        for _ in sweep.see(frame(number / 5), [person(300, confidence=0.95)]):
            pass
    assert len({(id(each.picture), each.box) for each in asked}) == len(asked) >= 1


@pytest.mark.parametrize(("floor", "own"), [(0.1, 0.3), (0.02, 0.1), (0.1, 0.33), (0.1, 0.05)])
def test_thresholds_go_up_from_the_models_floor_and_hold_the_watches_own(
    floor: float, own: float
) -> None:
    tried = thresholds(floor, own)
    assert tried == tuple(sorted(set(tried)))
    assert {floor, own, 0.95} <= set(tried)
    assert all(threshold >= min(floor, own) for threshold in tried)


def test_what_only_another_threshold_asks_for_keeps_no_company_alive() -> None:
    """A dog that is seen once, and then only below the floor of the watch that it keeps quiet."""
    rules = camera_rules({"people": {"without": ["dog"]}})
    sweep = Sweep("porch", rules, {"people": (0.05, 0.3)}, look)
    news = []
    for number in range(20):
        dog = person(310, confidence=0.9 if number == 0 else 0.06, prompt="dog")
        for _, threshold, event in sweep.see(frame(number / 5), [person(300), dog]):
            news += [threshold] if event.type == "new" else []
    assert news == [0.3]
