"""The same footage judged at many thresholds at once, exactly as runs at each would have.

A watch's events follow from what the detector found from its floor on. Non-maximum suppression
keeps of a lower floor's boxes above a higher one what the higher floor's run keeps, so one run of
the detector at the lowest floor serves all thresholds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from streamwatch.prompts.vocabulary import prompts_of
from streamwatch.records import Detection, EndReason, Event, Finding, Frame, LookRequest, Picture
from streamwatch.watch.camera import CameraRules, CameraWatches
from streamwatch.watch.watch import forgotten_seconds

STEPS = tuple(step / 20 for step in range(1, 20))
"""0.05 to 0.95."""
LOOKS_KEPT = 16
"""Answers of second looks that are kept, with their pictures: all thresholds ask at about the same
frame."""


def thresholds(model_floor: float, own: float) -> tuple[float, ...]:
    """Those that are tried: from the model's floor on, and the watch's own."""
    return tuple(sorted({model_floor, own, *(step for step in STEPS if step > model_floor)}))


@dataclass(slots=True, eq=False)
class _Lane:
    """A watch as it would be with one threshold. `found_seconds` is the newest frame in which the
    detector found something for it."""

    watch: str
    threshold: float
    watcher: CameraWatches
    found_seconds: float = float("-inf")


class Sweep:
    """The watches of one camera at many thresholds. Not thread-safe.

    `look` takes a second look and waits for it.
    """

    def __init__(
        self,
        camera: str,
        rules: CameraRules,
        tried: Mapping[str, Sequence[float]],
        look: Callable[[LookRequest], Finding],
    ) -> None:
        """`rules` are those of the camera, `tried` the thresholds by watch."""
        self._look = look
        self._prompts = {
            watch: {*prompts_of(rules.watches[watch]), *rules.rivals[watch]} for watch in tried
        }
        self._forgotten_seconds = {
            watch: forgotten_seconds(rules.watches[watch], rules.settings.fps) for watch in tried
        }
        self._looked: OrderedDict[tuple[str, int, object], tuple[Picture, Finding]] = OrderedDict()
        self._lanes = [
            _Lane(
                watch,
                threshold,
                CameraWatches(
                    camera,
                    replace(
                        rules,
                        watches={watch: rules.watches[watch]},
                        confidences={watch: threshold},
                    ),
                    lambda: "",
                ),
            )
            for watch, of_watch in tried.items()
            for threshold in of_watch
        ]
        self.floor = min((lane.watcher.floor for lane in self._lanes), default=1.0)
        """What the detector must give."""

    def see(
        self, frame: Frame, detections: Sequence[Detection]
    ) -> Iterator[tuple[str, float, Event]]:
        """The events that a frame causes, with their watch and threshold. Their ids are empty."""
        of_watch = {
            watch: [found for found in detections if found.prompt in prompts]
            for watch, prompts in self._prompts.items()
        }
        for lane in self._lanes:
            floor = lane.watcher.floor
            found = [each for each in of_watch[lane.watch] if each.confidence >= floor]
            if found:
                lane.found_seconds = frame.seconds
            elif frame.seconds - lane.found_seconds > self._forgotten_seconds[lane.watch]:
                continue
            for event in lane.watcher.update(frame, found):
                yield lane.watch, lane.threshold, event
            for event in self._looked_again(lane):
                yield lane.watch, lane.threshold, event

    def close(self, reason: EndReason) -> Iterator[tuple[str, float, Event]]:
        """The events that the end of the footage causes."""
        for lane in self._lanes:
            for event in lane.watcher.close(reason):
                yield lane.watch, lane.threshold, event

    def _looked_again(self, lane: _Lane) -> Iterator[Event]:
        while requests := lane.watcher.take_looks():
            for request in requests:
                yield from lane.watcher.answer(request, self._finding(request))

    def _finding(self, request: LookRequest) -> Finding:
        # The picture is kept with its answer, so that its id is nobody else's.
        key = request.watch, id(request.picture), request.box
        if key not in self._looked:
            self._looked[key] = request.picture, self._look(request)
            if len(self._looked) > LOOKS_KEPT:
                self._looked.popitem(last=False)
        return self._looked[key][1]
