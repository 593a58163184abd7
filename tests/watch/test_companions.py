"""`with`, `without` and `near`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from streamwatch.records import Detection, Event
from tests.watch.scenes import SIZE, camera_watches, frame, person, play, told

DIAGONAL = (SIZE[0] ** 2 + SIZE[1] ** 2) ** 0.5
UNATTENDED = {
    "prompt": ["bag"],
    "without": ["person"],
    "near": 0.1,
    "dwell": timedelta(seconds=10),
}


def bag(x: float = 300, confidence: float = 0.8) -> Detection:
    return Detection("bag", confidence, (x - 15, 170, x + 15, 200))


def beside(gap_share: float, confidence: float = 0.8) -> Detection:
    """A person to the right of the bag, so far from it edge to edge, in shares of the diagonal."""
    return person(315 + gap_share * DIAGONAL + 16, confidence=confidence)


def events(
    watch: dict[str, Any],
    seen: Callable[[float], Sequence[Detection]],
    until: float,
    fps: float = 5,
) -> list[Event]:
    return play(camera_watches({"bags": watch}, fps=fps), seen, until, fps)


def news(found: list[Event]) -> list[float]:
    """When alerts began, in seconds."""
    starts = [frame(0).captured_at]
    return [
        round((event.captured_at - starts[0]).total_seconds(), 1)
        for event in found
        if event.type == "new"
    ]


@pytest.mark.parametrize(
    ("near", "gap", "counts_as_near"),
    [
        (0.1, 0.0, True),
        (0.1, 0.099, True),
        (0.1, 0.101, False),
        (0.0, 0.0, True),
        (0.0, 0.005, False),
        (1.0, 0.4, True),
    ],
)
def test_near_is_between_the_edges(near: float, gap: float, counts_as_near: bool) -> None:
    seen = lambda t: [bag(), beside(gap)]  # noqa: E731
    attended = events({"prompt": ["bag"], "with": ["person"], "near": near}, seen, until=3)
    alone = events({"prompt": ["bag"], "without": ["person"], "near": near}, seen, until=3)
    assert len(news(attended)) == counts_as_near
    assert len(news(alone)) == (not counts_as_near)


def test_companions_are_never_reported() -> None:
    alone = camera_watches({"bags": {"prompt": ["bag"], "without": ["person"]}})
    assert play(alone, lambda t: [person(300)], until=5) == []


def test_any_of_several_companions_will_do() -> None:
    watch = {"prompt": ["bag"], "with": ["person", "dog"]}
    dog = Detection("dog", 0.8, (320, 180, 350, 200))
    assert news(events(watch, lambda t: [bag(), dog], until=3)) == [0.4]
    assert news(events({**UNATTENDED, "without": ["person", "dog"]},
                       lambda t: [bag(), dog], until=30)) == []  # fmt: skip


def test_a_companion_counts_from_the_watchs_confidence_on() -> None:
    watch = {"prompt": ["bag"], "without": ["person"], "confidence": 0.5}
    unsure = lambda t: [bag(), beside(0.02, confidence=0.45)]  # noqa: E731
    sure = lambda t: [bag(), beside(0.02, confidence=0.55)]  # noqa: E731
    assert news(events(watch, unsure, until=3)) == [0.4]
    assert news(events(watch, sure, until=3)) == []


def test_a_companion_is_kept_by_weaker_detections() -> None:
    seen = lambda t: [bag(), beside(0.02, confidence=0.8 if t < 1 else 0.15)]  # noqa: E731
    assert news(events(UNATTENDED, seen, until=30)) == []


def test_an_unattended_bag() -> None:
    """Its owner stays for 5 s and walks off at 50 px a second, near until 6.5 s."""

    def seen(t: float) -> list[Detection]:
        x = 331 + max(0.0, t - 5) * 50
        return [bag(), *([person(x)] if x < 620 else [])]

    found = events(UNATTENDED, seen, until=30)
    assert [event.type for event in found] == ["new"]
    started = (found[0].started_at - frame(0).captured_at).total_seconds()
    assert 6.4 <= started <= 6.8
    assert news(found) == [pytest.approx(started + 10, abs=0.21)]


@pytest.mark.parametrize(("passing", "alert_at"), [(1.6, 10.0), (8.0, None)])
def test_dwell_goes_on_after_a_short_companion_and_restarts_after_a_long_one(
    passing: float, alert_at: float | None
) -> None:
    """Near for less than `leave` the dwell goes on; for longer it begins anew."""
    seen = lambda t: [bag(), *([beside(0.02)] if 4 <= t < 4 + passing else [])]  # noqa: E731
    found = news(events(UNATTENDED, seen, until=18))
    assert found == ([alert_at] if alert_at else [])


def test_an_owner_who_returns_ends_the_visit() -> None:
    seen = lambda t: [bag(), *([beside(0.02)] if t >= 15 else [])]  # noqa: E731
    assert told(events(UNATTENDED, seen, until=25)) == [("new", "visit-1"), ("end", "visit-1")]


@pytest.mark.parametrize("fps", [1, 2, 5, 15])
def test_a_companion_undetected_in_some_frames_is_still_there(fps: int) -> None:
    """Every third frame without the person would otherwise be enough for `appear`."""
    watch = {**UNATTENDED, "dwell": timedelta(0)}
    seen = lambda t: [bag(), *([beside(0.02)] if round(t * fps) % 3 != 2 else [])]  # noqa: E731
    assert news(events(watch, seen, until=30, fps=fps)) == []


@pytest.mark.parametrize("fps", [1, 2, 5, 15])
def test_one_false_detection_of_a_companion_gives_no_alert(fps: int) -> None:
    watch = {"prompt": ["bag"], "with": ["person"]}
    seen = lambda t: [bag(), *([beside(0.02)] if round(t * fps) % 40 == 20 else [])]  # noqa: E731
    assert news(events(watch, seen, until=60, fps=fps)) == []


def test_a_missing_hard_hat() -> None:
    """`near: 0` asks for boxes that touch; another's hat, some steps away, is no help."""
    watch = {"prompt": ["person"], "without": ["hard hat"], "near": 0}
    hat = Detection("hard hat", 0.7, (290, 118, 310, 130))  # on the head of the person at 300
    safe = lambda t: [person(300), hat]  # noqa: E731
    one_without = lambda t: [person(300), hat, person(360)]  # noqa: E731
    assert news(events(watch, safe, until=5)) == []
    (alert, *_) = events(watch, one_without, until=5)
    assert alert.box == person(360).box


@pytest.mark.parametrize("fps", [1, 5])
def test_an_object_is_not_its_own_companion(fps: int) -> None:
    """The same box found under another word, even where that word flickers on a moving thing."""
    watch = {"prompt": ["man"], "without": ["person"]}

    def seen(t: float) -> list[Detection]:
        x = 100 + 8 * t
        found = [person(x, prompt="man")]
        return [*found, person(x + 1, prompt="person")] if round(t * fps) % 2 else found

    assert len(news(events(watch, seen, until=20, fps=fps))) == 1
    with_itself = {"prompt": ["man"], "with": ["person"]}
    assert news(events(with_itself, seen, until=20, fps=fps)) == []


def test_a_prompt_may_be_its_own_companion() -> None:
    """Somebody alone: a person without another person."""
    watch = {"prompt": ["person"], "without": ["person"]}
    assert len(news(events(watch, lambda t: [person(300)], until=5))) == 1
    assert news(events(watch, lambda t: [person(300), person(360)], until=5)) == []


def test_companions_in_an_ignored_area_do_not_count() -> None:
    ignored = [(0.5, 0), (1, 0), (1, 1), (0.5, 1)]
    watches = camera_watches({"bags": {"prompt": ["bag"], "without": ["person"]}}, ignore=[ignored])
    found = play(watches, lambda t: [bag(290), person(340)], until=5)
    assert [event.type for event in found] == ["new"]


def test_companions_are_kept_when_the_frame_size_changes() -> None:
    """The person is missed in the one frame after the stream doubled its size."""
    watches = camera_watches({"bags": {**UNATTENDED, "dwell": timedelta(0), "appear": {"hits": 1}}})
    found = play(watches, lambda t: [bag(), beside(0.02)], until=3)
    double = Detection("bag", 0.8, tuple(2 * side for side in bag().box))  # type: ignore[arg-type]
    found += watches.update(frame(3.2, size=(1280, 720)), [double])
    assert found == []
