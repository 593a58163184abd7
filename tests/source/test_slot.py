"""The slot for the newest frame, with several threads."""

from __future__ import annotations

import threading
import time

import numpy as np

from streamwatch.pixels import Pixels
from streamwatch.records import Frame
from streamwatch.source import Slot
from tests.source.fake_clock import START

BLACK = np.zeros((2, 2, 3), np.uint8)


def frame(index: int) -> Frame:
    return Frame("porch", index, START, float(index), None, Pixels(BLACK))


def test_the_newest_frame_is_kept_and_older_ones_count_as_dropped() -> None:
    slot = Slot(threading.Condition())
    assert slot.take() is None
    for index in range(3):
        slot.put(frame(index))
    peeked = slot.peek()
    taken = slot.take()
    assert taken is not None
    assert taken is peeked
    assert taken.index == 2
    assert slot.take() is None
    assert slot.peek() is None
    assert slot.dropped == 2


def test_a_closed_slot_accepts_no_frame_but_gives_its_last_one() -> None:
    slot = Slot(threading.Condition())
    slot.put(frame(0))
    slot.close()
    slot.put(frame(1))
    assert not slot.drained
    taken = slot.take()
    assert taken is not None
    assert taken.index == 0
    assert slot.drained
    assert slot.dropped == 0


def test_slots_can_share_one_condition() -> None:
    condition = threading.Condition()
    slots = [Slot(condition) for _ in range(3)]
    thread = threading.Timer(0.05, lambda: slots[2].put(frame(7)))
    thread.start()
    with condition:
        found = condition.wait_for(lambda: next(filter(None, (s.take() for s in slots)), None), 5)
    thread.join()
    assert found is not None
    assert found.index == 7


def test_close_wakes_a_waiting_reader() -> None:
    condition = threading.Condition()
    slot = Slot(condition)
    thread = threading.Timer(0.05, slot.close)
    thread.start()
    with condition:
        assert condition.wait_for(lambda: slot.drained, 5)
    thread.join()


def test_put_and_wait_returns_when_the_frame_is_taken() -> None:
    slot, stop = Slot(threading.Condition()), threading.Event()
    thread = threading.Thread(target=slot.put_and_wait, args=(frame(0), stop))
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    assert slot.take() is not None
    thread.join(5)
    assert not thread.is_alive()


def test_put_and_wait_returns_on_stop_or_close() -> None:
    for end in ("stop", "close"):
        slot, stop = Slot(threading.Condition()), threading.Event()
        thread = threading.Thread(target=slot.put_and_wait, args=(frame(0), stop))
        thread.start()
        stop.set() if end == "stop" else slot.close()
        thread.join(5)
        assert not thread.is_alive()
        assert slot.take() is not None


def take_all(slot: Slot, condition: threading.Condition) -> list[int]:
    """The indices of all frames until the slot is drained."""
    indices: list[int] = []
    with condition:
        while not slot.drained:
            taken = slot.take()
            if taken is None:
                condition.wait(5)
            else:
                indices.append(taken.index)
    return indices


def test_put_from_another_thread_loses_and_doubles_no_frame() -> None:
    """Each frame is either taken, in order, or counted as dropped."""
    condition = threading.Condition()
    slot = Slot(condition)
    total = 20_000

    def put() -> None:
        for index in range(total):
            slot.put(frame(index))
        slot.close()

    thread = threading.Thread(target=put)
    thread.start()
    indices = take_all(slot, condition)
    thread.join()
    assert indices == sorted(set(indices))
    assert indices[-1] == total - 1
    assert len(indices) + slot.dropped == total


def test_put_and_wait_drops_no_frame() -> None:
    condition, stop = threading.Condition(), threading.Event()
    slot = Slot(condition)

    def put() -> None:
        for index in range(2000):
            slot.put_and_wait(frame(index), stop)
        slot.close()

    thread = threading.Thread(target=put)
    thread.start()
    assert take_all(slot, condition) == list(range(2000))
    thread.join()
    assert slot.dropped == 0
