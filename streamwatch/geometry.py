"""Boxes and polygons: pure functions.

A box is `(x1, y1, x2, y2)` in pixels unless a name says otherwise. A polygon is a sequence of
`(x, y)` points, in shares of width and height where it comes from the configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import atan2, hypot, tau

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


def crossing_edges(polygon: Sequence[Point]) -> tuple[int, int] | None:
    """The first two edges of `polygon` that cross; None where no two do.

    An edge has the index of the corner it starts from, and leads to the next index. Edges that only
    touch, or run along each other, don't cross: a shape may have a waist, or a hole that a cut
    leads to. Takes a time that grows with the square of the corners.
    """
    starts = [i for i, after in enumerate((*polygon[1:], polygon[0])) if polygon[i] != after]
    corners = [polygon[start] for start in starts]
    ends, beyond = [*corners[1:], *corners[:1]], [*corners[2:], *corners[:2]]
    edges = zip(starts, zip(corners, ends, beyond, strict=True), strict=True)
    for (one, there), (other, here) in combinations(edges, 2):
        if _boxes_meet(there, here) and (
            _cut(there, here) or _cross_at_end(there, here) or _cross_at_end(here, there)
        ):
            return one, other
    return None


def around(polygon: Sequence[Point]) -> Polygon:
    """Its corners, each once, in an order whose edges don't cross: from the first one clockwise
    around their middle. For any but a convex shape other orders would do too."""
    corners = tuple(dict.fromkeys(polygon))
    x, y = (sum(values) / len(corners) for values in zip(*corners, strict=True))
    angles = {corner: atan2(corner[1] - y, corner[0] - x) for corner in corners}
    return tuple(sorted(corners, key=lambda corner: (angles[corner] - angles[corners[0]]) % tau))


_Edge = tuple[Point, Point, Point]
"""Start and end of an edge, and where the next one ends."""


def _boxes_meet(one: _Edge, other: _Edge) -> bool:
    return all(
        max(one[0][axis], one[1][axis]) >= min(other[0][axis], other[1][axis])
        and max(other[0][axis], other[1][axis]) >= min(one[0][axis], one[1][axis])
        for axis in (0, 1)
    )


def _cut(one: _Edge, other: _Edge) -> bool:
    """Whether two edges cross between their ends."""
    return (
        _side(one, other[0]) * _side(one, other[1]) < 0
        and _side(other, one[0]) * _side(other, one[1]) < 0
    )


def _cross_at_end(one: _Edge, other: _Edge) -> bool:
    """Whether `one` ends on `other`, its start excepted, and goes on at the other side of it."""
    start, corner, beyond = one
    leaving = other[2] if corner == other[1] else other[1]
    if corner == other[0] or _from_segment(corner, other[0], other[1]) > 1e-9:
        return False
    (x, y), *ways = corner, other[0], leaving, start, beyond
    arriving, whole, *turns = (atan2(way[1] - y, way[0] - x) for way in ways)
    whole, *turns = ((angle - arriving) % tau for angle in (whole, *turns))
    runs_along = any(min(abs(turn - edge) for edge in (0.0, whole, tau)) < 1e-9 for turn in turns)
    return not runs_along and (turns[0] < whole) != (turns[1] < whole)


def _side(edge: _Edge, point: Point) -> float:
    """Above 0 where `point` lies at one side of the edge's line, below it at the other, 0 on it."""
    (x1, y1), (x2, y2), _ = edge
    cross = (x2 - x1) * (point[1] - y1) - (y2 - y1) * (point[0] - x1)
    return 0.0 if abs(cross) < 1e-12 else cross
