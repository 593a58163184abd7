"""The open-vocabulary detector: views in, detections out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamwatch.detector.letterbox import Fit, letterbox
from streamwatch.detector.networks.splitting import SplittingNetwork
from streamwatch.detector.nms import suppress
from streamwatch.detector.protocol import Network, View
from streamwatch.geometry import Box
from streamwatch.records import Detection, Image, Vectors, Vocabulary


class WorldDetector:
    """Searches each view for its own vocabulary. Views of one letterboxed shape form one batch, or
    as few as fit the device's memory. For one thread."""

    def __init__(self, network: Network, image_size: int, device: str) -> None:
        self._network = SplittingNetwork(network)
        self._image_size = image_size
        self.device = device

    def detect(self, views: Sequence[View]) -> list[tuple[Detection, ...]]:
        """See `protocol.Detector.detect`."""
        prepared = [self._prepare(view) for view in views]
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for number, (canvas, _, _) in enumerate(prepared):
            if views[number].vocabulary.prompts:
                by_shape[canvas.shape].append(number)
        found: list[tuple[Detection, ...]] = [()] * len(views)
        for numbers in by_shape.values():
            raw = self._network.forward(
                np.stack([prepared[number][0] for number in numbers]),
                stack_texts([views[number].vocabulary for number in numbers]),
            )
            for predictions, number in zip(raw, numbers, strict=True):
                _, fit, offset = prepared[number]
                found[number] = _detections(predictions, views[number], fit, offset)
        return found

    def _prepare(self, view: View) -> tuple[Image, Fit, tuple[int, int]]:
        """The letterboxed crop, its `Fit`, and the crop's top left corner in the image (pixels)."""
        height, width = view.image.shape[:2]
        x1, y1, x2, y2 = view.crop or (0.0, 0.0, 1.0, 1.0)
        left, top = int(x1 * width), int(y1 * height)
        right, bottom = max(left + 1, round(x2 * width)), max(top + 1, round(y2 * height))
        canvas, fit = letterbox(view.image[top:bottom, left:right], self._image_size)
        return canvas, fit, (left, top)


def stack_texts(vocabularies: Sequence[Vocabulary]) -> Vectors:
    """`(batch, slots, 512)`: each vocabulary made as long as the longest by repeating its slots.

    Repeats don't change the result, zeros would: the text-guided attention takes a maximum over the
    texts.
    """
    slots = [vocabulary.slots for vocabulary in vocabularies]
    longest = max(len(each) for each in slots)
    return np.stack([np.resize(each, (longest, each.shape[1])) for each in slots])


def _detections(
    predictions: NDArray[np.float32], view: View, fit: Fit, offset: tuple[int, int]
) -> tuple[Detection, ...]:
    """NMS, then boxes in pixels of the whole image; highest confidence first."""
    prompts = view.vocabulary.prompts
    kept = suppress(predictions, len(prompts), view.floor)
    left, top = offset
    detections = []
    for slot, confidence, corners in zip(
        kept.prompts.tolist(), kept.confidences.tolist(), kept.corners.tolist(), strict=True
    ):
        x1, y1, x2, y2 = fit.restore(tuple(corners))
        box: Box = (x1 + left, y1 + top, x2 + left, y2 + top)
        detections.append(Detection(prompts[slot], confidence, box))
    return tuple(detections)
