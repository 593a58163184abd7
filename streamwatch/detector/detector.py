"""The open-vocabulary detector: views in, detections out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamwatch.detector.letterbox import Canvases, Fit, Part, draw, fit_to
from streamwatch.detector.nms import suppress
from streamwatch.detector.protocol import Network, Running, View
from streamwatch.geometry import Box
from streamwatch.records import Detection, Vectors, Vocabulary


class WorldDetector:
    """Searches each view for its own vocabulary. Views of one letterboxed shape form one batch, or
    as few as fit the device's memory. For one thread."""

    def __init__(self, network: Network, image_size: int) -> None:
        self._network = network
        self._image_size = image_size
        self._canvases = Canvases()

    @property
    def running(self) -> Running:
        return self._network.running

    def detect(self, views: Sequence[View]) -> list[tuple[Detection, ...]]:
        """See `protocol.Detector.detect`."""
        parts = [_searched_part(view) for view in views]
        fits = [fit_to(x2 - x1, y2 - y1, self._image_size) for x1, y1, x2, y2 in parts]
        by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, fit in enumerate(fits):
            if views[number].vocabulary.prompts:
                by_shape[fit.canvas].append(number)
        found: list[tuple[Detection, ...]] = [()] * len(views)
        for shape, numbers in by_shape.items():
            batch = self._canvases.take(len(numbers), shape)
            for canvas, number in zip(batch, numbers, strict=True):
                draw(views[number].picture, parts[number], fits[number], canvas)
            texts = stack_texts([views[number].vocabulary for number in numbers])
            raw = self._network.forward(batch, texts)
            for predictions, number in zip(raw, numbers, strict=True):
                corner = parts[number][:2]
                found[number] = _detections(predictions, views[number], fits[number], corner)
        return found


def _searched_part(view: View) -> Part:
    """The part of the picture to search."""
    width, height = view.picture.size
    x1, y1, x2, y2 = view.crop or (0.0, 0.0, 1.0, 1.0)
    left, top = int(x1 * width), int(y1 * height)
    return left, top, max(left + 1, round(x2 * width)), max(top + 1, round(y2 * height))


def stack_texts(vocabularies: Sequence[Vocabulary]) -> Vectors:
    """`(batch, slots, 512)`: each vocabulary made as long as the longest by repeating its slots.

    Repeats don't change the result, zeros would: the text-guided attention takes a maximum over the
    texts.
    """
    slots = [vocabulary.slots for vocabulary in vocabularies]
    longest = max(len(each) for each in slots)
    return np.stack([np.resize(each, (longest, each.shape[1])) for each in slots])


def _detections(
    predictions: NDArray[np.float32], view: View, fit: Fit, corner: tuple[int, int]
) -> tuple[Detection, ...]:
    """NMS, then boxes in pixels of the whole picture, whose searched part begins at `corner`;
    highest confidence first."""
    prompts = view.vocabulary.prompts
    kept = suppress(predictions, len(prompts), view.floor)
    left, top = corner
    detections = []
    for slot, confidence, corners in zip(
        kept.prompts.tolist(), kept.confidences.tolist(), kept.corners.tolist(), strict=True
    ):
        x1, y1, x2, y2 = fit.restore(tuple(corners))
        box: Box = (x1 + left, y1 + top, x2 + left, y2 + top)
        detections.append(Detection(prompts[slot], confidence, box))
    return tuple(detections)
