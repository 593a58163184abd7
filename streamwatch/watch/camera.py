"""All the watches of one camera."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo

from streamwatch.config.models import CameraSettings, WatchSettings
from streamwatch.records import Detection, EndReason, Event, Frame
from streamwatch.watch.timeline import Timeline
from streamwatch.watch.watch import Watch


class CameraWatches:
    """Runs the watches of one camera over its frames. Not thread-safe: one thread owns it.

    `prompts` are the camera's vocabulary, each once: what is reported in the order of the file,
    then what is looked for only to see what is near. `floor` is the least confidence that any of
    the watches can use. `zone` is the time zone of `active`, None for the system's.
    """

    def __init__(
        self,
        camera: str,
        settings: CameraSettings,
        watches: Mapping[str, WatchSettings],
        default_confidence: float,
        new_id: Callable[[], str],
        zone: tzinfo | None,
    ) -> None:
        self._timeline = Timeline(1 / settings.fps)
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
                zone,
            )
            for name, watch in watches.items()
        ]
        reported = [prompt for watch in watches.values() for prompt in watch.prompt]
        near = [prompt for watch in watches.values() for prompt in watch.companions]
        self.prompts = tuple(dict.fromkeys(reported + near))
        self.floor = min((watch.floor for watch in self._watches), default=1.0)

    def update(self, frame: Frame, detections: Sequence[Detection]) -> tuple[Event, ...]:
        frame = replace(frame, seconds=self._timeline.at(frame.seconds))
        return tuple(e for watch in self._watches for e in watch.update(frame, detections))

    def lost(self, gone_seconds: float) -> tuple[Event, ...]:
        return tuple(e for watch in self._watches for e in watch.lost(gone_seconds))

    def close(self, reason: EndReason) -> tuple[Event, ...]:
        return tuple(e for watch in self._watches for e in watch.close(reason))
