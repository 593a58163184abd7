"""NMS of all prompts together keeps exactly what Ultralytics' keeps prompt by prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision  # noqa: F401  Ultralytics takes its NMS where it is imported.
from numpy.typing import NDArray
from ultralytics.utils.nms import non_max_suppression

from streamwatch.detector import nms
from streamwatch.detector.nms import suppress

Rows = list[tuple[float, ...]]
"""Prompt, confidence, x1, y1, x2, y2."""


def mine(predictions: NDArray[np.float32], prompts: int, floor: float) -> Rows:
    kept = suppress(predictions, prompts, floor)
    rows = zip(kept.prompts.tolist(), kept.confidences.tolist(), kept.corners.tolist(), strict=True)
    return [(prompt, confidence, *corners) for prompt, confidence, corners in rows]


def prompt_by_prompt(
    predictions: NDArray[np.float32], prompts: int, floor: float, max_nms: int = 30000
) -> Rows:
    raw = torch.from_numpy(predictions[None])
    rows = []
    for slot in range(prompts):
        columns = raw[:, [0, 1, 2, 3, 4 + slot]]
        (kept,) = non_max_suppression(columns, floor, 0.7, max_nms=max_nms)
        rows += [(slot, confidence, *corners) for *corners, confidence, _ in kept.tolist()]
    return sorted(rows, key=lambda row: row[1], reverse=True)


def crowd(
    generator: np.random.Generator, prompts: int, anchors: int, steps: int
) -> NDArray[np.float32]:
    """Boxes heaped on 12 things, and a padding slot after the prompts, which finds everything.

    Confidences are mostly low, and at most `steps` different ones, so that many are equal.
    """
    things = generator.uniform((30, 30, 10, 10), (380, 220, 120, 120), (12, 4))
    boxes = things[generator.integers(0, 12, anchors)]
    boxes = boxes + generator.normal(0, 0.06, boxes.shape) * boxes[:, [2, 3, 2, 3]]
    confidences = np.round(generator.random((prompts, anchors)) ** 3 * steps) / steps
    padding = np.full((1, anchors), 0.99)
    return np.concatenate((boxes.T, confidences, padding)).astype(np.float32)


@pytest.mark.parametrize("steps", [20, 1_000_000])
@pytest.mark.parametrize("floor", [0.01, 0.05, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("prompts", [1, 8, 40, 80])
def test_equals_ultralytics_prompt_by_prompt(prompts: int, floor: float, steps: int) -> None:
    generator = np.random.default_rng([prompts, steps])
    for _ in range(2):
        predictions = crowd(generator, prompts, 500, steps)
        found = mine(predictions, prompts, floor)
        assert len({row[0] for row in found}) == prompts
        assert found == prompt_by_prompt(predictions, prompts, floor)


def test_overlaps_at_the_very_threshold_are_decided_alike() -> None:
    """Boxes of whole pixels, whose overlap is often 0.7 but for the rounding."""
    generator = np.random.default_rng(5)
    centres, sides = generator.integers(20, 24, (2, 600)), generator.integers(7, 21, (2, 600))
    predictions = np.concatenate((centres, sides, generator.random((3, 600)))).astype(np.float32)
    assert mine(predictions, 3, 0.05) == prompt_by_prompt(predictions, 3, 0.05)


def pair(shared: int) -> NDArray[np.float32]:
    """Two boxes side by side, 10 px high, 17 px wide each, which share `shared` px of width."""
    return np.array([[8.5, 25.5 - shared], [5, 5], [17, 17], [10, 10], [0.9, 0.8]], np.float32)


@pytest.mark.parametrize(("shared", "left"), [(13, 2), (14, 2), (15, 1)])
def test_an_overlap_of_just_the_threshold_is_kept(shared: int, left: int) -> None:
    """14 of 20 px are 0.7."""
    assert len(mine(pair(shared), 1, 0.1)) == left


def test_a_confidence_must_be_above_the_floor() -> None:
    assert [row[1] for row in mine(pair(0), 1, 0.8)] == [pytest.approx(0.9)]


def test_the_limit_of_detections_is_each_prompts() -> None:
    grid = np.stack(np.meshgrid(np.arange(0, 400, 10), np.arange(0, 400, 10))).reshape(2, -1)
    confidences = np.random.default_rng(3).random((3, grid.shape[1]))
    confidences[1, 5:] = 0
    predictions = np.concatenate((grid, np.full_like(grid, 8), confidences)).astype(np.float32)
    found = mine(predictions, 3, 0.01)
    assert [sum(row[0] == slot for row in found) for slot in range(3)] == [300, 5, 300]
    assert found == prompt_by_prompt(predictions, 3, 0.01)


def test_only_the_best_candidates_of_each_prompt_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nms, "MAX_CANDIDATES", 40)
    predictions = crowd(np.random.default_rng(4), 8, 500, 1_000_000)
    found = mine(predictions, 8, 0.05)
    assert found == prompt_by_prompt(predictions, 8, 0.05, max_nms=40)
    assert found != prompt_by_prompt(predictions, 8, 0.05)


def test_boxes_without_an_area_suppress_nothing() -> None:
    flat = np.array([[5, 5, 5], [5, 5, 5], [0, 0, 4], [3, 3, 4], [0.9, 0.8, 0.7]], np.float32)
    assert len(mine(flat, 1, 0.1)) == 3


@pytest.mark.parametrize("prompts", [0, 3])
def test_nothing_above_the_floor_is_nothing(prompts: int) -> None:
    assert mine(crowd(np.random.default_rng(6), prompts, 50, 100), prompts, 1.0) == []
