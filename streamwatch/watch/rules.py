"""When a detection counts for a watch: confidence, area, zones. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from streamwatch.config import CameraSettings, PicturePrompt, WatchSettings, listing
from streamwatch.geometry import Box, Polygon, area, contains, distance, foot, iou
from streamwatch.learning.learnt import NearMissKind
from streamwatch.records import Detection, Track

MERGE_IOU = 0.7
"""From this IoU on, detections of two prompts of one watch are the same thing."""
RIVAL_IOU = 0.5
"""From this IoU on, a detection and a rival's are the same thing."""
HOLD_HEIGHTS = 0.1
"""How far a thing's foot must be out of a zone to have left it, in heights of its box."""
EDGE_PX = 1.0
"""Boxes are cut at the edge of the crop, which is rounded to whole pixels: a foot this far outside
a zone that ends at that edge is still inside."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something found does not count, or was not told: in words, for people."""

    kind: NearMissKind
    text: str


def floor(threshold: float, model_floor: float) -> float:
    """The least confidence that a watch with this threshold uses, since sightings below the
    threshold keep a track alive: the model's, or half the threshold where that is lower."""
    return min(model_floor, threshold / 2)


def beaten(found: Detection | Track, rivals: Sequence[Detection]) -> bool:
    """Whether one of `rivals`, all of this frame, finds the same thing with higher confidence."""
    return beaten_by(found, rivals) is not None


def beaten_by(found: Detection | Track, rivals: Sequence[Detection]) -> Detection | None:
    """The surest of the `rivals` that do."""
    winners = [
        rival
        for rival in rivals
        if rival.confidence > found.confidence and iou(rival.box, found.box) >= RIVAL_IOU
    ]
    return max(winners, key=lambda rival: rival.confidence, default=None)


def merge(detections: Sequence[Detection]) -> tuple[Detection, ...]:
    """The prompts of a watch are alternatives: of overlapping detections the most confident
    stays."""
    merged: list[Detection] = []
    for detection in sorted(detections, key=lambda d: d.confidence, reverse=True):
        if all(
            detection.prompt == kept.prompt or iou(detection.box, kept.box) < MERGE_IOU
            for kept in merged
        ):
            merged.append(detection)
    return tuple(merged)


@dataclass(frozen=True, slots=True)
class Zones:
    """Where things count: zones by name and areas that are ignored, in shares of the frame."""

    polygons: Mapping[str, Polygon]
    ignore: tuple[Polygon, ...]

    def zones_at(
        self, box: Box, size: tuple[int, int], held: Collection[str] = ()
    ) -> tuple[str, ...]:
        """The zones a thing stands in, in the order of the file; of those it stood in already,
        the `held` ones, also those it has hardly stepped out of."""
        hold_px = max(EDGE_PX, HOLD_HEIGHTS * (box[3] - box[1]))
        return tuple(
            name
            for name, polygon in self.polygons.items()
            if distance(_in_pixels(polygon, size), foot(box))
            <= (hold_px if name in held else EDGE_PX)
        )

    def ignores(self, box: Box, size: tuple[int, int]) -> bool:
        return any(contains(_in_pixels(polygon, size), foot(box)) for polygon in self.ignore)


@dataclass(frozen=True, slots=True)
class Counting:
    """The conditions of one watch on one camera. `areas` are least and greatest shares; of its
    prompts that are `pictures` another confidence may be needed."""

    confidence: float
    areas: tuple[float, float]
    wanted_zones: frozenset[str] | None
    zones: Zones
    picture_confidence: float | None = None

    def needed(self, prompt: str) -> float:
        """How sure it must be of what this prompt has found."""
        if self.picture_confidence is not None and isinstance(prompt, PicturePrompt):
            return self.picture_confidence
        return self.confidence

    def judge(
        self, found: Detection | Track, size: tuple[int, int], held: Collection[str] = ()
    ) -> tuple[tuple[str, ...], tuple[Reason, ...]]:
        """The zones it stands in, and why it does not count; no reason where it does.

        `held` are those it stood in until now.
        """
        zones = self.zones.zones_at(found.box, size, held)
        return zones, tuple(self._reasons(found, size, zones))

    def _reasons(
        self, found: Detection | Track, size: tuple[int, int], zones: Sequence[str]
    ) -> Iterator[Reason]:
        needed = self.needed(found.prompt)
        if found.confidence < needed:
            yield Reason("below", below(found.confidence, needed))
        width, height = size
        share = area(found.box) / (width * height)
        if share < self.areas[0]:
            yield Reason("size", "too small")
        elif share > self.areas[1]:
            yield Reason("size", "too large")
        if self.zones.ignores(found.box, size):
            yield Reason("ignored", "in an ignored area")
        if self.wanted_zones is not None and self.wanted_zones.isdisjoint(zones):
            wanted = [name for name in self.zones.polygons if name in self.wanted_zones]
            noun = "zone" if len(wanted) == 1 else "zones"
            yield Reason("zone", f"outside {noun} {listing(wanted, 'and')}")

    def deciding(self, zones: Collection[str]) -> dict[str, Polygon]:
        """Those of the `zones` a thing stands in that let it count; none where every place does."""
        wanted = self.wanted_zones or frozenset()
        return {name: self.zones.polygons[name] for name in zones if name in wanted}


def counting(watch: WatchSettings, camera: CameraSettings, confidence: float) -> Counting:
    """The conditions of a watch on a camera where it needs this confidence."""
    return Counting(
        confidence,
        (watch.min_area, watch.max_area),
        None if watch.zones is None else frozenset(watch.zones),
        Zones(camera.zones, camera.ignore),
        watch.picture_confidence,
    )


def below(confidence: float, needed: float) -> str:
    """`0.24 is below 0.30`, with so many digits that it looks so."""
    digits = 2 if round(confidence, 2) < needed == round(needed, 2) else 3
    return f"{confidence:.{digits}f} is below {needed:.{digits}f}"


def _in_pixels(polygon: Polygon, size: tuple[int, int]) -> Polygon:
    return tuple((x * size[0], y * size[1]) for x, y in polygon)
