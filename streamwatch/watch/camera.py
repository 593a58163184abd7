"""All the watches of one camera."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence

from streamwatch.config.models import CameraSettings, WatchSettings
from streamwatch.records import Detection, EndReason, Event, Frame
from streamwatch.watch.watch import Watch


class CameraWatches:
    """Runs the watches of one camera over its frames. Not thread-safe: one thread owns it.

    `rivals` are the prompts that each watch must beat, by its name. `prompts` are the camera's
    vocabulary; `floor` is the least confidence that any of the watches can use.
    """

    def __init__(
        self,
        camera: str,
        settings: CameraSettings,
        watches: Mapping[str, WatchSettings],
        default_confidence: float,
        new_id: Callable[[], str],
        rivals: Mapping[str, Collection[str]],
    ) -> None:
        self._camera = camera
        self._tracks = itertools.count(1)
        self._new_id = new_id
        self._watches: dict[str, Watch] = {}
        self.adopt(settings, watches, default_confidence, rivals)

    def adopt(
        self,
        settings: CameraSettings,
        watches: Mapping[str, WatchSettings],
        default_confidence: float,
        rivals: Mapping[str, Collection[str]],
        why_gone: Callable[[str], EndReason] = lambda _: "removed",
    ) -> tuple[Event, ...]:
        """Go on with other settings; the events are the ends of what they end.

        A watch whose settings are the same goes on with what it follows, even where the camera's
        own have changed. `why_gone` is asked for each watch that is no longer there.
        """
        before, self._watches = self._watches, {}
        events: list[Event] = []
        for name, watch in watches.items():
            confidence = default_confidence if watch.confidence is None else watch.confidence
            kept = before.get(name)
            if kept is not None and kept.is_of(watch, confidence):
                kept.move(settings, rivals[name])
                self._watches[name] = before.pop(name)
                continue
            self._watches[name] = Watch(
                self._camera,
                name,
                watch,
                settings,
                confidence,
                self._tracks,
                self._new_id,
                rivals[name],
            )
        for name, gone in before.items():
            events += gone.close("changed" if name in watches else why_gone(name))
        self.prompts = vocabulary(watches, rivals)
        self.floor = min((watch.floor for watch in self._watches.values()), default=1.0)
        return tuple(events)

    def update(self, frame: Frame, detections: Sequence[Detection]) -> tuple[Event, ...]:
        return tuple(e for watch in self._watches.values() for e in watch.update(frame, detections))

    def lost(self, gone_seconds: float) -> tuple[Event, ...]:
        return tuple(e for watch in self._watches.values() for e in watch.lost(gone_seconds))

    def close(self, reason: EndReason) -> tuple[Event, ...]:
        return tuple(e for watch in self._watches.values() for e in watch.close(reason))


def vocabulary(
    watches: Mapping[str, WatchSettings], rivals: Mapping[str, Collection[str]]
) -> tuple[str, ...]:
    """The prompts that a camera with these watches is searched for, each once: their own in the
    order of the file, then what those must beat."""
    own = (prompt for watch in watches.values() for prompt in watch.prompt)
    return tuple(dict.fromkeys((*own, *(rival for name in watches for rival in rivals[name]))))
