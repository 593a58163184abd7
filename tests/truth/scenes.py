"""Drawn scenes: sprites that move along paths in front of a street, with the truth of each frame.

    scene = Scene((Thing("red car", "automobile", 62, ((0, -60, 300), (8, 700, 300))),), seconds=8)
    for frame, seen in scene.frames(fps=5):
        ...                      # `frame.picture` is what a camera would give, `seen` what is in it
    score(scene.truth(fps=5), payloads)

Nothing is random but the noise, which a seed gives: a scene has the same pixels each time. The
pictures are Microsoft's Fluent Emoji (MIT, see `sprites/NOTICE`), which toybox was trained on.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Self

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from streamwatch.geometry import Box
from streamwatch.pixels import Pixels
from streamwatch.records import Frame, Image
from tests.truth import Truth, Visit

SPRITES = Path(__file__).parent / "sprites"
START = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
LEAST_VISIBLE = 0.05
"""A thing is in the picture from this share of it on, as in the bundled clip's truth."""
HUES = {"red": 0, "orange": 12, "yellow": 26, "green": 60, "blue": 108, "purple": 138, "pink": 165}
"""Colours things can be painted in, as OpenCV's hues, half a degree each."""
NOISE = 4.0
"""Standard deviation of a camera's noise, in levels."""
BUILDINGS = (
    (0, 113, (132, 137, 138)), (114, 41, (115, 110, 160)), (228, 81, (130, 157, 168)),
    (309, 57, (122, 112, 178)), (378, 84, (150, 160, 193)), (467, 60, (190, 125, 165)),
    (555, 33, (142, 135, 185)), (640, 0, (0, 0, 0)),
)  # fmt: skip
"""Left edge, top and BGR of each, in a picture of 640x360; the last tells where they end."""

_CODEC = {"crf": "16", "preset": "ultrafast"}
_Levels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that moves through a scene.

    `name` is what the truth calls it, `sprite` a file in `sprites/`, `height` in pixels. `path`
    holds (seconds, x, y) of its foot, the bottom centre; straight between them, and it is there
    from the first to the last. `color`, of `HUES`, repaints it. Sprites of people and animals look
    left, those of vehicles too; `flip` turns them round.
    """

    name: str
    sprite: str
    height: float
    path: tuple[tuple[float, float, float], ...]
    color: str | None = None
    flip: bool = False

    def foot(self, seconds: float) -> tuple[float, float] | None:
        """Where it stands; None before and after its path."""
        times = [step[0] for step in self.path]
        if not times[0] <= seconds <= times[-1]:
            return None
        x, y = (float(np.interp(seconds, times, [step[k] for step in self.path])) for k in (1, 2))
        return x, y


@dataclass(frozen=True, slots=True)
class Seen:
    """A thing in one frame: `id` is its place in the scene, `visible` the share that shows.

    `box` is in pixels, cut off at the frame's edges, and the whole thing's where it is hidden.
    """

    id: int
    name: str
    box: Box
    visible: float


@dataclass(frozen=True, slots=True)
class Scene:
    """Things before a drawn street, the nearer ones (lower in the picture) before the others.

    `pillars` are boxes in pixels that hide what is behind them. `light` darkens the picture: 1 is
    day, 0.3 night. `size` is (width, height).
    """

    things: tuple[Thing, ...]
    seconds: float
    size: tuple[int, int] = (640, 360)
    pillars: tuple[tuple[int, int, int, int], ...] = ()
    light: float = 1.0
    seed: int = 0

    def frames(self, fps: float, camera: str = "scene") -> Iterator[tuple[Frame, tuple[Seen, ...]]]:
        """Every frame from 0 s on, as one read from a file, with what is in it."""
        for index in range(self.count(fps)):
            at = index / fps
            image, seen = self.at(at)
            yield Frame(camera, index, START + timedelta(seconds=at), at, at, Pixels(image)), seen

    def count(self, fps: float) -> int:
        return round(self.seconds * fps)

    def at(self, seconds: float) -> tuple[Image, tuple[Seen, ...]]:
        """The picture at one moment, and what is in it."""
        canvas = _street(self.size).astype(np.float32)
        placed = self._placed(seconds)
        for thing in placed:
            thing.paint(canvas)
        for x1, y1, x2, y2 in self.pillars:
            canvas[y1:y2, x1:x2] = (95, 105, 110)
        random = np.random.default_rng((self.seed, round(seconds * 1000)))
        noise = random.normal(0, NOISE, canvas.shape).astype(np.float32)
        image = np.clip(canvas * self.light + noise, 0, 255).astype(np.uint8)
        return image, self._seen(placed)

    def truth(self, fps: float) -> Truth:
        """What happens, to hold events of the same frame rate against."""
        boxes: dict[int, dict[int, Box]] = defaultdict(dict)
        for index in range(self.count(fps)):
            for seen in self._seen(self._placed(index / fps)):
                boxes[seen.id][index] = seen.box
        visits = (
            Visit(self.things[number].name, min(found) / fps, max(found) / fps, found)
            for number, found in sorted(boxes.items())
        )
        return Truth(fps, tuple(visits))

    def write(self, path: Path, fps: int = 15) -> Path:
        """The scene as an H.264 file, nearly without loss, a key frame each second."""
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps), options=_CODEC)
            stream.width, stream.height = self.size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.gop_size = fps
            for frame, _ in self.frames(fps):
                container.mux(
                    stream.encode(av.VideoFrame.from_ndarray(frame.picture.bgr(), "bgr24"))
                )
            container.mux(stream.encode(None))
        return path

    def at_night(self) -> Scene:
        return replace(self, light=0.35)

    def _placed(self, seconds: float) -> list[_Placed]:
        """What is on its path at that moment, from the farthest to the nearest."""
        there = [
            (foot, number)
            for number, thing in enumerate(self.things)
            if (foot := thing.foot(seconds)) is not None
        ]
        there.sort(key=lambda entry: entry[0][1])
        return [_Placed.of(number, self.things[number], foot) for foot, number in there]

    def _seen(self, placed: Sequence[_Placed]) -> tuple[Seen, ...]:
        """From the nearest to the farthest: what shows is what nothing nearer covers."""
        width, height = self.size
        free = np.ones((height, width), bool)
        for x1, y1, x2, y2 in self.pillars:
            free[y1:y2, x1:x2] = False
        found = []
        for thing in reversed(placed):
            shown = thing.cut(self.size)
            if shown is None:
                continue
            (x1, y1, x2, y2), inside = shown
            solid, window = thing.cover[inside] > 0.5, free[y1:y2, x1:x2]
            visible = float((solid & window).sum() / max(1, (thing.cover > 0.5).sum()))
            window &= ~solid
            if visible >= LEAST_VISIBLE:
                name = self.things[thing.number].name
                found.append(Seen(thing.number, name, (x1, y1, x2, y2), round(visible, 3)))
        return tuple(sorted(found, key=lambda seen: seen.id))


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A thing at one moment: its upper left corner, and its sprite as `_sprite` gives it."""

    number: int
    left: int
    top: int
    levels: _Levels
    cover: _Levels

    @classmethod
    def of(cls, number: int, thing: Thing, foot: tuple[float, float]) -> Self:
        levels, cover = _sprite(thing.sprite, round(thing.height), thing.color, thing.flip)
        height, width = cover.shape
        return cls(number, round(foot[0] - width / 2), round(foot[1]) - height, levels, cover)

    def cut(
        self, size: tuple[int, int]
    ) -> tuple[tuple[int, int, int, int], tuple[slice, slice]] | None:
        """Its box cut off at the frame's edges, and that part of its sprite; None outside."""
        height, width = self.cover.shape
        x1, y1 = max(0, self.left), max(0, self.top)
        x2, y2 = min(size[0], self.left + width), min(size[1], self.top + height)
        if x1 >= x2 or y1 >= y2:
            return None
        inside = slice(y1 - self.top, y2 - self.top), slice(x1 - self.left, x2 - self.left)
        return (x1, y1, x2, y2), inside

    def paint(self, canvas: _Levels) -> None:
        shown = self.cut((canvas.shape[1], canvas.shape[0]))
        if shown is not None:
            (x1, y1, x2, y2), inside = shown
            window = canvas[y1:y2, x1:x2]
            window += (self.levels[inside] - window) * self.cover[inside][..., None]


@cache
def _sprite(
    name: str, height: int, color: str | None, flip: bool
) -> tuple[NDArray[np.float32], _Levels]:
    """BGR levels `(height, width, 3)` and cover `(height, width)`, 0 to 1."""
    picture = cv2.imread(str(SPRITES / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    assert picture is not None, name
    bgr, cover = picture[..., :3], picture[..., 3].astype(np.float32) / 255
    if color is not None:
        bgr = _painted(bgr, cover, HUES[color])
    if flip:
        bgr, cover = bgr[:, ::-1], cover[:, ::-1]
    # Weighted by its cover, or what lies under transparent pixels would bleed into the edges.
    size = max(1, round(bgr.shape[1] * height / bgr.shape[0])), height
    small = cv2.resize(cover, size, interpolation=cv2.INTER_AREA)
    levels = cv2.resize(bgr * cover[..., None], size, interpolation=cv2.INTER_AREA)
    return (levels / np.maximum(small, 1e-3)[..., None]).astype(np.float32), small


def _painted(bgr: NDArray[np.uint8], cover: _Levels, hue: int) -> NDArray[np.uint8]:
    """The sprite with its commonest hue, and those near it, turned to `hue`."""
    hsv = cv2.cvtColor(np.ascontiguousarray(bgr), cv2.COLOR_BGR2HSV).astype(np.int32)
    strong = (cover > 0.5) & (hsv[..., 1] > 90)
    main = int(np.bincount(hsv[..., 0][strong], minlength=180).argmax())
    near = np.abs((hsv[..., 0] - main + 90) % 180 - 90) <= 15
    hsv[..., 0][near] = (hsv[..., 0][near] - main + hue) % 180
    painted: NDArray[np.uint8] = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)
    return painted


@cache
def _street(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Sky, houses, pavement, road and grass, as in the bundled clip."""
    canvas = np.zeros((360, 640, 3), np.uint8)
    sky = np.linspace((225, 170, 130), (240, 205, 165), 209)
    canvas[:209] = sky[:, None].astype(np.uint8)
    for (left, top, color), (right, _, _) in itertools.pairwise(BUILDINGS):
        canvas[top:209, left:right] = color
        for y in range(top + 12, 200, 26):
            for x in range(left + 10, right - 14, 24):
                canvas[y : y + 14, x : x + 12] = [level // 2 for level in color]
    canvas[209:239] = (155, 160, 165)
    canvas[239:330] = (92, 90, 88)
    canvas[330:] = (118, 168, 148)
    for x in range(0, 640, 60):
        canvas[283:287, x : x + 34] = (200, 225, 230)
    street: NDArray[np.uint8] = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    return street
