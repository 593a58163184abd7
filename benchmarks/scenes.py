"""Drawn scenes through the real detector and the watches, held against their truth.

    python -m benchmarks.scenes

Each scene is one difficulty: somebody hidden by a pillar, two alike that cross, a car that stops
and drives on, a walk along a zone's border, a bag that is left. `toybox` looks at its frames once,
15 a second; the watches then run on what it found in all of them, and in as few as 5, 2 and 1 a
second; and again with one part of them switched off, which shows what that part is worth.

A visit is found if one alert began on its box. Told twice it is doubled if both were open at once,
else split; `swapped` if it ended on another thing than it began on. An alert on no visit is false.
`changes` are the updates that tell of other zones.
"""

from __future__ import annotations

import itertools
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import Detector, View
from streamwatch.geometry import Box, iou
from streamwatch.pixels import Pixels
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.vocabulary import searched, vocabulary
from streamwatch.records import Detection, Event, Frame, Vectors
from streamwatch.scheduler.rate import Rate
from streamwatch.watch import companions, rules, tracker
from streamwatch.watch.camera import CameraRules, CameraWatches
from tests.truth import Truth, Visit
from tests.truth.scenes import Scene, Thing

TOYBOX = DetectorSettings(model="toybox")
FULL_FPS = 15
RATES = (15, 5, 2, 1)
ON_ITS_THING = 0.3
"""From this IoU on an alert's box is on a thing; what is half hidden is found by its half."""

Path = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A scene, what is watched for in it, and which of its things should be told."""

    title: str
    scene: Scene
    watch: Mapping[str, Any]
    told: frozenset[int]
    zones: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    doubled_from: float = float("inf")
    """From this second on the stream has twice the width and height."""


def _case(
    title: str,
    things: Sequence[Thing],
    seconds: float,
    *,
    silent: Sequence[int] = (),
    watch: Mapping[str, Any] | None = None,
    zones: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    pillars: tuple[tuple[int, int, int, int], ...] = (),
    light: float = 1.0,
    doubled_from: float = float("inf"),
) -> Case:
    scene = Scene(tuple(things), seconds, pillars=pillars, light=light)
    told = frozenset(range(len(things))) - set(silent)
    settings = {"prompt": [things[0].name], **(watch or {})}
    return Case(title, scene, settings, told, zones or {}, doubled_from)


def walker(*path: tuple[float, float, float], height: float = 90, flip: bool = False) -> Thing:
    return Thing("pedestrian", "woman_walking", height, path, flip=flip)


def car(*path: tuple[float, float, float]) -> Thing:
    return Thing("red car", "automobile", 70, path, color="red")


def suitcase(*path: tuple[float, float, float]) -> Thing:
    return Thing("suitcase", "luggage", 50, path)


LOWER = {"lower": ((0.0, 0.8), (1.0, 0.8), (1.0, 1.0), (0.0, 1.0))}
"""From 288 px down."""
BAG = {"without": ["pedestrian"], "near": 0.05, "dwell": "4s"}

CASES = (
    _case("walks through", [walker((0, -40, 340), (12, 680, 340))], 17),
    _case("at night", [walker((0, -40, 340), (12, 680, 340))], 17, light=0.35),
    _case("runs", [Thing("man running", "man_running", 80, ((0, 680, 340), (4, -40, 340)))], 9),
    _case("drives by", [car((0, 720, 300), (4.5, -80, 300))], 10),
    _case(
        "behind a pillar, 1 s",
        [walker((0, -40, 320), (12, 680, 320))],
        17,
        pillars=((300, 150, 380, 360),),
    ),
    _case(
        "behind a wall, 2.3 s",
        [walker((0, -40, 320), (12, 680, 320))],
        17,
        pillars=((250, 150, 420, 360),),
    ),
    _case(
        "two cross",
        [
            walker((0, -40, 322), (12, 680, 322), flip=True),
            walker((0, 680, 345), (12, -40, 345)),
        ],
        17,
    ),
    _case(
        "two together",
        [walker((0, 680, 330), (14, -120, 330)), walker((0, 760, 335), (14, -40, 335))],
        19,
    ),
    _case("turns round", [walker((0, 680, 340), (5, 300, 340), (10, 680, 340))], 15),
    _case(
        "stops and drives on",
        [car((0, 720, 300), (3, 300, 300), (11, 300, 300), (14, -80, 300))],
        19,
    ),
    _case(
        "parked, others pass before it",
        [
            car((0, 720, 290), (3, 300, 290), (25, 300, 290)),
            walker((8, 680, 340), (16, -40, 340)),
            walker((12, -40, 345), (20, 680, 345), flip=True),
        ],
        25,
        silent=(1, 2),
        watch={"prompt": ["red car"]},
    ),
    _case(
        "leaves and comes back",
        [walker((0, -40, 340), (6, 680, 340)), walker((12, 680, 340), (18, -40, 340))],
        23,
    ),
    _case(
        "along a border",
        [walker(*((t, 30 + 30 * t, 288 + 2 * (-1) ** t) for t in range(20)), height=80)],
        24,
        zones=LOWER,
    ),
    _case(
        "along the border of its zone",
        [walker(*((t, 30 + 30 * t, 290 + 2 * (-1) ** t) for t in range(20)), height=80)],
        24,
        zones=LOWER,
        watch={"zones": ["lower"], "leave": "1s"},
    ),
    _case(
        "cut by the bottom edge",
        [walker((0, -40, 385), (12, 680, 385), height=110)],
        17,
        zones=LOWER,
        watch={"zones": ["lower"]},
    ),
    _case(
        "two words for one",
        [walker((0, -40, 340), (12, 680, 340))],
        17,
        watch={"prompt": ["pedestrian", "woman", "person"]},
    ),
    _case("stream doubles in size", [walker((0, -40, 340), (12, 680, 340))], 17, doubled_from=6.1),
    _case(
        "a bag is left",
        [
            suitcase((0, 300, 340), (20, 300, 340)),
            walker((0, 340, 340), (4, 340, 340), (8, 700, 340), flip=True),
        ],
        20,
        silent=(1,),
        watch=BAG,
    ),
    _case(
        "a bag is left, somebody passes",
        [
            suitcase((0, 300, 330), (24, 300, 330)),
            walker((0, 340, 330), (4, 340, 330), (8, 700, 330), flip=True),
            walker((10, 680, 350), (15, -40, 350)),
        ],
        24,
        silent=(1, 2),
        watch={**BAG, "dwell": "8s"},
    ),
    _case(
        "a bag with its owner",
        [suitcase((0, 300, 340), (20, 300, 340)), walker((0, 340, 340), (20, 340, 340))],
        20,
        silent=(0, 1),
        watch={**BAG, "dwell": "0s"},
    ),
)


@dataclass(frozen=True, slots=True)
class Looked:
    """A case's frames, without their pictures, each with what the detector found in it."""

    case: Case
    frames: tuple[tuple[Frame, tuple[Detection, ...]], ...]
    visits: Mapping[int, Visit]


def look(case: Case, detector: Detector, vectors: Mapping[str, Vectors]) -> Looked:
    watches = _watches(case, FULL_FPS)
    words = vocabulary(_prompts(case), vectors, ())
    frames = []
    for frame, _ in case.scene.frames(FULL_FPS):
        if frame.seconds >= case.doubled_from:
            width, height = frame.size
            frame = replace(frame, picture=Pixels(frame.picture.bgr((2 * width, 2 * height))))
        (found,) = detector.detect([View(frame.picture, words, watches.floor, None)])
        width, height = frame.size
        blank = np.broadcast_to(np.uint8(0), (height, width, 3))  # keeps the size and no memory
        frames.append((replace(frame, picture=Pixels(blank)), found))
    return Looked(case, tuple(frames), _by_thing(case, case.scene.truth(FULL_FPS)))


def _by_thing(case: Case, truth: Truth) -> dict[int, Visit]:
    """The visits by their thing's number; a thing that never shows has none."""
    ids = sorted({seen.id for _, found in case.scene.frames(1) for seen in found})
    assert len(ids) == len(truth.visits)
    return dict(zip(ids, truth.visits, strict=True))


def _settings(case: Case) -> WatchSettings:
    return WatchSettings.model_validate(case.watch)


def _prompts(case: Case) -> tuple[str, ...]:
    return searched({"watch": _settings(case)}, {"watch": ()})


def _watches(case: Case, fps: float) -> CameraWatches:
    numbers = itertools.count(1)
    return CameraWatches(
        "scene",
        CameraRules(
            CameraSettings(url="bundled:street", fps=fps, zones=case.zones),
            {"watch": _settings(case)},
            {"watch": TOYBOX.threshold},
            TOYBOX.floor,
            None,
            {"watch": ()},
        ),
        lambda: str(next(numbers)),
    )


def run(looked: Looked, fps: float) -> list[Event]:
    """What the watches tell of the case at a rate."""
    watches, rate = _watches(looked.case, fps), Rate(fps)
    events: list[Event] = []
    for frame, found in looked.frames:
        if rate.due(frame.seconds):
            events += watches.update(frame, found)
    return events + list(watches.close("lost"))


def judge(looked: Looked, events: Sequence[Event]) -> Counter[str]:
    """How many visits were found, missed, split, doubled and swapped, and how many alerts false."""
    counts: Counter[str] = Counter()
    told: dict[int, list[tuple[Event, Event]]] = {number: [] for number in looked.case.told}
    ends = {event.id: event for event in events if event.type == "end"}
    for new in (event for event in events if event.type == "new"):
        end = ends[new.id]
        number = _on(looked, new)
        if number not in told:
            counts["false"] += 1
            continue
        told[number].append((new, end))
        counts["swapped"] += _on(looked, end) not in (number, None)
    for spans in told.values():
        overlap = any(
            a[0].started_at < b[1].captured_at and b[0].started_at < a[1].captured_at
            for a, b in itertools.combinations(spans, 2)
        )
        outcome = ("missed", "found")[len(spans)] if len(spans) < 2 else "split"
        counts["doubled" if overlap else outcome] += 1
    counts["changes"] = sum(
        event.type == "update" and event.zones != before.zones
        for before, event in _consecutive(events)
    )
    return counts


def _consecutive(events: Sequence[Event]) -> Iterator[tuple[Event, Event]]:
    """Each event of a visit with the one after it."""
    last: dict[str, Event] = {}
    for event in events:
        if event.id in last:
            yield last[event.id], event
        last[event.id] = event


def _on(looked: Looked, event: Event) -> int | None:
    """The thing that an event's box lies on best, of those its prompt may mean."""
    assert event.position is not None
    number = round(event.position * FULL_FPS)
    scale = event.frame_size[0] / looked.case.scene.size[0]
    box: Box = tuple(side / scale for side in event.box)  # type: ignore[assignment]
    overlaps = {
        thing: iou(visit.boxes[number], box)
        for thing, visit in looked.visits.items()
        if number in visit.boxes and visit.name == looked.case.scene.things[thing].name
    }
    best = max(overlaps, key=lambda thing: overlaps[thing], default=None)
    return best if best is not None and overlaps[best] >= ON_ITS_THING else None


# --- what a part is worth -------------------------------------------------------------------------


Switch = Callable[[], AbstractContextManager[object]]

VARIANTS: Mapping[str, Switch] = {
    "as it is": nullcontext,
    "no matching by distance": lambda: patch.object(
        tracker, "_by_distance", lambda *_: lambda *_: 2.0
    ),
    "no dropping of doubles": lambda: patch.object(
        tracker.Tracker, "_without_doubles", lambda _, seen: list(seen)
    ),
    "sizes not followed": lambda: patch.object(tracker.Tracker, "_fit", lambda *_: None),
    "words not merged": lambda: patch.object(rules, "merge", tuple),
    "zones do not hold": lambda: patch.object(rules, "HOLD_HEIGHTS", 0.0),
    "companions not remembered": lambda: patch.object(
        companions.Companions, "change_rate", lambda *_: None
    ),
}
OUTCOMES = ("found", "missed", "split", "doubled", "swapped", "false", "changes")


def _table(title: str, first: str) -> Table:
    table = Table(title=title)
    table.add_column(first)
    for heading in ("fps", *OUTCOMES):
        table.add_column(heading, justify="right")
    return table


def _row(table: Table, name: str, fps: float, counts: Counter[str]) -> None:
    table.add_row(name, f"{fps:g}", *(str(counts[outcome]) for outcome in OUTCOMES))


def main() -> None:
    console = Console()
    prompts = {prompt for case in CASES for prompt in _prompts(case)}
    vectors = Embeddings(TOYBOX).vectors(tuple(sorted(prompts)))
    detector = load_detector(TOYBOX)
    looked = [
        look(case, detector, vectors)
        for case in progress(CASES, "looking", console=console, transient=True)
    ]
    visits = sum(len(case.told) for case in CASES)

    scenes = _table(f"{len(CASES)} scenes", "scene")
    for one in looked:
        for fps in RATES:
            counts = judge(one, run(one, fps))
            if counts["found"] < len(one.case.told) or counts["false"] or counts["swapped"]:
                _row(scenes, one.case.title, fps, counts)
    scenes.caption = "those that are not perfect"
    console.print(scenes)

    worth = _table(f"{visits} visits in {len(CASES)} scenes", "watches")
    for name, switched in VARIANTS.items():
        for fps in RATES:
            with switched():
                _row(
                    worth, name, fps, sum((judge(one, run(one, fps)) for one in looked), Counter())
                )
        worth.add_section()
    console.print(worth)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
