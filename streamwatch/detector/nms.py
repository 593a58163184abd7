"""Non-maximum suppression for all prompts of an image together.

In numpy, because importing torchvision for its NMS takes a daemon 160 MB and a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IOU = 0.7
"""The most that two detections of one prompt may overlap: Ultralytics' default for prediction."""

MAX_CANDIDATES = 30_000
"""The most confident of a prompt's anchors that are looked at: Ultralytics' `max_nms`."""

MAX_DETECTIONS = 300
"""The most detections of a prompt: Ultralytics' `max_det`."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What is left of an image's predictions, the highest confidence first, then by prompt."""

    prompts: NDArray[np.intp]
    """`(detections,)`: the number of the prompt."""
    confidences: NDArray[np.float32]
    """`(detections,)`"""
    corners: NDArray[np.float32]
    """`(detections, 4)`: x1, y1, x2, y2 in pixels of what the network saw."""


def suppress(predictions: NDArray[np.float32], prompts: int, floor: float) -> Kept:
    """For each prompt what Ultralytics' `non_max_suppression` keeps if called for it alone.

    `predictions` is one image's of `Network.forward`, `(4 + slots, anchors)`, of which the first
    `prompts` slots count; a confidence must be above `floor`. Prompts are independent: an anchor
    may match several, and the limits are those of each. At equal confidences the lower anchor wins.
    """
    found, anchors = np.nonzero(predictions[4 : 4 + prompts] > floor)
    confidences = predictions[4 + found, anchors]
    order = np.lexsort((-confidences, found))
    found, anchors, confidences = found[order], anchors[order], confidences[order]
    if predictions.shape[1] > MAX_CANDIDATES:
        few = np.arange(len(found)) - np.searchsorted(found, found) < MAX_CANDIDATES
        found, anchors, confidences = found[few], anchors[few], confidences[few]
    corners = _corners(predictions[:4, anchors])
    kept = _best(found, corners)
    kept = kept[np.argsort(-confidences[kept], kind="stable")]
    return Kept(found[kept], confidences[kept], corners[:, kept].T)


def _corners(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(4, n)`: centre x, centre y, width, height → x1, y1, x2, y2."""
    half = boxes[2:] / 2
    return np.concatenate((boxes[:2] - half, boxes[:2] + half))


def _best(prompts: NDArray[np.intp], corners: NDArray[np.float32]) -> NDArray[np.intp]:
    """The places of the candidates that no better one of their prompt suppresses, ascending.

    `prompts` `(n,)` and `corners` `(4, n)` come by prompt, the best first. Each round keeps the
    first candidate of every prompt and drops those of its prompt that overlap it too much.
    """
    kept = [np.zeros(0, np.intp)]
    places = np.arange(len(prompts))
    for _ in range(MAX_DETECTIONS):
        if not len(places):
            break
        first = np.ones(len(places), np.bool_)
        first[1:] = prompts[1:] != prompts[:-1]
        kept.append(places[first])
        leaders = corners[:, first][:, np.cumsum(first) - 1]
        left = ~first & (_iou(leaders, corners) <= np.float32(IOU))
        places, prompts, corners = places[left], prompts[left], corners[:, left]
    return np.sort(np.concatenate(kept))


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(n,)`: intersection over union of each box of `a` with that of `b`, both `(4, n)`.

    Step by step as torchvision computes it, so that rounding decides no pair otherwise.
    """
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    shared = sides[0] * sides[1]
    union = _areas(a) + _areas(b) - shared
    shares: NDArray[np.float32] = np.zeros_like(shared)
    np.divide(shared, union, out=shares, where=shared > 0)
    return shares


def _areas(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    areas: NDArray[np.float32] = (corners[2] - corners[0]) * (corners[3] - corners[1])
    return areas
