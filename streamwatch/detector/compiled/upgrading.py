"""One network serves until a better one is ready: torch, the compiled one, the quantized one."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamwatch.detector.compiled.graph_file import ConvertedGraph
from streamwatch.detector.compiled.samples import Sample, Samples
from streamwatch.detector.protocol import Network, Running
from streamwatch.errors import first_line
from streamwatch.records import Vectors

if TYPE_CHECKING:
    from streamwatch.detector.compiled.network import OpenVinoNetwork

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """How a better network is made: `compiled` from the graph that `convert` gives.

    `convert` is given pictures that came, none unless it `wants_samples`. Both may raise anything;
    `why_not` begins the sentence that tells of it.
    """

    convert: Callable[[Sequence[Sample]], ConvertedGraph]
    compiled: Callable[[ConvertedGraph], OpenVinoNetwork]
    why_not: str
    wants_samples: bool = False


class UpgradingNetwork:
    """Serves with `first` until the first of `upgrades` is made, which takes its place between two
    batches, and so on. See `Network`.

    They are made in threads of their own, as is `on_change` called, when what runs has changed, or
    won't: `running.problem` says why, and the rest is left.
    """

    def __init__(
        self, first: Network, upgrades: Sequence[Upgrade], on_change: Callable[[], None]
    ) -> None:
        self._network = first
        self._upgrades = list(upgrades)
        self._on_change = on_change
        self._problem: str | None = None
        self._samples: Samples | None = None
        """While they are collected."""
        self._seen: Counter[tuple[int, int]] = Counter()
        """How many batches of each (height, width) came so far."""
        self._begin_next()

    @property
    def running(self) -> Running:
        return replace(self._network.running, problem=self._problem)

    def forward(self, images: NDArray[np.uint8], texts: Vectors) -> NDArray[np.float32]:
        """See `protocol.Network.forward`."""
        self._seen[images.shape[1], images.shape[2]] += 1
        found = self._network.forward(images, texts)
        samples = self._samples
        if samples is not None:
            samples.offer(images, texts)
            if samples.complete:
                self._samples = None
                self._start(samples.taken)
        return found

    def _begin_next(self) -> None:
        if not self._upgrades:
            return
        if self._upgrades[0].wants_samples:
            log.info("the detector is quantized to int8 when it has seen enough pictures")
            self._samples = Samples()
        else:
            self._start(())

    def _start(self, samples: Sequence[Sample]) -> None:
        upgrade = self._upgrades.pop(0)
        threading.Thread(
            target=self._upgrade, args=(upgrade, samples), name="converting", daemon=True
        ).start()

    def _upgrade(self, upgrade: Upgrade, samples: Sequence[Sample]) -> None:
        try:
            graph = upgrade.convert(samples)
        except Exception as error:  # whatever it is, what ran before goes on
            self._go_on(upgrade, error)
        else:
            # No daemon: the end of the process waits for it, and would abort if OpenVINO's or
            # torch's code returned to an interpreter that is gone.
            threading.Thread(
                target=self._exchange, args=(upgrade, graph), name="compiling", daemon=False
            ).start()

    def _exchange(self, upgrade: Upgrade, graph: ConvertedGraph) -> None:
        try:
            compiled = upgrade.compiled(graph)
            compiled.prepare(self._usual_shapes())
        except Exception as error:  # OpenVINO may raise any exception
            self._go_on(upgrade, error)
        else:
            self._network = compiled  # the present batch ends with the one that it began with
            log.info(
                "the detector is compiled and runs in precision %s", compiled.running.precision
            )
            self._begin_next()
            self._on_change()

    def _go_on(self, upgrade: Upgrade, error: Exception) -> None:
        log.debug("the network can't be made", exc_info=error)
        self._problem = f"{upgrade.why_not}: {first_line(error)}"
        log.warning("%s", self._problem)
        self._on_change()

    def _usual_shapes(self) -> list[tuple[int, int]]:
        """Those that the compiled network would have prepared itself for by now."""
        # Here, for OpenVINO takes a moment to import; by now it is.
        from streamwatch.detector.compiled.network import SEEN, SHAPES

        return [shape for shape, count in self._seen.copy().most_common(SHAPES) if count >= SEEN]
