"""A checkpoint's graph, run by torch."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from streamwatch.detector.networks.graph import Graph
from streamwatch.detector.protocol import Running
from streamwatch.records import Vectors


class TorchNetwork:
    """A graph on one device: a GPU, or a CPU until the graph is compiled. See `Network`."""

    def __init__(
        self, graph: Graph, device: str, precision: Literal["full", "half"] = "full"
    ) -> None:
        """The weights are converted too, as Ultralytics does with `half=True`; autocast would keep
        them in float32 and convert them in every pass."""
        self._graph = graph.to(device, torch.float16 if precision == "half" else torch.float32)
        self._device = device
        self.running = Running(device, "torch", precision)

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        """See `protocol.Network.forward`."""
        with torch.inference_mode():
            found: torch.Tensor = self._graph(
                torch.from_numpy(images).to(self._device), torch.from_numpy(texts).to(self._device)
            )
            output: NDArray[np.float32] = found.float().cpu().numpy()
        return output
