"""The motion gate's estimator on drawn scenes, beside OpenCV's background subtractor.

    python -m benchmarks.gate_scenes

Each scene stands still for a minute, then something comes, goes, or only troubles the camera. Per
frame rate two figures: the share of quiet frames in which something is said to have moved, and how
long after each arrival or departure it is first said, in seconds. Quiet are the frames from the
first minute's end on, but for those while a thing moves, fades, comes or goes, and `CALM_SECONDS`
after that. `MOG2` is `cv2.createBackgroundSubtractorMOG2` on the same small pictures, with the same
cells next to each other required, the same time to forget, and the same limits.

What is lost for good fails the run: an arrival or departure that ours never told of, or told later
than `LATE_SECONDS` after it could be seen.
"""

from __future__ import annotations

import itertools
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from streamwatch.pixels import Pixels
from streamwatch.records import Frame, Luma
from streamwatch.scheduler.motion import (
    LEAST_LEVELS,
    LEVELS_OF_NOISE,
    RESTING_SECONDS,
    TOGETHER,
    WIDTH,
    Motion,
)
from tests.truth.scenes import NOISE, START, Beam, Scene, Thing, encoded

FULL_FPS = 15
RATES = (15, 5, 1)
QUIET_FROM = 60.0
"""The gate is awake for so long after a start, whatever moves."""
CALM_SECONDS = 10.0
LATE_SECONDS = 1.0
"""Beside one frame's time, and the time a thing takes to fade."""
PUMPED_BITS = 150_000
LUMA_BGR = np.array((0.114, 0.587, 0.299), np.float32)
BLACK, WHITE = 16, 235
"""Y levels of most cameras' H.264."""

Path = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A scene; `quiet` where none of its things comes or goes after the first minute.

    `arrivals` are the seconds at which something begins to come, or to go from where it stood.
    `bits` a second it is encoded with; None: it is seen as it is drawn.
    """

    name: str
    scene: Scene
    bits: int | None = None

    @property
    def quiet(self) -> bool:
        return not self.arrivals

    @property
    def arrivals(self) -> tuple[float, ...]:
        starts = [visit.start for visit in self.scene.truth(FULL_FPS).visits]
        leaves = [seconds for thing in self.scene.things for seconds in self._leaves(thing)]
        return tuple(sorted(seconds for seconds in starts + leaves if seconds > QUIET_FROM))

    def _leaves(self, thing: Thing) -> Iterator[float]:
        """When it begins to leave a place it stood at."""
        steps = list(itertools.pairwise(thing.path))
        for stood, moves in itertools.pairwise(steps):
            if _stands(stood) and not _stands(moves):
                yield moves[0][0]
        if _stands(steps[-1]) and thing.path[-1][0] < self.scene.seconds:
            yield thing.path[-1][0] - thing.fade_out

    def busy(self, seconds: float) -> bool:
        """Whether something moves, or did so less than `CALM_SECONDS` ago."""
        return any(
            start <= seconds <= end + CALM_SECONDS
            for thing in self.scene.things
            for start, end in _moves(thing)
        )

    def frames(self, fps: int) -> Iterator[Frame]:
        """What the camera gives; one with `bits` is read at 15 frames a second whatever is due."""
        if self.bits is None:
            yield from (frame for frame, _ in self.scene.frames(fps))
            return
        images = (frame.picture.bgr() for frame, _ in self.scene.frames(FULL_FPS))
        for index, frame in enumerate(encoded(images, FULL_FPS, self.bits)):
            if index % (FULL_FPS // fps) == 0:
                at = index / FULL_FPS
                image = frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
                yield Frame("scene", index, START + timedelta(seconds=at), at, at, Pixels(image))

    def lumas(self, fps: int = FULL_FPS) -> Iterator[Luma]:
        """What the gate gets of each frame, without drawing noise at full size; of a case with
        `bits`, 15 a second always."""
        width, height = self.scene.size
        small = WIDTH, height * WIDTH // width
        if self.bits is not None:
            images = (frame.picture.bgr() for frame, _ in self.scene.frames(FULL_FPS))
            for frame in encoded(images, FULL_FPS, self.bits):
                plane = frame.to_ndarray()[:height]
                yield cv2.resize(plane, small, interpolation=cv2.INTER_AREA).astype(np.uint8)
            return
        random = np.random.default_rng(self.scene.seed)
        # Of a cell's mean, in which as many pixels' noise is averaged, each of three colours.
        noise = NOISE * float(np.linalg.norm(LUMA_BGR)) * WIDTH / width
        for index in range(self.scene.count(fps)):
            clean = self.scene.clean(index / fps)
            np.clip(clean, 0, 255, out=clean)
            grey = cv2.resize(clean, small, interpolation=cv2.INTER_AREA) @ LUMA_BGR
            grey += random.normal(0, noise, grey.shape)
            yield np.clip(BLACK + grey * (WHITE - BLACK) / 255 + 0.5, 0, 255).astype(np.uint8)


def _stands(step: tuple[tuple[float, float, float], tuple[float, float, float]]) -> bool:
    return step[0][1:] == step[1][1:]


def _moves(thing: Thing) -> Iterator[tuple[float, float]]:
    start, end = thing.path[0][0], thing.path[-1][0]
    yield start, start + thing.fade_in
    yield end - thing.fade_out, end
    for step in itertools.pairwise(thing.path):
        if not _stands(step):
            yield step[0][0], step[1][0]


# --- the scenes -----------------------------------------------------------------------------------


def walker(*path: tuple[float, float, float], height: float = 90, flip: bool = False) -> Thing:
    return Thing("pedestrian", "woman_walking", height, path, flip=flip)


def car(*path: tuple[float, float, float]) -> Thing:
    return Thing("red car", "automobile", 70, path, color="red")


def suitcase(start: float, end: float, *, fade_in: float = 0, fade_out: float = 0) -> Thing:
    path = ((start, 300, 340), (end, 300, 340))
    return Thing("suitcase", "luggage", 50, path, fade_in=fade_in, fade_out=fade_out)


SWINGS = tuple((60 + 4 * number, 1 + 0.08 * (-1) ** number) for number in range(20))
TREES = ((0, 60, 150, 235), (470, 90, 620, 235))
SLOW_DOG = Thing("dog", "dog", 40, ((65, 660, 320), (105, 540, 320)))
SMALL = walker((65, -10, 230), (105, 650, 230), height=20, flip=True)
"""Smaller than `toybox` finds a person: for the estimator alone."""
TRAFFIC = tuple(car((start, 720, 300), (start + 3, -80, 300)) for start in range(2, 100, 8))

SCENES = (
    Case("steady noise", Scene((), 100)),
    Case("light swings by 8 %", Scene((), 110, dimming=((0, 1), (59, 1), *SWINGS))),
    Case("light steps by 14 %", Scene((), 100, dimming=((70, 1), (70.1, 1.14)))),
    Case("key frames pump", Scene((), 76, light=0.6), bits=PUMPED_BITS),
    Case("rain begins", Scene((), 120, rain=((60, 0), (65, 60)))),
    Case("trees sway", Scene((), 100, trees=TREES, sway=3)),
    Case("camera shakes", Scene((), 100, shake=1.5)),
    Case(
        "headlights sweep",
        Scene(
            (),
            110,
            light=0.35,
            beams=tuple(
                Beam(((start, -100, 250), (start + 5, 740, 250)), 60, 90) for start in (65, 85)
            ),
        ),
    ),
    Case("dog of 40 px at 3 px/s", Scene((SLOW_DOG,), 106)),
    Case("walker of 20 px", Scene((SMALL,), 116)),
    Case("pops up, pops away", Scene((suitcase(70, 100),), 120)),
    Case("fades in within 6 s", Scene((suitcase(70, 130, fade_in=6),), 110)),
    Case("fades away within 6 s", Scene((suitcase(0, 80, fade_out=6),), 110)),
    Case(
        "walker in the dark",
        Scene((walker((65, -40, 340), (77, 680, 340), flip=True),), 100, light=0.25),
    ),
    Case("small walker in the dark", Scene((SMALL,), 116, light=0.25)),
    Case(
        "fades in and away in the dark",
        Scene((suitcase(70, 105, fade_in=6, fade_out=6),), 125, light=0.25),
    ),
    Case(
        "a walker lays a parcel down",
        Scene(
            (
                suitcase(70, 130),
                walker((64, -40, 335), (69, 265, 335), (71, 265, 335), (76, -40, 335)),
            ),
            110,
        ),
    ),
    Case(
        "car parks and leaves",
        Scene((car((62, 720, 300), (65, 300, 300), (125, 300, 300), (128, -80, 300)),), 145),
    ),
    Case("pops up where traffic passes", Scene((*TRAFFIC, suitcase(107, 130)), 120)),
    Case("small walker, light swings", Scene((SMALL,), 116, dimming=((0, 1), (59, 1), *SWINGS))),
    Case("small walker in rain", Scene((SMALL,), 116, rain=((0, 60),))),
    Case("small walker before swaying trees", Scene((SMALL,), 116, trees=TREES, sway=3)),
    Case("pops up, pops away, camera shakes", Scene((suitcase(70, 100),), 120, shake=1.5)),
    Case("small walker, key frames pump", Scene((SMALL,), 76, light=0.6), bits=PUMPED_BITS),
)


# --- the two estimators ---------------------------------------------------------------------------


class Mog2:
    """OpenCV's mixture of Gaussians, asked as `Motion` is, and as sensitive.

    Its defaults are for pictures that haven't been averaged: no cell may be quieter than 2 levels.
    """

    def __init__(self) -> None:
        sigmas = LEVELS_OF_NOISE * 0.6745
        self._model = cv2.createBackgroundSubtractorMOG2(0, sigmas**2, detectShadows=False)
        self._model.setVarMin((LEAST_LEVELS / sigmas) ** 2)
        self._model.setVarInit(1.0)
        self._last: float | None = None

    def update(self, luma: Luma, seconds: float) -> bool:
        past = 1.0 if self._last is None else seconds - self._last
        self._last = seconds
        rate = 1 - float(np.exp(-past / RESTING_SECONDS))
        changed = self._model.apply(luma, learningRate=rate) > 0
        near = cv2.boxFilter(changed.astype(np.uint8), -1, (3, 3), normalize=False)
        return bool(((near >= TOGETHER) & changed).any())


@dataclass(frozen=True, slots=True)
class Result:
    """`quiet` is the share of the quiet frames that were said to move; None where there are none.
    `delays` belong to the case's arrivals, None for one that was never told of."""

    quiet: float | None
    delays: tuple[float | None, ...]
    milliseconds: float


def judge(case: Case, lumas: list[Luma], fps: int, estimator: Motion | Mog2) -> Result:
    told: list[float] = []
    quiet: list[bool] = []
    spent = 0.0
    for index in range(0, len(lumas), FULL_FPS // fps):
        seconds = index / FULL_FPS
        started = time.perf_counter()
        if isinstance(estimator, Motion):
            moved = estimator.update(lumas[index], seconds, None)
        else:
            moved = estimator.update(lumas[index], seconds)
        spent += time.perf_counter() - started
        if moved:
            told.append(seconds)
        if seconds > QUIET_FROM and not case.busy(seconds):
            quiet.append(moved)
    delays = (_first_after(told, arrival, until) for arrival, until in _spans(case))
    count = len(range(0, len(lumas), FULL_FPS // fps))
    share = sum(quiet) / len(quiet) if quiet else None
    return Result(share, tuple(delays), spent / count * 1000)


def _spans(case: Case) -> Iterator[tuple[float, float]]:
    """Each arrival, and until when something that moves may be taken for it."""
    yield from zip(case.arrivals, (*case.arrivals, case.scene.seconds)[1:], strict=True)


def _first_after(told: list[float], arrival: float, until: float) -> float | None:
    return next((at - arrival for at in told if arrival <= at < max(until, arrival + 2)), None)


def _late(case: Case, fps: int, delays: tuple[float | None, ...]) -> bool:
    fade = max((max(thing.fade_in, thing.fade_out) for thing in case.scene.things), default=0)
    return any(delay is None or delay > LATE_SECONDS + fade + 1 / fps for delay in delays)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.1f}"


def _seconds(delays: tuple[float | None, ...]) -> str:
    return " ".join("never" if delay is None else f"{delay:.1f}" for delay in delays)


def main() -> int:
    table = Table(title=f"{len(SCENES)} scenes, {WIDTH} cells wide")
    table.add_column("scene", no_wrap=True)
    for heading in ("fps", "quiet %", "MOG2", "delays s", "MOG2"):
        table.add_column(heading, justify="right", no_wrap=True)
    late: list[str] = []
    spent: dict[type[Motion | Mog2], list[float]] = {Motion: [], Mog2: []}
    for case in progress(SCENES, transient=True):
        lumas = list(case.lumas())
        for fps in RATES:
            ours, peer = (judge(case, lumas, fps, kind()) for kind in (Motion, Mog2))
            spent[Motion].append(ours.milliseconds)
            spent[Mog2].append(peer.milliseconds)
            shares, delays = (
                (_percent(ours.quiet), _percent(peer.quiet)),
                (ours.delays, peer.delays),
            )
            title = case.name if fps == RATES[0] else ""
            table.add_row(title, str(fps), *shares, *map(_seconds, delays))
            if _late(case, fps, ours.delays):
                late.append(f"{case.name} at {fps} fps")
        table.add_section()
    console = Console(width=132)
    console.print(table)
    for kind, each in spent.items():
        console.print(f"{kind.__name__}: {float(np.median(each)):.2f} ms a frame")
    console.print(f"late or never: {', '.join(late) or 'none'}")
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
