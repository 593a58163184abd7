"""Alerts with the motion gate against those without it, and both against the truth.

    python -m benchmarks.gate_alerts [--quick]

Drawn scenes in which something comes or goes, and the bundled clip after a minute in which its
first picture stands. `toybox` looks at each frame once; the watches then run on
all of it, and with the gate in front of them, at 15, 5 and 1 frames a second. Every prompt has two
watches, one that alerts at once and one with a dwell of 15 s.

A visit is lost if it was told without the gate and not with it. Failed is the run with one lost, or
with an end that is told more than a heart-beat later. `--quick` looks at 5 frames a second alone.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from benchmarks.gate_scenes import FULL_FPS, SCENES, Case, car, suitcase, walker
from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import View
from streamwatch.pixels import Pixels
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.vocabulary import vocabulary
from streamwatch.records import Detection, Event, Frame, Picture
from streamwatch.scheduler.gate import AFTER_START_SECONDS, Areas, Gate
from streamwatch.source.decoding import Gap, Input, opened
from streamwatch.source.mask import Mask
from streamwatch.watch.camera import CameraRules, CameraWatches
from streamwatch.watch.watch import REST_SECONDS
from tests.parts import STREET_CLIP
from tests.truth import Truth, Visit, street
from tests.truth.scenes import NOISE, START, Scene

TOYBOX = DetectorSettings(model="toybox", device="cpu")
RATES = (15, 5, 1)
SPARSE_FPS = 5
"""As often the first minute is looked at, in which nothing is gated."""
STANDING_SECONDS = AFTER_START_SECONDS + 5
"""For so long the bundled clip's first picture stands."""
LEAST_HEIGHT = 40
"""In pixels; toybox finds nothing smaller."""
MORE = (
    Case("walker of 50 px, far", Scene((walker((65, 680, 260), (80, -40, 260), height=50),), 100)),
    Case("stood there from the start, leaves", Scene((car((0, 300, 300), (95, 300, 300)),), 115)),
    Case(
        "stays 80 s, drives off at night",
        Scene(
            (car((62, 720, 300), (65, 300, 300), (145, 300, 300), (148, -80, 300)),),
            165,
            light=0.35,
        ),
    ),
    Case(
        "parcel laid down at dusk",
        Scene(
            (
                suitcase(70, 115),
                walker((64, -40, 335), (69, 265, 335), (71, 265, 335), (76, -40, 335)),
            ),
            130,
            light=0.5,
        ),
    ),
    Case(
        "two come one after the other, with a minute between",
        Scene(
            (
                walker((65, -40, 340), (75, 680, 340), flip=True),
                walker((135, 680, 330), (146, -40, 330)),
            ),
            160,
        ),
    ),
    Case("fades in within 20 s", Scene((suitcase(70, 140, fade_in=20),), 150)),
)
WATCHES: Mapping[str, Mapping[str, str]] = {"at once": {}, "dwell": {"dwell": "15s"}}
SLACK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Footage:
    """What a camera gives, 15 frames a second or 5 in the first minute, and what is in it."""

    name: str
    frames: Iterator[Frame]
    truth: Truth


@dataclass(slots=True)
class Told:
    """One watch's visits: when each began, was told, and ended, in seconds."""

    begun: list[tuple[float, float]] = field(default_factory=list)
    ended: dict[float, float] = field(default_factory=dict)
    """By when it began."""

    def take(self, event: Event) -> None:
        started, now = _seconds(event.started_at), _seconds(event.captured_at)
        if event.type == "new":
            self.begun.append((started, now))
        elif event.type == "end":
            self.ended[started] = now


def _seconds(moment: datetime) -> float:
    return (moment - START).total_seconds()


class Player:
    """The watches at one frame rate, with the gate or without."""

    def __init__(self, fps: int, names: Sequence[str], *, gated: bool) -> None:
        watches = {
            f"{name}, {kind}": WatchSettings.model_validate({"prompt": [name], **keys})
            for name in names
            for kind, keys in WATCHES.items()
        }
        settings = CameraSettings.model_validate({"url": "/dev/video0", "fps": fps})
        rules = CameraRules(
            settings,
            watches,
            dict.fromkeys(watches, TOYBOX.threshold),
            TOYBOX.floor,
            None,
            dict.fromkeys(watches, ()),
        )
        numbers = itertools.count()
        self.fps = fps
        self.watches = CameraWatches("camera", rules, lambda: str(next(numbers)))
        self.told: dict[str, Told] = defaultdict(Told)
        self.late = self.analysed = 0
        """Frames after the first minute, and those of them that were analysed."""
        self._gate = Gate(Areas(None, (), ()) if gated else None)

    def see(self, frame: Frame, detections: tuple[Detection, ...]) -> None:
        still = self._gate.is_still(frame.picture, frame.seconds)
        late = frame.seconds >= AFTER_START_SECONDS
        self.late += late
        if still and self.watches.may_repeat(frame):
            events = self.watches.repeat(frame)
        else:
            events = self.watches.update(frame, detections)
            self.analysed += late
        for event in events:
            self.told[event.watch].take(event)


@dataclass(slots=True)
class Result:
    """Of one footage at one frame rate."""

    visits: int = 0
    found: int = 0
    found_gated: int = 0
    told: int = 0
    lost: int = 0
    more: int = 0
    new_later: float = 0.0
    end_later: float = 0.0
    share: float = 0.0

    @property
    def failed(self) -> bool:
        return self.lost > 0 or self.end_later > REST_SECONDS


def compared(truth: Truth, whole: Player, gated: Player) -> Result:
    result = Result(share=gated.analysed / max(1, gated.late))
    for watch, told in whole.told.items():
        left = list(gated.told[watch].begun)
        for started, at in told.begun:
            result.told += 1
            end = told.ended.get(started, float("inf"))
            same = [each for each in left if _overlap(each, gated.told[watch], started, end)]
            if not same:
                result.lost += 1
                continue
            left.remove(same[0])
            result.new_later = max(result.new_later, same[0][1] - at)
            same_end = gated.told[watch].ended.get(same[0][0], float("inf"))
            if end != same_end:
                result.end_later = max(result.end_later, abs(same_end - end))
        result.more += len(left)
    for visit in truth.visits:
        result.visits += 1
        result.found += _found(visit, whole)
        result.found_gated += _found(visit, gated)
    return result


def _overlap(one: tuple[float, float], of: Told, started: float, end: float) -> bool:
    return one[0] <= end + SLACK_SECONDS and of.ended.get(one[0], float("inf")) >= started


def _found(visit: Visit, player: Player) -> bool:
    return any(
        visit.start - SLACK_SECONDS <= started <= visit.end + SLACK_SECONDS
        for started, _ in player.told[f"{visit.name}, at once"].begun
    )


# --- footage --------------------------------------------------------------------------------------


def scene(case: Case) -> Footage:
    return Footage(case.name, _scene_frames(case), case.scene.truth(FULL_FPS))


def _scene_frames(case: Case) -> Iterator[Frame]:
    if case.bits is not None:
        yield from (frame for frame in case.frames(FULL_FPS) if _wanted(round(frame.seconds * 15)))
        return
    for index in range(case.scene.count(FULL_FPS)):
        if _wanted(index):
            at = index / FULL_FPS
            image, _ = case.scene.at(at)
            yield Frame("camera", index, START + timedelta(seconds=at), at, at, Pixels(image))


def _wanted(index: int) -> bool:
    sparse = index / FULL_FPS < AFTER_START_SECONDS - 10
    return not sparse or index % (FULL_FPS // SPARSE_FPS) == 0


def bundled() -> Footage:
    truth = street()
    visits = tuple(
        Visit(
            visit.name,
            visit.start + STANDING_SECONDS,
            visit.end + STANDING_SECONDS,
            visit.boxes,
        )
        for visit in truth.visits
    )
    return Footage("street.mp4", _street_frames(), Truth(truth.fps, visits))


def _street_frames() -> Iterator[Frame]:
    with opened(Input(str(STREET_CLIP), "the clip")) as video:
        pictures = [
            picture.masked(Mask(())) for picture in video.pictures() if not isinstance(picture, Gap)
        ]
    first = pictures[0].bgr()
    random = np.random.default_rng(7)
    standing = round(STANDING_SECONDS * FULL_FPS)
    for index in range(standing + len(pictures)):
        at = index / FULL_FPS
        if index >= standing:
            picture: Picture = pictures[index - standing]
        elif _wanted(index):
            noisy = first + random.normal(0, NOISE, first.shape)
            picture = Pixels(np.clip(noisy, 0, 255).astype(np.uint8))
        else:
            continue
        yield Frame("camera", index, START + timedelta(seconds=at), at, at, picture)


# --- the run --------------------------------------------------------------------------------------


def run(number: int, rates: Sequence[int]) -> tuple[str, dict[int, Result]]:
    """The footage of this number; 0 is the bundled clip."""
    footage = bundled() if number == 0 else scene(moving()[number - 1])
    names = sorted({visit.name for visit in footage.truth.visits})
    words = vocabulary(tuple(names), Embeddings(TOYBOX).vectors(names), ())
    detector = load_detector(TOYBOX)
    players = {fps: [Player(fps, names, gated=gated) for gated in (False, True)] for fps in rates}
    step = FULL_FPS // max(rates)
    for frame in footage.frames:
        if frame.index % step:
            continue
        floor = players[rates[0]][0].watches.floor
        (found,) = detector.detect([View(frame.picture, words, floor)])
        for fps, pair in players.items():
            if frame.index % (FULL_FPS // fps) == 0:
                for player in pair:
                    player.see(frame, found)
    return footage.name, {
        fps: compared(footage.truth, whole, gated) for fps, (whole, gated) in players.items()
    }


def moving() -> list[Case]:
    """Those of the scenes whose things toybox can find, and some more."""
    found = [
        case
        for case in SCENES
        if not case.quiet and all(thing.height >= LEAST_HEIGHT for thing in case.scene.things)
    ]
    return [*found, *MORE]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    rates = (5,) if parser.parse_args().quick else RATES
    count = len(moving()) + 1
    table = Table(title=f"{count - 1} drawn scenes and the bundled clip")
    table.add_column("footage")
    for heading in (
        "fps", "visits", "found", "gated", "alerts", "lost", "more", "new s", "end s", "analysed %",
    ):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    failed = []
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        done = processes.map(run, range(count), itertools.repeat(rates))
        for name, results in progress(done, total=count, transient=True):
            for fps, each in results.items():
                table.add_row(
                    name if fps == rates[0] else "",
                    *map(str, (fps, each.visits, each.found, each.found_gated, each.told)),
                    *map(str, (each.lost, each.more)),
                    f"{each.new_later:+.1f}",
                    f"{each.end_later:.1f}",
                    f"{each.share * 100:.0f}",
                )
                if each.failed:
                    failed.append(f"{name} at {fps} fps")
            table.add_section()
    console = Console(width=132)
    console.print(table)
    console.print(f"lost or ended late: {', '.join(failed) or 'none'}")
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
