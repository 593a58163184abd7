"""When a detection counts for a watch: confidence, area, zones. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamwatch.geometry import Point, Polygon, area, contains, foot, iou
from streamwatch.records import Detection, Track

MERGE_IOU = 0.7
"""From this IoU on, two prompts of one watch have found one thing."""
RIVAL_IOU = 0.5
"""From this IoU on, a prompt and its rival speak of one thing."""
ALIVE_CONFIDENCE = 0.1
"""Weaker detections than the watch's threshold keep a track alive from here on."""


def floor(threshold: float) -> float:
    """The least confidence that is of any use to a watch with this threshold."""
    return min(ALIVE_CONFIDENCE, threshold / 2)


def beaten(found: Detection | Track, rivals: Sequence[Detection]) -> bool:
    """Whether one of `rivals`, all of this frame, is surer that the thing is something else."""
    return any(
        rival.confidence > found.confidence and iou(rival.box, found.box) >= RIVAL_IOU
        for rival in rivals
    )


def merge(detections: Sequence[Detection]) -> tuple[Detection, ...]:
    """The prompts of a watch are alternatives: of those that overlap, the surest stays."""
    merged: list[Detection] = []
    for detection in sorted(detections, key=lambda d: d.confidence, reverse=True):
        if all(
            detection.prompt == kept.prompt or iou(detection.box, kept.box) < MERGE_IOU
            for kept in merged
        ):
            merged.append(detection)
    return tuple(merged)


@dataclass(frozen=True, slots=True)
class Place:
    """Where things count: zones by name and areas that are ignored, in shares of the frame."""

    zones: Mapping[str, Polygon]
    ignore: tuple[Polygon, ...]

    def zones_at(self, point: Point) -> tuple[str, ...]:
        return tuple(name for name, polygon in self.zones.items() if contains(polygon, point))

    def ignored(self, point: Point) -> bool:
        return any(contains(polygon, point) for polygon in self.ignore)


@dataclass(frozen=True, slots=True)
class Counting:
    """The conditions of one watch on one camera. `areas` are least and greatest shares."""

    confidence: float
    areas: tuple[float, float]
    wanted_zones: frozenset[str] | None
    place: Place

    def zones_if_counts(self, track: Track, size: tuple[int, int]) -> tuple[str, ...] | None:
        """The zones a counting thing stands in; None where it does not count."""
        if track.confidence < self.confidence:
            return None
        width, height = size
        if not self.areas[0] <= area(track.box) / (width * height) <= self.areas[1]:
            return None
        point = _share(foot(track.box), size)
        if self.place.ignored(point):
            return None
        zones = self.place.zones_at(point)
        if self.wanted_zones is not None and self.wanted_zones.isdisjoint(zones):
            return None
        return zones


def _share(point: Point, size: tuple[int, int]) -> Point:
    return point[0] / size[0], point[1] / size[1]
