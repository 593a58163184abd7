"""Second looks in this process, for benchmarks that run watches without a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.geometry import Box
from streamwatch.models.provision import image_tower
from streamwatch.records import Detection, Event, Finding, Frame, Image, LookRequest, Vectors
from streamwatch.second_look.contrast import Contrast
from streamwatch.second_look.crops import crop_around, resized
from streamwatch.second_look.towers import TOWERS
from streamwatch.watch.camera import CameraWatches

Find = Callable[[LookRequest], Finding]


class Tower:
    """The image tower of a model's text encoder; it encodes each crop once until `forget`."""

    def __init__(self, settings: DetectorSettings) -> None:
        row, path = image_tower(settings)
        self.near = row.near
        self._tower = TOWERS[row.kind](path)
        self._seen: dict[tuple[int, Box], Vectors] = {}

    def find(self, request: LookRequest, contrast: Contrast, at_least: float) -> Finding:
        """What `second_look.looking.ByWords` finds."""
        share, beaten_by = self.share(request.picture.bgr(), request.box, contrast)
        return Finding("clip", share >= at_least, score=share, beaten_by=beaten_by, milliseconds=0)

    def share(self, image: Image, box: Box, contrast: Contrast) -> tuple[float, str | None]:
        return contrast.share(self.vector(image, box), self._tower.scale)

    def vector(self, image: Image, box: Box) -> Vectors:
        """Of the crop around a box, `(width,)`."""
        key = id(image), box
        if key not in self._seen:
            crop = resized(crop_around(image, box), self._tower.size)
            self._seen[key] = self._tower.encode(crop[None])[0]
        return self._seen[key]

    def forget(self) -> None:
        """To be called before images that it was given go away."""
        self._seen.clear()


def told(
    watches: CameraWatches, found: Iterable[tuple[Frame, tuple[Detection, ...]]], find: Find
) -> Iterator[Event]:
    """What watches tell of some frames; each look is answered before the next frame, as of a
    file."""
    for frame, detections in found:
        yield from watches.update(frame, detections)
        while requests := watches.take_looks():
            for request in requests:
                yield from watches.answer(request, find(request))
    yield from watches.close("lost")
