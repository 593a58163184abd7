"""Boxes and polygons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.geometry import (
    Box,
    Point,
    area,
    around,
    center,
    contains,
    crossing_edges,
    distance,
    foot,
    gap,
    intersection,
    iou,
)

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


@pytest.mark.parametrize(
    ("polygon", "edges"),
    [
        pytest.param(SQUARE, None, id="square"),
        pytest.param(SQUARE[::-1], None, id="counterclockwise"),
        pytest.param(ARROW, None, id="concave"),
        pytest.param([*SQUARE, SQUARE[0]], None, id="closed as in GeoJSON"),
        pytest.param([(0, 0), (0, 0), (1, 0), (1, 1), (1, 1)], None, id="corners written twice"),
        pytest.param([(0, 0), (0.5, 0), (1, 0), (1, 1), (0, 1)], None, id="corner within an edge"),
        pytest.param([(0, 0), (1, 0), (0, 1), (1, 1)], (1, 3), id="reading order"),
        pytest.param([(0, 0), (1, 0), (1, 0), (0, 1), (1, 1)], (2, 4), id="with a corner twice"),
        pytest.param([(0, 0), (1, 1), (1, 0), (0, 1)], (0, 2), id="first two diagonal"),
        pytest.param([(5, 0), (8, 9), (0, 3), (10, 3), (2, 9)], (0, 2), id="star"),
        pytest.param(
            [(0, 0), (5, 5), (10, 10), (10, 0), (0, 10)], (0, 3), id="through a corner on a line"
        ),
        pytest.param([(0, 0), (5, 4), (10, 9), (10, 0), (0, 8)], (0, 3), id="through a corner"),
        pytest.param(
            [(0, 0), (5, 5), (10, 9), (10, 0), (5, 5), (0, 9)], (0, 3), id="through two corners"
        ),
        pytest.param(
            [(0, 0), (5, 5), (10, 0), (10, 9), (5, 5), (0, 9)], None, id="waist of a corner"
        ),
        pytest.param([(0, 0), (9, 0), (9, 9), (5, 0), (0, 9)], None, id="corner touches an edge"),
        pytest.param(
            [(0, 0), (9, 0), (9, 9), (0, 9), (0, 0), (3, 3), (3, 6), (6, 6), (6, 3), (3, 3)],
            None,
            id="hole with a cut",
        ),
        pytest.param([(0, 0), (9, 0), (9, 9), (9, 0)], None, id="there and back"),
    ],
)
def test_which_edges_cross(polygon: list[Point], edges: tuple[int, int] | None) -> None:
    assert crossing_edges(polygon) == edges


def test_the_order_around_starts_with_the_first_corner() -> None:
    assert around([(0, 0), (1, 0), (0, 1), (1, 1)]) == ((0, 0), (1, 0), (1, 1), (0, 1))
    assert around([(0, 1), (1, 0), (1, 1), (0, 0)]) == ((0, 1), (0, 0), (1, 0), (1, 1))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=8))
def test_the_order_around_has_each_corner_and_does_not_cross(polygon: list[Point]) -> None:
    order = around(polygon)
    assert sorted(order) == sorted(set(polygon))
    assert order[0] == polygon[0]
    assert crossing_edges(order) is None


@given(st.permutations(range(9)), st.integers(4, 9))
def test_the_order_around_a_convex_shape_is_its_border(order: list[int], count: int) -> None:
    corners = [(i, i * i) for i in order if i < count]
    found = around(corners)
    assert len(found) == count
    if crossing_edges(corners) is None:
        assert found in (tuple(corners), (corners[0], *corners[:0:-1]))


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=7, unique=True),
    st.integers(0, 6),
)
def test_whether_edges_cross_depends_neither_on_the_start_nor_on_the_direction(
    polygon: list[Point], by: int
) -> None:
    crosses = crossing_edges(polygon) is not None
    turned = [*polygon[by:], *polygon[:by]]
    assert (crossing_edges(turned) is not None) is crosses
    assert (crossing_edges(polygon[::-1]) is not None) is crosses
