"""Batches that fit the device's memory."""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray

from streamwatch.detector.protocol import Network
from streamwatch.errors import DetectorError
from streamwatch.records import Vectors

log = logging.getLogger(__name__)


class SplittingNetwork:
    """A network whose batches go through in parts once the device's memory has run short.

    What fitted is remembered, so the price of finding out is paid once, with one warning.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._most: int | None = None

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        """See `protocol.Network.forward`. Raises DetectorError if not even one picture fits."""
        before = self._most
        found: list[NDArray[np.float32]] = []
        done = 0
        while done < len(images):
            part = slice(done, done + (self._most or len(images)))
            predictions = self._attempt(images[part], texts[part])
            if predictions is None:
                self._most = _half(images[part])
            else:
                found.append(predictions)
                done += len(predictions)
        if self._most != before:
            log.warning(
                "the memory of the detector's device is short: not all of %d pictures of %dx%d "
                "fitted at once; from now on at most %d",
                *(len(images), images.shape[2], images.shape[1], self._most),
            )
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _attempt(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32] | None:
        """None where memory ran out; what was taken is given back by then."""
        try:
            return self._network.forward(images, texts)
        except torch.cuda.OutOfMemoryError:
            pass  # the error holds on to the tensors of the forward, so it has to be gone first
        torch.cuda.empty_cache()
        return None


def _half(images: NDArray[np.uint8]) -> int:
    if len(images) == 1:
        raise DetectorError(
            f"the memory of the detector's device doesn't hold a single picture of "
            f"{images.shape[2]}x{images.shape[1]}; take a smaller detector.model or "
            "detector.image_size"
        )
    return len(images) // 2
