"""Batches of the cameras' newest frames, with the cameras in turn."""

from __future__ import annotations

import threading
import time
from collections import deque
from datetime import UTC, datetime

import numpy as np

from streamwatch.pixels import Pixels
from streamwatch.records import Frame
from streamwatch.scheduler.batches import BATCH_LIMIT, Scheduler


def frame(camera: str, index: int = 0) -> Frame:
    return Frame(
        camera,
        index,
        datetime(2026, 1, 1, tzinfo=UTC),
        0.0,
        None,
        Pixels(np.zeros((2, 2, 3), np.uint8)),
    )


class QueueSlot:
    def __init__(self, *frames: Frame) -> None:
        self.frames = deque(frames)

    def take(self) -> Frame | None:
        return self.frames.popleft() if self.frames else None


def test_a_batch_has_one_frame_of_each_camera_with_a_frame() -> None:
    slots = {"a": QueueSlot(frame("a")), "b": QueueSlot(), "c": QueueSlot(frame("c"))}
    scheduler = Scheduler(slots.values(), threading.Condition())
    assert [f.camera for f in scheduler.next_batch(0)] == ["a", "c"]
    assert scheduler.next_batch(0) == []


def test_under_overload_every_camera_gets_the_same_share() -> None:
    names = [f"c{number}" for number in range(BATCH_LIMIT + 5)]
    slots = {name: QueueSlot(*(frame(name, i) for i in range(1000))) for name in names}
    scheduler = Scheduler(slots.values(), threading.Condition())
    taken = [f.camera for _ in range(len(names) * 3) for f in scheduler.next_batch(0)]
    assert {taken.count(name) for name in names} == {3 * BATCH_LIMIT}


def test_a_frame_wakes_the_waiting_scheduler() -> None:
    ready = threading.Condition()
    slot = QueueSlot()
    scheduler = Scheduler([slot], ready)

    def fill() -> None:
        time.sleep(0.05)
        with ready:
            slot.frames.append(frame("a"))
            ready.notify_all()

    filler = threading.Thread(target=fill)
    filler.start()
    batch = scheduler.next_batch(timeout=10)
    filler.join()
    assert [f.camera for f in batch] == ["a"]
