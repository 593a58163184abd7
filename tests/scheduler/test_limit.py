"""How many frames a batch may have, for devices that differ in what a batch costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from streamwatch.scheduler.limit import BUDGET_SECONDS, MOST_FRAMES, RECENT_BATCHES, BatchLimit


def by_the_frame(seconds: float) -> Callable[[int], float]:
    """A CPU: the time of a batch is that of its frames."""
    return lambda frames: seconds * frames


def at_once(seconds: float) -> Callable[[int], float]:
    """A GPU: one frame more costs next to nothing."""
    return lambda frames: seconds * (1 + frames / 100)


def full_batches(limit: BatchLimit, took: Callable[[int], float], count: int) -> list[int]:
    """The limits of so many batches that were each as large as they might be."""
    limits = []
    for _ in range(count):
        limits.append(limit.frames)
        limit.note(limits[-1], took(limits[-1]))
    return limits


def noted(batches: Iterable[tuple[int, float]]) -> BatchLimit:
    limit = BatchLimit()
    for frames, seconds in batches:
        limit.note(frames, seconds)
    return limit


def test_it_begins_with_the_most() -> None:
    assert BatchLimit().frames == MOST_FRAMES


@pytest.mark.parametrize(
    ("a_frame", "frames"), [(0.001, 8), (0.031, 8), (0.04, 6), (0.1, 2), (0.2, 1), (3.0, 1)]
)
def test_on_a_cpu_a_batch_fits_the_budget(a_frame: float, frames: int) -> None:
    limits = full_batches(BatchLimit(), by_the_frame(a_frame), 100)
    assert limits[-60:].count(frames) >= 55
    assert set(limits[-60:]) <= {frames, frames + 1}


@pytest.mark.parametrize("a_batch", [0.01, 0.1, 0.2, 0.4])
def test_a_gpu_keeps_the_most(a_batch: float) -> None:
    limits = full_batches(BatchLimit(), at_once(a_batch), 100)
    assert limits.count(MOST_FRAMES) > 90


def test_a_gpu_that_had_little_to_do_gets_the_most_when_there_is_much() -> None:
    limit = noted([(1, 0.2)] * 50)
    assert full_batches(limit, at_once(0.2), 2 * RECENT_BATCHES)[-1] == MOST_FRAMES


def test_it_falls_for_a_slower_detector_and_rises_again() -> None:
    limit = BatchLimit()
    full_batches(limit, by_the_frame(0.02), RECENT_BATCHES)
    assert limit.frames == MOST_FRAMES
    full_batches(limit, by_the_frame(0.12), 3 * RECENT_BATCHES)
    assert limit.frames in (2, 3)
    full_batches(limit, by_the_frame(0.02), 3 * RECENT_BATCHES)
    assert limit.frames == MOST_FRAMES


def test_a_few_disturbed_batches_change_nothing() -> None:
    calm = [(size, 0.06 * size) for size in (3, 4) * 6]
    assert noted(calm).frames == 4
    assert noted([*calm, (4, 5.0), (3, 2.0), (4, 0.001)]).frames == 4


def test_what_is_fixed_counts_toward_the_budget() -> None:
    fixed, each = 0.1, 0.04
    limit = noted((size, fixed + each * size) for size in (1, 2, 3, 4))
    assert limit.frames == int((BUDGET_SECONDS - fixed) / each)
