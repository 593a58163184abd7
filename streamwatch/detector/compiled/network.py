"""A converted graph, run by OpenVINO on the CPU."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from streamwatch.detector.compiled.graph_file import ConvertedGraph, NumberType
from streamwatch.detector.protocol import Precision, Running
from streamwatch.records import TEXT_WIDTH, Vectors

log = logging.getLogger(__name__)

SLOTS = (4, 8, 16, 32, 48, 80)
"""Numbers of texts that are calculated with; beyond these, multiples of the last. OpenVINO prepares
itself for each number that comes, which takes 5 ms and 4 MB, and never forgets one; the slots that
are too many cost less than that."""
SHAPES = 8
"""Most image shapes compiled for: 7 to 80 MB each."""
SEEN = 3
"""How many images of a shape come before it is compiled for: not for a single look at something."""
SETTLED = 100
"""After so many batches in a row of shapes that are compiled for, the one for all is let go."""


class OpenVinoNetwork:
    """A graph compiled for each image shape, and for all others as long as those come. See
    `Network`.

    Compiled for one shape it needs a fifth less time. That is done in another thread, while the one
    for all shapes serves; that takes 100 to 200 MB, so it goes when it has nothing to do.
    """

    def __init__(self, graph: ConvertedGraph, number: NumberType, precision: Precision) -> None:
        """Compile it for all shapes: takes 0.3 s. Raises what OpenVINO raises."""
        self._graph = graph
        self._core = openvino.Core()
        self._options = {"INFERENCE_PRECISION_HINT": number, "PERFORMANCE_HINT": "LATENCY"}
        self._for_any: Any | None = self._compiled((-1, -1))
        self._unneeded = 0
        """Batches in a row that were not for that."""
        self._ready: dict[tuple[int, int], Any] = {}
        """By (height, width). Written by the thread `compiling`, or before the first image."""
        self._seen: OrderedDict[tuple[int, int], int] = OrderedDict()
        """How many images of a shape came, the shape that came last at the end."""
        self._compiling = ThreadPoolExecutor(1, "compiling")
        self.running = Running("cpu", "openvino", precision)

    def prepare(self, shapes: Iterable[tuple[int, int]]) -> None:
        """Compile for images of `shapes` now. Takes 0.3 s each; raises what OpenVINO raises."""
        for shape in shapes:
            self._ready[shape] = self._compiled(shape)

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        """See `protocol.Network.forward`."""
        _, height, width, _ = images.shape
        request = self._request((height, width))
        slots = texts.shape[1]
        # Repeats don't change the result, see `detector.stack_texts`.
        padded = [np.resize(each, (1, _bucket(slots), TEXT_WIDTH)) for each in texts]
        return np.concatenate(
            [
                # A copy: the next image is calculated in the same place.
                request.infer([image[None], words], share_inputs=True)[0][:, : 4 + slots]
                for image, words in zip(images, padded, strict=True)
            ]
        )

    def _request(self, shape: tuple[int, int]) -> Any:
        """What to run for images of this shape."""
        ready = self._ready.get(shape)
        self._unneeded = 0 if ready is None else self._unneeded + 1
        if self._unneeded == SETTLED:
            self._for_any = None
        if ready is None and self._for_any is None:
            # 0.3 s, once, when a camera of another shape has been added.
            self._for_any = self._compiled((-1, -1))
        self._seen[shape] = count = self._seen.get(shape, 0) + 1
        self._seen.move_to_end(shape)
        if len(self._seen) > SHAPES:
            least, _ = self._seen.popitem(last=False)
            self._ready.pop(least, None)
        if count == SEEN and shape not in self._ready:
            self._compiling.submit(self._prepare_beside, shape)
        return self._ready.get(shape) or self._for_any

    def _prepare_beside(self, shape: tuple[int, int]) -> None:
        try:
            if shape in self._seen:
                self.prepare([shape])
        except Exception as error:  # the one for all shapes goes on
            log.debug("compiling for images of %s failed", shape, exc_info=error)

    def _compiled(self, shape: tuple[int, int]) -> Any:
        """A request of the graph for images `(height, width)`; -1 for any."""
        batch = 1 if shape[0] > 0 else -1
        weights = openvino.Tensor(self._graph.weights, shared_memory=True)
        model = self._core.read_model(self._graph.xml, weights)
        model.reshape({0: [batch, *shape, 3], 1: [batch, -1, TEXT_WIDTH]})
        return self._core.compile_model(model, "CPU", self._options).create_infer_request()


def _bucket(slots: int) -> int:
    """With how many texts `slots` of them are calculated."""
    for size in SLOTS:
        if slots <= size:
            return size
    return -(-slots // SLOTS[-1]) * SLOTS[-1]
