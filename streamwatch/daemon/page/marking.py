"""What is drawn over the live pictures, by the configuration that runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from streamwatch.learning.learning import Learning
from streamwatch.live.marks import Wanted, marks
from streamwatch.pictures.shots import Mark
from streamwatch.pipeline.pipeline import Setup
from streamwatch.records import Detection
from streamwatch.watch.rules import counting

FRESH_SECONDS = 1.0
"""How long learnt thresholds are taken as they were."""


class Marks:
    """What to draw of what a camera's watches find. For the thread `live`."""

    def __init__(self, setup: Callable[[], Setup], learning: Learning) -> None:
        self._setup = setup
        self._learning = learning
        self._wanted: dict[str, list[Wanted]] = {}
        self._of: Setup | None = None
        self._until = 0.0

    def __call__(
        self, camera: str, detections: Sequence[Detection], size: tuple[int, int]
    ) -> tuple[Mark, ...]:
        setup = self._setup()
        if setup is not self._of or time.monotonic() >= self._until:
            self._of, self._until = setup, time.monotonic() + FRESH_SECONDS
            self._wanted = {}
        if camera not in self._wanted:
            self._wanted[camera] = self._made(setup, camera)
        return marks(detections, self._wanted[camera], size)

    def _made(self, setup: Setup, camera: str) -> list[Wanted]:
        config = setup.config
        if camera not in config.cameras:
            return []
        return [
            Wanted(
                name,
                frozenset(watch.prompt),
                counting(
                    watch,
                    config.cameras[camera],
                    self._learning.in_force(name).get(camera, config.confidence_of(name)),
                ),
                frozenset(setup.vocabularies.rivals.get(name, ())),
            )
            for name, watch in config.watches_of(camera).items()
        ]
