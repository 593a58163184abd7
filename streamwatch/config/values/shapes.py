"""Polygons and crops, in shares of the frame's width and height."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from streamwatch.config.values.numbers import Number
from streamwatch.config.wording import Wrong
from streamwatch.geometry import Box, Point, Polygon, around, crossing_edges

Share = Annotated[
    float,
    Number(at_least=0, at_most=1, remark="; places are shares of width and height, not pixels"),
]

_SHARE_SCHEMA = {"type": "number", "minimum": 0, "maximum": 1}
_POINT_SCHEMA = {"type": "array", "items": _SHARE_SCHEMA, "minItems": 2, "maxItems": 2}
MOST_CORNERS = 300
"""Of a polygon: its edges are compared with each other, which takes 0.05 s then."""

_MOST_SHOWN = 12
"""Corners that an error lists."""

_POLYGON = "a polygon is a list of points: [[x, y], [x, y], [x, y]]"


def _pair(value: object) -> object:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise Wrong("is not a point; write [x, y]")
    return value


def _lists(value: object) -> object:
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(item, (list, tuple)) for item in value
    ):
        raise Wrong(_POLYGON, subject=False)
    return value


def _lists_or_nothing(value: object) -> object:
    return () if value is None else _lists(value)


def _simple(points: Polygon) -> Polygon:
    """A polygon with an area, whose edges don't cross."""
    count = len(points)
    if count < 3:
        raise Wrong(f"a polygon needs 3 points or more; there are {count}", subject=False)
    if count > MOST_CORNERS:
        raise Wrong(
            f"a polygon has {MOST_CORNERS} points at most; there are {count}", subject=False
        )
    if crossing := crossing_edges(points):
        one, other = (_edge(points, start) for start in crossing)
        order = ", as " + _written(around(points)) if count <= _MOST_SHOWN else ""
        raise Wrong(
            f"this polygon crosses itself: its edges from {one} and from {other} cross; write its "
            f"corners in the order along its border{order}",
            subject=False,
        )
    turned = zip(points, (*points[1:], points[0]), strict=True)
    if abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in turned)) < 1e-9:
        raise Wrong("this polygon has no area; its points lie on a line", subject=False)
    return points


def _edge(points: Polygon, start: int) -> str:
    end = (start + 1) % len(points)
    return f"corner {start + 1} {_point(points[start])} to {end + 1} {_point(points[end])}"


def _written(points: Polygon) -> str:
    return f"[{', '.join(map(_point, points))}]"


def _point(point: Point) -> str:
    return f"[{', '.join(f'{share:.15g}' for share in point)}]"


Shape = Annotated[
    tuple[Annotated[tuple[Share, Share], BeforeValidator(_pair)], ...],
    BeforeValidator(_lists),
    AfterValidator(_simple),
    WithJsonSchema(
        {"type": "array", "items": _POINT_SCHEMA, "minItems": 3, "maxItems": MOST_CORNERS}
    ),
]
"""A polygon."""


@dataclass(frozen=True, slots=True)
class OneOrSeveral:
    """Annotates a tuple of polygons: accepts a single polygon in place of a list."""

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        one = core_schema.no_info_after_validator_function(
            lambda polygon: (polygon,), handler.generate_schema(Shape)
        )
        return core_schema.tagged_union_schema(
            {"(one)": one, "(several)": handler(source)}, discriminator=_count
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: Callable[[CoreSchema], dict[str, Any]]
    ) -> dict[str, Any]:
        return {"anyOf": handler(schema)["oneOf"]}


def _count(value: object) -> str:
    match value:
        case [[first, *_], *_] if not isinstance(first, (list, tuple)):
            return "(one)"
    return "(several)"


Shapes = Annotated[tuple[Shape, ...], OneOrSeveral(), BeforeValidator(_lists_or_nothing)]
"""A list of polygons, or a single one without the list."""


def _corners(value: object) -> object:
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        raise Wrong("a crop is [x1, y1, x2, y2]", subject=False)
    return value


def _ordered(crop: Box) -> Box:
    x1, y1, x2, y2 = crop
    if x1 >= x2 or y1 >= y2:
        raise Wrong("a crop is [x1, y1, x2, y2] with x1 < x2 and y1 < y2", subject=False)
    return crop


Crop = Annotated[
    tuple[Share, Share, Share, Share],
    BeforeValidator(_corners),
    AfterValidator(_ordered),
    WithJsonSchema({"type": "array", "items": _SHARE_SCHEMA, "minItems": 4, "maxItems": 4}),
]
"""`[x1, y1, x2, y2]` in shares."""
