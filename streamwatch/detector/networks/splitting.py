"""Splits batches that don't fit the device's memory."""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray

from streamwatch.detector.protocol import Network, Running
from streamwatch.errors import DetectorError
from streamwatch.records import Vectors

log = logging.getLogger(__name__)


class SplittingNetwork:
    """A network that halves its batches after an out-of-memory error of the device.

    The batch size that fitted is kept as a limit, so the error is met once, with one warning.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._limit: int | None = None
        """Largest batch; None until memory ran out."""

    @property
    def running(self) -> Running:
        return self._network.running

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        """See `protocol.Network.forward`. Raises DetectorError if not even one image fits."""
        before = self._limit
        found: list[NDArray[np.float32]] = []
        done = 0
        while done < len(images):
            part = slice(done, done + (self._limit or len(images)))
            predictions = self._attempt(images[part], texts[part])
            if predictions is None:
                self._limit = _half(images[part])
            else:
                found.append(predictions)
                done += len(predictions)
        if self._limit != before:
            log.warning(
                "the memory of the detector's device is short: not all of %d pictures of %dx%d "
                "fitted at once; from now on at most %d",
                *(len(images), images.shape[2], images.shape[1], self._limit),
            )
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _attempt(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32] | None:
        """None if the device ran out of memory, which is freed by then."""
        try:
            return self._network.forward(images, texts)
        except torch.cuda.OutOfMemoryError:
            pass  # the exception references the tensors, so leave it before emptying the cache
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
