"""Torch serves until the compiled network is ready."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamwatch.detector.compiled.graph_file import ConvertedGraph
from streamwatch.detector.protocol import Network, Running
from streamwatch.errors import first_line
from streamwatch.records import Vectors

if TYPE_CHECKING:
    from streamwatch.detector.compiled.network import OpenVinoNetwork

log = logging.getLogger(__name__)


class UpgradingNetwork:
    """Serves with `first` until the compiled one takes its place between two batches: what
    `compiled` makes of the graph that `convert` gives. See `Network`.

    They run in threads of their own, as does `on_change`, which is called when what runs has
    changed, or won't: `running.problem` says why.
    """

    def __init__(
        self,
        first: Network,
        convert: Callable[[], ConvertedGraph],
        compiled: Callable[[ConvertedGraph], OpenVinoNetwork],
        on_change: Callable[[], None],
    ) -> None:
        self._network = first
        self._convert = convert
        self._compiled = compiled
        self._on_change = on_change
        self._problem: str | None = None
        self._seen: Counter[tuple[int, int]] = Counter()
        """How many batches of each (height, width) came so far."""
        self.text_width = first.text_width
        threading.Thread(target=self._upgrade, name="converting", daemon=True).start()

    @property
    def running(self) -> Running:
        return replace(self._network.running, problem=self._problem)

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        """See `protocol.Network.forward`."""
        self._seen[images.shape[1], images.shape[2]] += 1
        return self._network.forward(images, texts)

    def _upgrade(self) -> None:
        try:
            graph = self._convert()
        except Exception as error:  # whatever it is, torch goes on
            self._go_on(error)
        else:
            # No daemon: the end of the process waits for it, and would abort if OpenVINO's or
            # torch's code returned to an interpreter that is gone.
            threading.Thread(
                target=self._exchange, args=[graph], name="compiling", daemon=False
            ).start()

    def _exchange(self, graph: ConvertedGraph) -> None:
        try:
            compiled = self._compiled(graph)
            compiled.prepare(self._usual_shapes())
        except Exception as error:  # OpenVINO may raise any exception
            self._go_on(error)
        else:
            self._network = compiled  # the present batch ends with the one that it began with
            log.info(
                "the detector is compiled and runs in %s precision", compiled.running.precision
            )
            self._on_change()

    def _go_on(self, error: Exception) -> None:
        log.debug("the compiled network can't be made", exc_info=error)
        self._problem = f"the detector is not compiled, torch goes on: {first_line(error)}"
        log.warning("%s", self._problem)
        self._on_change()

    def _usual_shapes(self) -> list[tuple[int, int]]:
        """Those that the compiled network would have prepared itself for by now."""
        # Here, for OpenVINO takes a moment to import; by now it is.
        from streamwatch.detector.compiled.network import SEEN, SHAPES

        return [shape for shape, count in self._seen.copy().most_common(SHAPES) if count >= SEEN]
