"""All the watches of one camera."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from streamwatch.config.models import CameraSettings, WatchSettings
from streamwatch.records import Detection, EndReason, Event, Frame
from streamwatch.watch.watch import Watch


class CameraWatches:
    """Runs the watches of one camera over its frames. Not thread-safe: one thread owns it.

    `prompts` are the camera's vocabulary, each once, in the order of the file; `floor` is the
    least confidence that any of the watches can use.
    """

    def __init__(
        self,
        camera: str,
        settings: CameraSettings,
        watches: Mapping[str, WatchSettings],
        default_confidence: float,
        new_id: Callable[[], str],
    ) -> None:
        tracks = itertools.count(1)
        self._watches = [
            Watch(
                camera,
                name,
                watch,
                settings,
                default_confidence if watch.confidence is None else watch.confidence,
                tracks,
                new_id,
            )
            for name, watch in watches.items()
        ]
        self.prompts = tuple(dict.fromkeys(p for watch in watches.values() for p in watch.prompt))
        self.floor = min((watch.floor for watch in self._watches), default=1.0)

    def update(self, frame: Frame, detections: Sequence[Detection]) -> tuple[Event, ...]:
        return tuple(e for watch in self._watches for e in watch.update(frame, detections))

    def lost(self, gone_seconds: float) -> tuple[Event, ...]:
        return tuple(e for watch in self._watches for e in watch.lost(gone_seconds))

    def close(self, reason: EndReason) -> tuple[Event, ...]:
        return tuple(e for watch in self._watches for e in watch.close(reason))
