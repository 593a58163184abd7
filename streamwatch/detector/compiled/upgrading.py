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

from streamwatch.detector.protocol import Network, Running
from streamwatch.errors import first_line
from streamwatch.records import Vectors

if TYPE_CHECKING:
    from streamwatch.detector.compiled.network import OpenVinoNetwork

log = logging.getLogger(__name__)


class UpgradingNetwork:
    """Serves with `first` until `make` has given the compiled one, which takes its place between
    two batches. See `Network`.

    `make` runs in a thread of its own, as does `on_change`, which is called when what runs has
    changed, or won't: `running.problem` says why.
    """

    def __init__(
        self, first: Network, make: Callable[[], OpenVinoNetwork], on_change: Callable[[], None]
    ) -> None:
        self._network = first
        self._make = make
        self._on_change = on_change
        self._problem: str | None = None
        self._seen: Counter[tuple[int, int]] = Counter()
        """How many batches of each (height, width) came so far."""
        self.text_width = first.text_width
        threading.Thread(target=self._upgrade, name="compiling", daemon=True).start()

    @property
    def running(self) -> Running:
        return replace(self._network.running, problem=self._problem)

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        """See `protocol.Network.forward`."""
        self._seen[images.shape[1], images.shape[2]] += 1
        return self._network.forward(images, texts)

    def _upgrade(self) -> None:
        try:
            compiled = self._make()
            compiled.prepare(self._usual_shapes())
        except Exception as error:  # OpenVINO may raise any exception
            log.debug("the compiled network can't be made", exc_info=error)
            self._problem = f"the detector is not compiled, torch goes on: {first_line(error)}"
            log.warning("%s", self._problem)
        else:
            self._network = compiled  # the present batch ends with the one that it began with
            log.info(
                "the detector is compiled and runs in %s precision", compiled.running.precision
            )
        self._on_change()

    def _usual_shapes(self) -> list[tuple[int, int]]:
        """Those that the compiled network would have prepared itself for by now."""
        # Here, for OpenVINO takes a moment to import; by now it is.
        from streamwatch.detector.compiled.network import SEEN, SHAPES

        return [shape for shape, count in self._seen.copy().most_common(SHAPES) if count >= SEEN]
