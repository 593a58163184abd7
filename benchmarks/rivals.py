"""What `not` and the built-in distractors are worth: the same footage with and without them.

    python -m benchmarks.rivals

The bundled clip and drawn scenes, each with words that `toybox` is known to find wrongly in it, and
with such that it gets right anyway. Per case two figures: visits found, and false alerts (on
something that the prompt doesn't mean). `not` holds what a person would write there after the first
false alert, see `NOT`; "distractors" are those of the encoder's row in the catalogue. The detector
looks at 5 frames a second; the watches run on those, and on one of five.

Then, for choosing an encoder's distractors: how sure the detector is of what is there, each prompt
alone on its camera and beside others, and how far the words for kinds of a distractor are from it,
which `kin` must not let beat one another.
"""

from __future__ import annotations

import itertools
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache

import av
import numpy as np
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from streamwatch.catalogue import ENCODERS
from streamwatch.config.models import CameraSettings, DetectorSettings, WatchSettings
from streamwatch.detector.embeddings import Embeddings
from streamwatch.detector.models import load_detector
from streamwatch.detector.protocol import Detector, Vectors, View, Vocabulary
from streamwatch.detector.rivals import distractors, rivals_of
from streamwatch.geometry import Box, iou
from streamwatch.records import Detection, Event, Frame
from streamwatch.scheduler.rate import Rate
from streamwatch.watch.camera import CameraRules, CameraWatches
from tests.parts import STREET_CLIP
from tests.truth import Truth, Visit, street
from tests.truth.scenes import START, Scene, Thing

FPS = 5
RATES = (5, 1)
CLIP_FPS = 15
BATCH = 8
ON_ITS_THING = 0.3
"""From this IoU on an alert's box is on a thing; what is half hidden is found by its half."""
SAME_THING = 0.5
"""From this IoU on a detection's confidence is taken for that of the thing."""

NOT = {
    "blue car": ("red car",),
    "red car": ("red truck",),
    "person": ("pillar", "building"),
    "cat": ("dog",),
    "horse": ("dog",),
    "bird": ("cat",),
    "fire truck": ("truck",),
    "stroller": ("truck",),
    "bus": ("car",),
    "suitcase": ("backpack",),
}
"""By prompt, what was taken for it."""
MEANT = {
    "person": ("pedestrian", "cyclist"),
    "car": ("red car", "blue car"),
}
"""By prompt, the names of the things it means, where they are not called the same."""


Footage = Scene | tuple[float, float]
"""A drawn scene; or a part of the bundled clip, from and to in seconds."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is watched for in some footage: a watch for each of the prompts, on one camera."""

    title: str
    footage: Footage
    prompts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """What the watches have to beat."""

    title: str
    with_not: bool
    distractors: bool


VARIANTS = (
    Variant("nothing", with_not=False, distractors=False),
    Variant("not", with_not=True, distractors=False),
    Variant("distractors", with_not=False, distractors=True),
    Variant("both", with_not=True, distractors=True),
)


def passing(
    name: str, sprite: str, height: float, start: float = 0, color: str | None = None
) -> Thing:
    """Something that crosses the picture within six seconds, from right to left."""
    return Thing(name, sprite, height, ((start, 700, 310), (start + 6, -60, 310)), color=color)


def _scene(*things: Thing) -> Scene:
    return Scene(things, max(thing.path[-1][0] for thing in things) + 4)


WALKER = replace(passing("pedestrian", "woman_walking", 90), flip=False)
DOG_AND_CAT = _scene(passing("dog", "dog", 40), passing("cat", "cat", 40, 7))
TRUCKS = _scene(
    passing("truck", "delivery_truck", 86), passing("red truck", "delivery_truck", 86, 7, "red")
)
CARS = _scene(
    passing("red car", "automobile", 66, 0, "red"), passing("blue car", "automobile", 66, 7, "blue")
)
PRESENT = (
    "red car", "pedestrian", "blue car", "truck", "parcel", "dog", "red backpack", "cyclist",
)  # fmt: skip

CASES = (
    Case(
        "clip: all it shows, and what is taken for it",
        (0, 40),
        (*PRESENT, "cat", "horse", "fire truck", "stroller"),
    ),
    Case("clip: a dog", (23, 36), ("cat",)),
    Case("clip: a dog", (23, 36), ("horse",)),
    Case("clip: a truck", (15, 31), ("fire truck",)),
    Case("clip: a truck", (15, 31), ("stroller",)),
    Case("clip: people", (6, 40), ("person",)),
    Case("clip: cars", (2, 24), ("car",)),
    Case("drawn: red car, blue car", CARS, ("blue car",)),
    Case("the same at night", CARS.at_night(), ("blue car",)),
    Case(
        "drawn: somebody, houses and pillars",
        replace(_scene(WALKER), pillars=((300, 150, 380, 360), (520, 200, 550, 360))),
        ("person",),
    ),
    Case("drawn: dog, cat", DOG_AND_CAT, ("cat",)),
    Case("the same at night", DOG_AND_CAT.at_night(), ("cat",)),
    Case("drawn: dog, cat", DOG_AND_CAT, ("bird",)),
    Case("drawn: dog, cat", DOG_AND_CAT, ("horse",)),
    Case("drawn: truck, red truck", TRUCKS, ("fire truck",)),
    Case(
        "drawn: red truck, red car",
        _scene(
            passing("red truck", "delivery_truck", 86, 0, "red"),
            passing("red car", "automobile", 66, 7, "red"),
        ),
        ("red car",),
    ),
    Case(
        "drawn: green car, bus",
        _scene(passing("green car", "automobile", 60, 0, "green"), passing("bus", "bus", 90, 7)),
        ("bus",),
    ),
    Case(
        "drawn: backpack, suitcase",
        _scene(passing("backpack", "backpack", 44), passing("suitcase", "luggage", 50, 7)),
        ("suitcase",),
    ),
)

KINDS = {
    "dog": (
        "animal", "pet", "puppy", "hound", "beagle", "bulldog", "chihuahua", "collie", "corgi",
        "dachshund", "dalmatian", "german shepherd", "golden retriever", "husky", "labrador",
        "poodle", "pug", "stray animal", "terrier",
    ),
    "car": (
        "automobile", "vehicle", "auto", "cab", "convertible", "coupe", "hatchback", "hearse",
        "jeep", "limousine", "minivan", "parked vehicle", "pickup", "police vehicle", "sedan",
        "sports vehicle", "station wagon", "SUV", "taxi", "van",
    ),
    "truck": (
        "vehicle", "18-wheeler", "box van", "delivery van", "delivery vehicle", "dumper",
        "heavy goods vehicle", "HGV", "lorry", "moving van", "pickup", "semi-trailer", "tanker",
        "tow vehicle", "transporter", "van",
    ),
    "suitcase": (
        "bag", "baggage", "briefcase", "carry-on", "case", "duffel bag", "hand luggage", "luggage",
        "travel bag", "trolley", "trolley bag", "trunk", "unattended bag",
    ),
}  # fmt: skip
"""By distractor, words without it in them for what may be one too."""


# --- looking -------------------------------------------------------------------------------------


Found = Sequence[tuple[Frame, tuple[Detection, ...]]]


class Bench:
    """The detector, and what it found: it looks at some footage once for each vocabulary."""

    def __init__(self, settings: DetectorSettings) -> None:
        """`settings` are those with distractors."""
        prompts = {
            *itertools.chain.from_iterable(case.prompts for case in CASES),
            *itertools.chain.from_iterable(NOT.values()),
            *KINDS,
            *itertools.chain.from_iterable(KINDS.values()),
            *distractors(settings),
        }
        self._settings = settings
        self._detector = load_detector(settings)
        self._found: dict[tuple[Footage, tuple[str, ...]], Found] = {}
        self.vectors = Embeddings(settings).vectors(tuple(sorted(prompts)))

    def watches(self, prompts: Sequence[str], variant: Variant, fps: float = FPS) -> CameraWatches:
        """A watch for each of the prompts, named like it."""

        def contrasted(prompt: str) -> bool:
            return variant.with_not and prompt in NOT

        watches = {
            prompt: WatchSettings.model_validate(
                {"prompt": [prompt]} | ({"not": NOT[prompt]} if contrasted(prompt) else {})
            )
            for prompt in prompts
        }
        settings = self._settings.model_copy(update={"distractors": variant.distractors})
        rivals = rivals_of(watches, settings, self.vectors)
        camera = CameraSettings(url="bundled:street", fps=fps)
        numbers = itertools.count(1)
        rules = CameraRules(camera, watches, settings.confidence, None, rivals)
        return CameraWatches("bench", rules, lambda: str(next(numbers)))

    def look(self, footage: Footage, watches: CameraWatches) -> Found:
        """What the detector finds for these watches in every frame."""
        key = footage, watches.prompts
        if key not in self._found:
            vectors = np.stack([self.vectors[prompt] for prompt in watches.prompts])
            vocabulary = Vocabulary(watches.prompts, vectors)
            found: list[tuple[Frame, tuple[Detection, ...]]] = []
            for batch in _batches(_frames(footage)):
                views = [View(frame.image, vocabulary, watches.floor) for frame in batch]
                found += zip(batch, self._detector.detect(views), strict=True)
            self._found[key] = found
        return self._found[key]

    def events(self, case: Case, variant: Variant, fps: float) -> list[Event]:
        """What the watches tell of a case at a rate."""
        watches, rate = self.watches(case.prompts, variant, fps), Rate(fps)
        told: list[Event] = []
        for frame, found in self.look(case.footage, watches):
            if rate.due(frame.seconds):
                told += watches.update(frame, found)
        return told + list(watches.close("lost"))


@cache
def _frames(footage: Footage) -> tuple[Frame, ...]:
    if isinstance(footage, Scene):
        return tuple(frame for frame, _ in footage.frames(FPS))
    start, end = footage
    frames = []
    with av.open(str(STREET_CLIP)) as clip:
        for index, picture in enumerate(clip.decode(video=0)):
            at = index / CLIP_FPS
            if start <= at < end and index % (CLIP_FPS // FPS) == 0:
                image = picture.to_ndarray(format="bgr24")
                frames.append(Frame("bench", index, START + timedelta(seconds=at), at, at, image))
    return tuple(frames)


def _batches(frames: Sequence[Frame]) -> Iterator[Sequence[Frame]]:
    return (frames[first : first + BATCH] for first in range(0, len(frames), BATCH))


def _truth(footage: Footage) -> Truth:
    """The visits in it; positions are those of the frames."""
    if isinstance(footage, Scene):
        return footage.truth(FPS)
    start, end = footage
    clip = street()
    there = [visit for visit in clip.visits if visit.start < end and visit.end > start]
    return Truth(clip.fps, tuple(there))


# --- judging -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """Visits that were told, and alerts on what the prompt does not mean."""

    found: int
    false: int


def visits(case: Case) -> dict[str, list[Visit]]:
    """By prompt, the visits that should be told."""
    truth = _truth(case.footage)
    return {
        prompt: [visit for visit in truth.visits if visit.name in MEANT.get(prompt, (prompt,))]
        for prompt in case.prompts
    }


def judge(case: Case, events: Sequence[Event]) -> Outcome:
    fps, meant = _truth(case.footage).fps, visits(case)
    found, false = set(), 0
    for event in events:
        if event.type != "new":
            continue
        on = [
            (event.watch, number)
            for number, visit in enumerate(meant[event.watch])
            if _overlap(visit, fps, event.position, event.box) >= ON_ITS_THING
        ]
        found.update(on)
        false += not on
    return Outcome(len(found), false)


def _overlap(visit: Visit, fps: float, position: float | None, box: Box) -> float:
    """IoU of a box with the thing at a moment; 0 where that is not in the picture."""
    assert position is not None
    there = visit.boxes.get(round(position * fps))
    return 0.0 if there is None else iou(there, box)


# --- telling -------------------------------------------------------------------------------------


def worth(bench: Bench) -> Table:
    table = Table(title="visits found, false alerts")
    for heading in ("footage", "watched for", "fps", "visits"):
        table.add_column(heading)
    for variant in VARIANTS:
        table.add_column(variant.title, justify="right")
    sums = {(fps, variant): [0, 0] for fps in RATES for variant in VARIANTS}
    total = sum(len(v) for case in CASES for v in visits(case).values())
    for case in progress(CASES, "looking", transient=True):
        there = sum(len(v) for v in visits(case).values())
        for fps in RATES:
            cells = []
            for variant in VARIANTS:
                outcome = judge(case, bench.events(case, variant, fps))
                sums[fps, variant][0] += outcome.found
                sums[fps, variant][1] += outcome.false
                cells.append(f"{outcome.found}, {outcome.false}")
            prompts = case.prompts[0] if len(case.prompts) == 1 else f"{len(case.prompts)} watches"
            table.add_row(case.title, prompts, str(fps), str(there), *cells)
    table.add_section()
    for fps in RATES:
        cells = ["{}, {}".format(*sums[fps, variant]) for variant in VARIANTS]
        table.add_row("all of them", "", str(fps), str(total), *cells)
    return table


def main() -> None:
    bench = Bench(DetectorSettings(model="toybox"))
    console = Console()
    console.print(worth(bench))
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
