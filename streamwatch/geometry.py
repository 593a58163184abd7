"""Boxes and polygons: pure functions.

A box is `(x1, y1, x2, y2)` in pixels unless a name says otherwise. A polygon is a sequence of
`(x, y)` points, in shares of width and height where it comes from the configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot

Box = tuple[float, float, float, float]
Point = tuple[float, float]
Polygon = tuple[Point, ...]


def area(box: Box) -> float:
    """Area in px²; 0 if an edge is on the wrong side."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def intersection(a: Box, b: Box) -> float:
    """Area shared by two boxes in px²."""
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def iou(a: Box, b: Box) -> float:
    """Intersection over union, 0 to 1; 0 where both are empty."""
    shared = intersection(a, b)
    union = area(a) + area(b) - shared
    return shared / union if union > 0 else 0.0


def rescaled(box: Box, before: tuple[int, int], now: tuple[int, int]) -> Box:
    """The box at the same shares of a frame whose (width, height) was `before` and is `now`."""
    x, y = now[0] / before[0], now[1] / before[1]
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y


def gap(a: Box, b: Box) -> float:
    """Distance between the nearest edges of two boxes in px; 0 where they touch or overlap."""
    return hypot(max(a[0] - b[2], b[0] - a[2], 0.0), max(a[1] - b[3], b[1] - a[3], 0.0))


def center(box: Box) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def foot(box: Box) -> Point:
    """Bottom centre: where a thing stands on the ground."""
    return (box[0] + box[2]) / 2, box[3]


def contains(polygon: Sequence[Point], point: Point) -> bool:
    """Whether `point` lies inside `polygon` (even-odd rule); a point on an edge counts as inside.

    Source: the crossing-number test, W. R. Franklin, PNPOLY, with an explicit edge test before it,
    since a foot point on the frame's bottom edge must lie in a zone drawn to that edge.
    """
    x, y = point
    inside = False
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        cross = (x - x1) * (y2 - y1) - (y - y1) * (x2 - x1)
        if (
            abs(cross) < 1e-9
            and min(x1, x2) - 1e-9 <= x <= max(x1, x2) + 1e-9
            and min(y1, y2) - 1e-9 <= y <= max(y1, y2) + 1e-9
        ):
            return True
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


def distance(polygon: Sequence[Point], point: Point) -> float:
    """How far `point` lies outside `polygon`, in the unit of both; 0 where it lies inside."""
    if contains(polygon, point):
        return 0.0
    ends = zip(polygon, (*polygon[1:], polygon[0]), strict=True)
    return min(_from_segment(point, start, end) for start, end in ends)


def _from_segment(point: Point, start: Point, end: Point) -> float:
    along = (end[0] - start[0], end[1] - start[1])
    length_squared = along[0] ** 2 + along[1] ** 2
    share = 0.0
    if length_squared > 0:
        dot = (point[0] - start[0]) * along[0] + (point[1] - start[1]) * along[1]
        share = min(max(dot / length_squared, 0.0), 1.0)
    return hypot(
        point[0] - start[0] - share * along[0],
        point[1] - start[1] - share * along[1],
    )
