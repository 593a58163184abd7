"""Boxes and polygons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.geometry import Box, area, center, contains, distance, foot, gap, intersection, iou

coordinates = st.floats(-1000, 1000)
boxes = st.tuples(coordinates, coordinates, coordinates, coordinates).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)
SQUARE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
ARROW = ((0.0, 0.0), (1.0, 0.5), (0.0, 1.0), (0.3, 0.5))


def test_iou_of_overlapping_touching_and_empty_boxes() -> None:
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0


@given(boxes, boxes)
def test_iou_is_symmetric_and_between_0_and_1(a: Box, b: Box) -> None:
    assert 0 <= iou(a, b) <= 1 + 1e-9
    assert iou(a, b) == pytest.approx(iou(b, a))
    assert intersection(a, b) <= min(area(a), area(b)) + 1e-6


def test_center_and_foot_of_a_box() -> None:
    assert center((0, 0, 10, 20)) == (5, 10)
    assert foot((0, 0, 10, 20)) == (5, 20)


@pytest.mark.parametrize(
    ("point", "inside"),
    [
        ((0.5, 0.5), True),
        ((1.5, 0.5), False),
        ((0.5, -0.1), False),
        ((0.5, 1.0), True),  # on the bottom edge
        ((0.0, 0.0), True),  # on a corner
        ((1.0, 0.3), True),  # on the right edge
    ],
)
def test_which_points_a_square_contains(point: tuple[float, float], inside: bool) -> None:
    assert contains(SQUARE, point) is inside


@pytest.mark.parametrize(
    ("point", "inside"), [((0.1, 0.5), False), ((0.5, 0.5), True), ((0.1, 0.1), True)]
)
def test_which_points_a_concave_polygon_contains(point: tuple[float, float], inside: bool) -> None:
    assert contains(ARROW, point) is inside


@pytest.mark.parametrize(
    ("point", "outside_by"),
    [((0.5, 0.5), 0), ((1, 1), 0), ((0.5, 1.5), 0.5), ((4, 5), 5), ((-1, 0.2), 1)],
)
def test_distance_from_a_square(point: tuple[float, float], outside_by: float) -> None:
    assert distance(SQUARE, point) == pytest.approx(outside_by)


def test_distance_from_a_polygon_with_a_repeated_corner() -> None:
    assert distance(((0, 0), (0, 0), (1, 0), (1, 1)), (1, 3)) == pytest.approx(2)


@pytest.mark.parametrize(
    ("other", "apart"),
    [((5, 5, 20, 20), 0), ((10, 0, 20, 10), 0), ((13, 0, 20, 10), 3), ((13, 14, 20, 20), 5)],
)
def test_gap_between_boxes(other: Box, apart: float) -> None:
    assert gap((0, 0, 10, 10), other) == gap(other, (0, 0, 10, 10)) == pytest.approx(apart)
