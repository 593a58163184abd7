"""Batches of the cameras' newest frames, and whose turn it is when there are too many.

Most tests simulate cameras and a detector, so no clock is asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.pixels import Pixels
from streamwatch.records import Frame
from streamwatch.scheduler.batches import BEHIND_SECONDS, Feed, Scheduler
from streamwatch.scheduler.limit import MOST_FRAMES

CLOSE = 0.1
"""Rates may differ by so much of their mean."""


def frame(camera: str, index: int = 0) -> Frame:
    return Frame(
        camera,
        index,
        datetime(2026, 1, 1, tzinfo=UTC),
        0.0,
        None,
        Pixels(np.zeros((2, 2, 3), np.uint8)),
    )


class World:
    """The cameras and one detector, which takes `seconds` for each frame of a batch."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.batches: list[list[str]] = []
        self.still: list[str] = []

    def run(self, scheduler: Scheduler, seconds: float) -> dict[str, float]:
        """Frames a second that each camera got in the next `seconds`."""
        began, before = self.now, len(self.batches)
        while self.now < began + seconds:
            batch = scheduler.next_batch(0)
            self.still += [each.camera for each in batch.still]
            if batch.frames:
                took = self.seconds * len(batch.frames)
                self.batches.append([each.camera for each in batch.frames])
                scheduler.note(len(batch.frames), took)
                self.now += took
            else:
                self.now += 0.005
        taken = [name for batch in self.batches[before:] for name in batch]
        return {name: taken.count(name) / (self.now - began) for name in set(taken)}


class Camera:
    """Fills its slot `fps` times a second, from `phase` s on; `asleep` it gives nothing."""

    def __init__(self, world: World, name: str, fps: float = 5, phase: float = 0.0) -> None:
        self.world = world
        self.name = name
        self.fps = fps
        self.phase = phase
        self.asleep = False
        self.busy = False
        self.still = False
        self._taken = -1

    def peek(self) -> Frame | None:
        newest = int((self.world.now - self.phase) * self.fps + 1e-9)
        return None if self.asleep or newest <= self._taken else frame(self.name, newest)

    def take(self) -> Frame | None:
        found = self.peek()
        if found is not None:
            self._taken = found.index
        return found

    @property
    def feed(self) -> Feed:
        return Feed(self, self.fps, lambda: self.busy, lambda _: not self.still)


def scheduler(cameras: Iterable[Camera]) -> Scheduler:
    return Scheduler([camera.feed for camera in cameras], threading.Condition())


def eight(world: World, fps: float = 5) -> list[Camera]:
    return [Camera(world, f"c{number}", fps, number / 40) for number in range(8)]


def shares(rates: Mapping[str, float], cameras: Iterable[Camera]) -> list[float]:
    return [rates.get(camera.name, 0.0) / camera.fps for camera in cameras]


def assert_alike(values: Iterable[float]) -> None:
    values = list(values)
    mean = sum(values) / len(values)
    assert all(abs(value - mean) <= CLOSE * mean for value in values), values


def names(frames: Iterable[Frame]) -> list[str]:
    return [each.camera for each in frames]


# --- rates ---------------------------------------------------------------------------------------


def test_every_frame_is_analysed_while_there_is_time() -> None:
    world = World(0.02)
    cameras = eight(world)
    rates = world.run(scheduler(cameras), 20)
    assert shares(rates, cameras) == pytest.approx([1] * 8, rel=0.02)


@pytest.mark.parametrize("seconds", [0.01, 0.05, 0.1, 0.4])
@pytest.mark.parametrize("too_much", [1.3, 2, 5])
def test_at_overload_equal_cameras_get_the_same(seconds: float, too_much: float) -> None:
    world = World(seconds)
    cameras = eight(world, fps=too_much / seconds / 8)
    rates = world.run(scheduler(cameras), 1200 * seconds)
    assert_alike(shares(rates, cameras))
    assert sum(rates.values()) == pytest.approx(1 / seconds, rel=0.05)


@pytest.mark.parametrize("seconds", [0.03, 0.08])
def test_at_overload_cameras_get_the_same_share_of_their_fps(seconds: float) -> None:
    world = World(seconds)
    cameras = [
        Camera(world, f"{fps} {number}", fps, number / 17)
        for fps in (1, 2, 5, 15)
        for number in range(3)
    ]
    rates = world.run(scheduler(cameras), 200)
    assert_alike(shares(rates, cameras))


def test_more_cameras_than_a_batch_has_room_for() -> None:
    world = World(0.01)
    cameras = [Camera(world, f"c{number:02}", 15) for number in range(2 * MOST_FRAMES + 5)]
    assert_alike(shares(world.run(scheduler(cameras), 30), cameras))
    assert {len(batch) for batch in world.batches} == {MOST_FRAMES}


@settings(max_examples=40)
@given(
    fps=st.lists(st.sampled_from([0.5, 1, 2, 5, 10, 15, 30]), min_size=2, max_size=12),
    too_much=st.floats(1.5, 6),
    busy=st.sets(st.integers(0, 11)),
)
def test_at_any_overload_shares_are_alike(
    fps: list[float], too_much: float, busy: set[int]
) -> None:
    world = World(too_much / sum(fps))
    cameras = [Camera(world, f"c{number}", each, number / 17) for number, each in enumerate(fps)]
    for number in busy & set(range(len(fps))):
        cameras[number].busy = True
    rates = world.run(scheduler(cameras), max(20, 40 * too_much / min(fps)))
    assert_alike(shares(rates, cameras))
    assert all(len(set(batch)) == len(batch) <= MOST_FRAMES for batch in world.batches)


# --- busy, absent and still cameras --------------------------------------------------------------


def test_a_busy_camera_comes_first_and_gets_no_more() -> None:
    world = World(0.1)
    cameras = eight(world)
    cameras[5].busy = True
    rates = world.run(scheduler(cameras), 120)
    assert_alike(shares(rates, cameras))
    order = [name for batch in world.batches for name in batch][8:]
    rounds = [order[start : start + 8] for start in range(0, 800, 8)]
    assert sum(each[0] == "c5" for each in rounds) > 90


@pytest.mark.parametrize("absent", ["asleep", "still"])
def test_a_camera_that_comes_back_gets_no_more_than_the_others(absent: str) -> None:
    world = World(0.1)
    cameras = eight(world)
    there = scheduler(cameras)
    setattr(cameras[2], absent, True)
    world.run(there, 100)
    setattr(cameras[2], absent, False)
    rates = world.run(there, 5)
    assert rates["c2"] * 5 <= 10 / 8 * 5 + 2
    assert_alike(shares(world.run(there, 60), cameras))


def test_after_quiet_hours_no_camera_pays_for_what_it_got() -> None:
    world = World(0.01)
    cameras = [Camera(world, "little", 15), Camera(world, "much", 15)]
    cameras[0].asleep = True
    there = scheduler(cameras)
    world.run(there, 100)
    cameras[0].asleep = False
    world.seconds = 0.2
    assert_alike(shares(world.run(there, 10), cameras))


@pytest.mark.parametrize("given_fps", [4.5, 2.5, 0.5])
def test_a_camera_that_gives_less_than_its_fps_takes_nothing_from_the_others(
    given_fps: float,
) -> None:
    world = World(1.5 / 40)
    cameras = eight(world)
    cameras[4].fps = given_fps
    feeds = [replace(camera.feed, fps=5) for camera in cameras]
    rates = world.run(Scheduler(feeds, threading.Condition()), 120)
    others = [rates[camera.name] for camera in cameras if camera.name != "c4"]
    assert_alike(others)
    assert sum(rates.values()) == pytest.approx(1 / world.seconds, rel=0.05)
    assert rates["c4"] >= 0.9 * min(given_fps, min(others))


def test_a_camera_that_gave_less_for_hours_makes_up_for_two_seconds_at_most() -> None:
    world = World(1.2 / 40)
    cameras = eight(world)
    cameras[4].fps = 4.5
    there = Scheduler([replace(camera.feed, fps=5) for camera in cameras], threading.Condition())
    world.run(there, 600)
    cameras[4].fps = 5
    rates = world.run(there, 60)
    share = 5 / 1.2
    assert rates["c4"] * 60 <= share * 60 + 5 * BEHIND_SECONDS + 2
    assert_alike(shares(rates, cameras))


def test_frames_that_are_not_needed_are_passed_on_and_take_no_room() -> None:
    world = World(0.1)
    cameras = eight(world)
    for camera in cameras[:5]:
        camera.still = True
    rates = world.run(scheduler(cameras), 60)
    assert set(rates) == {"c5", "c6", "c7"}
    assert sum(rates.values()) == pytest.approx(10, rel=0.05)
    assert {name: world.still.count(name) / world.now for name in set(world.still)} == (
        pytest.approx(dict.fromkeys([f"c{number}" for number in range(5)], 5), rel=0.2)
    )


def test_frames_are_passed_on_where_none_is_needed() -> None:
    world = World(0.1)
    cameras = eight(world)
    for camera in cameras:
        camera.still = True
    world.now = 1.0
    batch = scheduler(cameras).next_batch(timeout=600)
    assert (batch.frames, names(batch.still)) == ([], [f"c{number}" for number in range(8)])


def test_frames_that_are_not_needed_are_passed_on_beside_a_full_batch() -> None:
    """Left where they are, they would be replaced, and count as frames there was no time for."""
    world = World(0.1)
    cameras = [Camera(world, f"c{number}") for number in range(MOST_FRAMES + 3)]
    cameras[-1].still = True
    world.now = 1.0
    batch = scheduler(cameras).next_batch(timeout=600)
    assert len(batch.frames) == MOST_FRAMES
    assert names(batch.still) == [cameras[-1].name]


# --- one batch -----------------------------------------------------------------------------------


def test_a_batch_has_one_frame_of_each_camera_with_a_frame() -> None:
    world = World(0.1)
    cameras = [Camera(world, name) for name in "abc"]
    cameras[1].asleep = True
    there = scheduler(cameras)
    assert names(there.next_batch(0).frames) == ["a", "c"]
    assert there.next_batch(0).frames == []


def test_nothing_is_taken_from_held_slots() -> None:
    world = World(0.1)
    cameras = [Camera(world, name) for name in "abc"]
    there = scheduler(cameras)
    assert names(there.next_batch(0, held={cameras[0]}).frames) == ["b", "c"]
    assert names(there.next_batch(0).frames) == ["a"]


def test_cameras_that_are_replaced_keep_their_place() -> None:
    world = World(0.2)
    cameras = eight(world)
    there = scheduler(cameras)
    world.run(there, 20)
    late = [Camera(world, f"late{number}") for number in range(4)]
    there.replace([camera.feed for camera in (*late, *reversed(cameras[4:]))])
    rates = world.run(there, 60)
    assert_alike(shares(rates, [*late, *cameras[4:]]))
    assert rates.keys().isdisjoint({"c0", "c1", "c2", "c3"})


def test_a_new_fps_holds_from_the_next_batch() -> None:
    world = World(0.1)
    cameras = eight(world)
    there = scheduler(cameras)
    world.run(there, 20)
    cameras[3].fps = 15
    there.replace([camera.feed for camera in cameras])
    assert_alike(shares(world.run(there, 60), cameras))


# --- waiting -------------------------------------------------------------------------------------


def in_another_thread(action: Callable[[], None]) -> threading.Thread:
    def later() -> None:
        time.sleep(0.05)
        action()

    thread = threading.Thread(target=later)
    thread.start()
    return thread


def test_a_frame_wakes_the_waiting_scheduler() -> None:
    camera, ready = Camera(World(0.1), "a"), threading.Condition()
    camera.asleep = True

    def fill() -> None:
        with ready:
            camera.asleep = False
            ready.notify_all()

    waiting = Scheduler([camera.feed], ready)
    filler = in_another_thread(fill)
    batch = waiting.next_batch(timeout=600)
    filler.join()
    assert names(batch.frames) == ["a"]


def test_waking_ends_the_present_or_the_next_wait() -> None:
    waiting = scheduler([])
    waker = in_another_thread(waiting.wake)
    assert waiting.next_batch(timeout=600).frames == []
    waker.join()
    waiting.wake()
    assert waiting.next_batch(timeout=600).frames == []
