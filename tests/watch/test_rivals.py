"""What a watch's prompts must beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.geometry import Box, iou
from streamwatch.records import Detection
from streamwatch.watch import rules
from streamwatch.watch.camera import CameraRules, CameraWatches
from tests.watch.scenes import camera_watches, frame, person, play, told

BOX: Box = (100, 100, 200, 200)
HALF: Box = (100, 100, 200, 150)
"""IoU 0.5 with `BOX`."""
LESS: Box = (100, 100, 200, 149)
BAG = Detection("bag", 0.6, BOX)


@pytest.mark.parametrize(
    ("rivals", "beaten"),
    [
        pytest.param([], False, id="no rival"),
        pytest.param([Detection("box", 0.61, BOX)], True, id="surer, on the same place"),
        pytest.param([Detection("box", 0.6, BOX)], False, id="as sure"),
        pytest.param([Detection("box", 0.59, BOX)], False, id="less sure"),
        pytest.param([Detection("box", 0.9, HALF)], True, id="half of it"),
        pytest.param([Detection("box", 0.9, LESS)], False, id="less than half of it"),
        pytest.param([Detection("box", 0.9, (300, 100, 400, 200))], False, id="elsewhere"),
        pytest.param(
            [Detection("box", 0.5, BOX), Detection("dog", 0.7, BOX)], True, id="one of two"
        ),
    ],
)
def test_a_rival_beats_with_more_confidence_at_the_same_place(
    rivals: Sequence[Detection], beaten: bool
) -> None:
    assert iou(BOX, HALF) == 0.5
    assert rules.beaten(BAG, rivals) == beaten


def horse(confidence: float) -> Detection:
    return person(300, confidence=confidence, prompt="horse")


def dog(confidence: float) -> Detection:
    return person(300, confidence=confidence, prompt="dog")


HORSES = {"horses": {"prompt": ["horse"], "not": ["dog"]}}


def test_what_looks_more_like_a_rival_is_not_reported() -> None:
    assert play(camera_watches(HORSES), lambda t: [horse(0.6), dog(0.8)], until=6) == []
    both = play(camera_watches(HORSES), lambda t: [horse(0.8), dog(0.6)], until=6)
    assert [(event.type, event.prompt) for event in both] == [("new", "horse")]
    without = {"horses": {"prompt": ["horse"]}}
    assert len(play(camera_watches(without), lambda t: [horse(0.6), dog(0.8)], until=6)) == 1


def test_a_beaten_detection_keeps_a_visit_s_track_alive_but_does_not_count() -> None:
    """Taken for a dog for two seconds, less than `leave`: one visit; for longer, it has left."""

    def seen(taken_for_a_dog: float) -> list[tuple[str, str]]:
        def at(t: float) -> list[Detection]:
            doubted = 2 <= t < 2 + taken_for_a_dog
            return [horse(0.6), *([dog(0.8)] if doubted else [])] if t < 12 else []

        return told(play(camera_watches(HORSES), at, until=20))

    assert seen(2) == [("new", "visit-1"), ("end", "visit-1")]
    assert seen(5) == [
        ("new", "visit-1"), ("end", "visit-1"), ("new", "visit-2"), ("end", "visit-2"),
    ]  # fmt: skip


def test_beaten_frames_are_no_hits() -> None:
    """Two of three frames beaten: never three hits within a second."""
    watches = {"horses": {**HORSES["horses"], "appear": {"hits": 3, "within": "1s"}}}

    def seen(t: float) -> list[Detection]:
        return [horse(0.6), *([] if round(t * 5) % 3 == 0 else [dog(0.8)])]

    assert play(camera_watches(watches), seen, until=10) == []


def test_the_rival_of_one_watch_may_be_the_prompt_of_another() -> None:
    watches = {
        "horses": {"prompt": ["horse"], "not": ["dog"]},
        "dogs": {"prompt": ["dog"], "not": ["horse"]},
    }
    both = camera_watches(watches)
    events = play(both, lambda t: [horse(0.6), dog(0.8)], until=6)
    assert [(event.watch, event.type, event.prompt) for event in events] == [("dogs", "new", "dog")]


def test_the_prompts_of_one_watch_are_no_rivals() -> None:
    """Alternatives: one thing, one event, whichever prompt is the surer."""
    watches = {"animals": {"prompt": ["horse", "dog"]}}
    events = play(camera_watches(watches), lambda t: [horse(0.6), dog(0.8)], until=6)
    assert [(event.type, event.prompt) for event in events] == [("new", "dog")]


def test_one_prompt_that_beats_the_rival_is_enough() -> None:
    watches = {"animals": {"prompt": ["horse", "pony"], "not": ["dog"]}}
    pony = person(300, confidence=0.9, prompt="pony")
    events = play(camera_watches(watches), lambda t: [horse(0.6), pony, dog(0.8)], until=6)
    assert [(event.type, event.prompt) for event in events] == [("new", "pony")]


def test_a_rival_s_own_place_is_never_an_event() -> None:
    assert play(camera_watches(HORSES), lambda t: [dog(0.9)], until=6) == []


def test_a_kept_watch_takes_other_rivals() -> None:
    """As when the distractors are switched off: its visits go on, and new rivals hold at once."""
    camera = CameraSettings.model_validate({"url": "/dev/video0"})
    settings = {"horses": WatchSettings.model_validate({"prompt": ["horse"]})}
    bare = CameraRules(camera, settings, {"horses": 0.3}, 0.1, None, {"horses": ()})
    watches = CameraWatches("porch", bare, lambda: "visit")
    assert told(play(watches, lambda t: [horse(0.6), dog(0.8)], until=2)) == [("new", "visit")]
    assert watches.adopt(replace(bare, rivals={"horses": ("dog",)})) == ()
    later = [e for n in range(11, 40) for e in watches.update(frame(n / 5), [horse(0.6), dog(0.8)])]
    assert [(event.type, event.reason) for event in later] == [("end", "left")]
