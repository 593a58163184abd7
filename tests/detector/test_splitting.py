"""Batches are split when the device's memory is short."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamwatch.detector.detector import WorldDetector
from streamwatch.detector.networks.splitting import SplittingNetwork
from streamwatch.detector.protocol import Running, View
from streamwatch.errors import DetectorError
from streamwatch.pixels import Pixels
from streamwatch.records import Vectors, Vocabulary


class Small:
    """A network on a device with room for `room` images; its output depends on its input."""

    running = Running("cpu", "torch", "full")

    def __init__(self, room: int) -> None:
        self.room = room
        self.asked: list[int] = []

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        self.asked.append(len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        boxes = np.tile(np.array([[80], [48], [40], [40]]), (len(images), 1, 1))
        answers = images[:, :1, :1, :1].reshape(-1, 1, 1) / 255 * texts[:, :, :1]
        return np.concatenate([boxes, answers], 1).astype(np.float32)


def batch(size: int) -> tuple[NDArray[np.uint8], Vectors]:
    """Image n is filled with 10 n, its texts start with 1 / (n + 1)."""
    images = np.stack([np.full((96, 160, 3), 10 * n, np.uint8) for n in range(size)])
    texts = np.zeros((size, 2, 512), np.float32)
    texts[:, :, 0] = 1 / np.arange(1, size + 1)[:, None]
    return images, texts


@pytest.mark.parametrize(("size", "room"), [(1, 1), (7, 7), (7, 3), (7, 1), (8, 5), (2, 1)])
def test_a_split_batch_gives_the_same_output(size: int, room: int) -> None:
    whole = Small(room=size).forward(*batch(size))
    np.testing.assert_array_equal(SplittingNetwork(Small(room)).forward(*batch(size)), whole)


def test_the_smaller_batch_size_is_kept_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    network = Small(room=3)
    splitting = SplittingNetwork(network)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            splitting.forward(*batch(8))
    assert network.asked == [8, 4, 2, 2, 2, 2] + 2 * [2, 2, 2, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "the memory of the detector's device is short: not all of 8 pictures of 160x96 fitted at "
        "once; from now on at most 2"
    ]


def test_a_further_reduction_is_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    """As when another program took memory in the meantime."""
    network = Small(room=4)
    splitting = SplittingNetwork(network)
    splitting.forward(*batch(8))
    network.room = 1
    splitting.forward(*batch(2))
    assert [record.getMessage()[-2:] for record in caplog.records] == [" 4", " 1"]


def test_no_room_for_one_image_gives_one_clear_error() -> None:
    with pytest.raises(DetectorError) as raised:
        SplittingNetwork(Small(room=0)).forward(*batch(3))
    assert str(raised.value) == (
        "the memory of the detector's device doesn't hold a single picture of 160x96; take a "
        "smaller detector.model or detector.image_size"
    )


def test_the_detector_gives_the_same_result_with_split_batches() -> None:
    images, texts = batch(6)
    views = [
        View(Pixels(image), Vocabulary(("dog", "cat"), vectors), 0.001)
        for image, vectors in zip(images, texts, strict=True)
    ]
    roomy = WorldDetector(SplittingNetwork(Small(room=6)), 160).detect(views)
    assert WorldDetector(SplittingNetwork(Small(room=2)), 160).detect(views) == roomy
    assert all(roomy[1:]), "the first is black and has nothing to find"


def test_other_errors_are_raised() -> None:
    class Broken:
        running = Running("cpu", "torch", "full")

        def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        SplittingNetwork(Broken()).forward(*batch(2))
