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
    left, those of vehicles too; `flip` turns them round. It fades in and out over `fade_in` and
    `fade_out` seconds, at the beginning and the end of its path.
    """

    name: str
    sprite: str
    height: float
    path: tuple[tuple[float, float, float], ...]
    color: str | None = None
    flip: bool = False
    fade_in: float = 0.0
    fade_out: float = 0.0

    def opacity(self, seconds: float) -> float:
        """How much of it covers what is behind, 0 to 1, while it is on its path."""
        since, left = seconds - self.path[0][0], self.path[-1][0] - seconds
        entered = since / self.fade_in if self.fade_in else 1.0
        return min(1.0, entered, left / self.fade_out if self.fade_out else 1.0)

    def foot(self, seconds: float) -> tuple[float, float] | None:
        """Where it stands; None before and after its path."""
        times = [step[0] for step in self.path]
        if not times[0] <= seconds <= times[-1]:
            return None
        x, y = (float(np.interp(seconds, times, [step[k] for step in self.path])) for k in (1, 2))
        return x, y


@dataclass(frozen=True, slots=True)
class Beam:
    """A spot of light that falls on the scene, whatever its own light: a lamp's, a headlight's.

    `path` is as in `Thing`, of its middle. It adds `levels` there, and less around it: 60 % at
    `radius` pixels.
    """

    path: tuple[tuple[float, float, float], ...]
    radius: float
    levels: float

    def shine(self, canvas: _Levels, seconds: float) -> None:
        times = [step[0] for step in self.path]
        if times[0] <= seconds <= times[-1]:
            x, y = (np.interp(seconds, times, [step[k] for step in self.path]) for k in (1, 2))
            height, width = canvas.shape[:2]
            across = np.exp(-0.5 * ((np.arange(width) - x) / self.radius) ** 2)
            down = np.exp(-0.5 * ((np.arange(height) - y) / self.radius) ** 2)
            canvas += (self.levels * down[:, None] * across)[..., None].astype(np.float32)


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

    What may trouble a camera: `dimming`, (seconds, share of `light`) with straight lines between
    them; `rain`, (seconds, streaks in a frame) likewise; `trees`, boxes in pixels full of leaves
    that `sway` this many pixels to both sides; `shake`, the pixels by which the camera itself does;
    `beams` of light.
    """

    things: tuple[Thing, ...]
    seconds: float
    size: tuple[int, int] = (640, 360)
    pillars: tuple[tuple[int, int, int, int], ...] = ()
    light: float = 1.0
    seed: int = 0
    dimming: tuple[tuple[float, float], ...] = ()
    rain: tuple[tuple[float, float], ...] = ()
    trees: tuple[tuple[int, int, int, int], ...] = ()
    sway: float = 0.0
    shake: float = 0.0
    beams: tuple[Beam, ...] = ()

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
        random = np.random.default_rng((self.seed, round(seconds * 1000)))
        canvas = self.clean(seconds)
        noise = random.normal(0, NOISE, canvas.shape).astype(np.float32)
        image = np.clip(canvas + noise, 0, 255).astype(np.uint8)
        return image, self._seen(self._placed(seconds))

    def clean(self, seconds: float) -> NDArray[np.float32]:
        """The picture at one moment without the camera's noise: levels, which may exceed 255."""
        canvas = _street(self.size).astype(np.float32)
        for number, tree in enumerate(self.trees):
            _paint_tree(canvas, tree, self.sway * _wobble(seconds, number))
        for thing in self._placed(seconds):
            thing.paint(canvas)
        for x1, y1, x2, y2 in self.pillars:
            canvas[y1:y2, x1:x2] = (95, 105, 110)
        for streak in range(round(_along(self.rain, seconds, 0.0))):
            _paint_streak(canvas, (self.seed, round(seconds * 1000), streak))
        canvas *= self.light * _along(self.dimming, seconds, 1.0)
        for beam in self.beams:
            beam.shine(canvas, seconds)
        if self.shake:
            move = [_wobble(seconds, 0) * self.shake, _wobble(seconds, 1) * self.shake]
            canvas = _moved(canvas, *move)
        return canvas

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
        placed = (_Placed.of(number, self.things[number], foot) for foot, number in there)
        return [replace(each, opacity=self.things[each.number].opacity(seconds)) for each in placed]

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
            share = float((solid & window).sum() / max(1, (thing.cover > 0.5).sum()))
            visible = share * thing.opacity
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
    opacity: float = 1.0

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
            cover = self.cover[inside] * self.opacity if self.opacity < 1 else self.cover[inside]
            window += (self.levels[inside] - window) * cover[..., None]


def _along(path: tuple[tuple[float, float], ...], seconds: float, otherwise: float) -> float:
    """The value at that moment, straight between those of the path; `otherwise` without any."""
    if not path:
        return otherwise
    return float(np.interp(seconds, [step[0] for step in path], [step[1] for step in path]))


def _wobble(seconds: float, number: int) -> float:
    """To and fro, -1 to 1: two sines whose periods are no multiples, others for each number."""
    turns = seconds * (0.43 + 0.07 * number), seconds * (1.07 - 0.09 * number) + 0.3 * number
    return float(0.7 * np.sin(np.pi * 2 * turns[0]) + 0.3 * np.sin(np.pi * 2 * turns[1]))


def _moved(canvas: _Levels, right: float, down: float) -> _Levels:
    """The picture moved by parts of a pixel too; its edges are repeated."""
    move = np.array(((1, 0, right), (0, 1, down)), np.float32)
    size = canvas.shape[1], canvas.shape[0]
    moved: _Levels = cv2.warpAffine(canvas, move, size, borderMode=cv2.BORDER_REPLICATE)
    return moved


def _paint_tree(canvas: _Levels, box: tuple[int, int, int, int], right: float) -> None:
    x1, y1, x2, y2 = box
    canvas[y1:y2, x1:x2] = _moved(_leaves(x2 - x1, y2 - y1), right, right / 3)


@cache
def _leaves(width: int, height: int) -> _Levels:
    spots = np.random.default_rng(0).normal(0, 1, (height, width)).astype(np.float32)
    spots = cv2.GaussianBlur(spots, (0, 0), 3)
    green = np.array((60, 110, 80), np.float32)
    leaves: _Levels = green + (spots * np.float32(22 / spots.std()))[..., None]
    return leaves


def _paint_streak(canvas: _Levels, seed: tuple[int, ...]) -> None:
    """A drop of rain, as long as it falls while the shutter is open."""
    height, width = canvas.shape[:2]
    place = np.random.default_rng(seed)
    x, y, length = (int(place.integers(most)) for most in (width, height, 16))
    strip = canvas[y : y + length + 8, x : x + 1]
    strip += 0.35 * (225 - strip)


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


def encoded(images: Iterator[Image], fps: int, bits: int) -> Iterator[av.VideoFrame]:
    """The pictures as a camera's stream of so many bits a second gives them back: H.264 with a key
    frame each 4 seconds, which looks different from the pictures before it."""
    coder = av.CodecContext.create("libx264", "w")
    decoder = av.CodecContext.create("h264", "r")
    coder.options = {"preset": "veryfast", "tune": "zerolatency", "x264-params": "scenecut=0"}
    coder.time_base, coder.framerate = Fraction(1, fps), Fraction(fps)
    coder.pix_fmt, coder.bit_rate, coder.gop_size = "yuv420p", bits, 4 * fps
    for image in images:
        if not coder.is_open:
            coder.height, coder.width = image.shape[:2]
        for packet in coder.encode(av.VideoFrame.from_ndarray(image, "bgr24")):
            yield from decoder.decode(packet)
    for packet in coder.encode(None):
        yield from decoder.decode(packet)
    yield from decoder.decode(None)


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
