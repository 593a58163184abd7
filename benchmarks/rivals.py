"""What `not`, the built-in distractors and second looks are worth: footage with and without them.

    python -m benchmarks.rivals

The bundled clip and drawn scenes, each with words that `toybox` is known to find wrongly in it, and
with such that it gets right anyway. Per case two figures: visits found, and false alerts (on
something that the prompt doesn't mean). `not` holds what a person would write there after the first
false alert, see `NOT`; "distractors" are those of the encoder's row in the catalogue, and a second
look is required to confirm the alert. The detector looks at 5 frames a second; the watches run on
those, and on one of five.

Then, for choosing an encoder's distractors: how sure the detector is of what the clip shows, each
prompt alone on its camera and beside the others; and what another `spared_from_cosine` (see
`catalogue.Encoder`) would do. The higher it is, the more wrong words are beaten, and the more words
for a kind of one of the distractors: a "husky" by "dog".
"""

from __future__ import annotations

import itertools
import platform
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache

import av
import numpy as np
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from benchmarks.looking import Tower, told
from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import View
from streamwatch.geometry import Box, iou
from streamwatch.pixels import Pixels
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.rivals import distractors, rivals_of
from streamwatch.prompts.vocabulary import searched, vocabulary
from streamwatch.records import Detection, Event, Finding, Frame, Image, LookRequest
from streamwatch.scheduler.rate import Rate
from streamwatch.second_look.contrast import contrast, words_for
from streamwatch.watch.camera import CameraRules, CameraWatches
from streamwatch.watch.rules import beaten, floor
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
"""By prompt, what was taken for it, or what people fear will be."""
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
    """What the watches have to beat, and whether a second look must confirm their alerts."""

    title: str
    with_not: bool
    distractors: bool
    second_look: bool = False


VARIANTS = (
    Variant("nothing", with_not=False, distractors=False),
    Variant("not", with_not=True, distractors=False),
    Variant("distractors", with_not=False, distractors=True),
    Variant("both", with_not=True, distractors=True),
    Variant("second look", with_not=False, distractors=False, second_look=True),
    Variant("not + second look", with_not=True, distractors=False, second_look=True),
)


def passing(
    name: str, sprite: str, height: float, start: float = 0, color: str | None = None
) -> Thing:
    """Something that crosses the picture within six seconds, from right to left."""
    return Thing(name, sprite, height, ((start, 700, 310), (start + 6, -60, 310)), color=color)


def _scene(*things: Thing) -> Scene:
    return Scene(things, max(thing.path[-1][0] for thing in things) + 4)


WALKER = passing("pedestrian", "woman_walking", 90)
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
    Case("clip: people", (6, 18), ("person",)),
    Case("clip: cars", (2, 21), ("car",)),
    Case("drawn: red car, blue car", CARS, ("blue car",)),
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
WRONG = (
    "airplane", "bear", "bed", "bench", "bird", "boat", "camera", "caravan", "chair", "clock",
    "cow", "crane", "deer", "donkey", "door", "drone", "elephant", "excavator", "fence", "fire",
    "fire hydrant", "flag", "flower", "forklift", "fountain", "fox", "gate", "giraffe", "goat",
    "helicopter", "horse", "kite", "ladder", "lamp", "lawn mower", "lion", "mailbox", "microwave",
    "monkey", "motorcycle", "mushroom", "parking meter", "pig", "pumpkin", "rabbit", "raccoon",
    "refrigerator", "scooter", "sheep", "shopping cart", "skateboard", "smoke", "snowman", "sofa",
    "squirrel", "statue", "stop sign", "stroller", "tent", "tiger", "toilet", "tractor",
    "traffic light", "train", "tree", "tv", "umbrella", "washing machine", "wheelbarrow",
    "wheelchair", "window", "wolf", "zebra",
)  # fmt: skip
"""Words for what is in none of `PICTURES`."""


def _standing(name: str, sprite: str, height: float, x: float, color: str | None = None) -> Thing:
    return Thing(name, sprite, height, ((0, x, 330), (1, x, 330)), color=color)


PICTURES = (
    (
        _standing("car", "automobile", 60, 120, "red"),
        _standing("dog", "dog", 44, 300),
        _standing("pedestrian", "woman_walking", 86, 420),
        _standing("parcel", "package", 36, 560),
    ),
    (
        _standing("truck", "delivery_truck", 86, 160),
        _standing("cat", "cat", 40, 330),
        _standing("backpack", "backpack", 40, 450, "red"),
        _standing("pedestrian", "man_walking", 84, 560),
    ),
    (
        _standing("bus", "bus", 100, 160),
        _standing("suitcase", "luggage", 46, 330),
        _standing("cyclist", "person_biking", 80, 480),
    ),
    (
        _standing("car", "automobile", 54, 120, "green"),
        _standing("pedestrian", "man_running", 86, 300),
        _standing("dog", "dog", 36, 400),
        _standing("car", "automobile", 64, 520, "blue"),
    ),
)
"""Things that stand before the street."""
BOUNDS = (0.0, 0.3, 0.34, 0.38, 0.42, 0.44, 0.46, 0.48, 0.5, 0.55, 0.6, 0.7)


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
            *WRONG,
            *distractors(settings),
            *words_for([_settings_of("thing", VARIANTS[-1])]),
        }
        self._settings = settings
        self._tower = Tower(settings)
        self._detector = load_detector(settings)
        self._found: dict[tuple[Footage, tuple[str, ...], int], Found] = {}
        self.vectors = Embeddings(settings).vectors(tuple(sorted(prompts)))

    def watches(
        self, prompts: Sequence[str], variant: Variant, fps: float = FPS
    ) -> tuple[CameraWatches, tuple[str, ...]]:
        """A watch for each of the prompts, named like it, and what they are searched for."""
        watches = {prompt: _settings_of(prompt, variant) for prompt in prompts}
        settings = self._settings.model_copy(update={"distractors": variant.distractors})
        rivals = rivals_of(watches, settings, self.vectors)
        camera = CameraSettings(url="bundled:street", fps=fps)
        numbers = itertools.count(1)
        confidences = dict.fromkeys(watches, settings.threshold)
        rules = CameraRules(camera, watches, confidences, settings.floor, None, rivals)
        made = CameraWatches("bench", rules, lambda: str(next(numbers)))
        return made, searched(watches, rivals)

    def look(
        self, footage: Footage, watches: CameraWatches, prompts: tuple[str, ...], every: int = 1
    ) -> Found:
        """What the detector finds for these watches in every frame, or one of `every`."""
        key = footage, prompts, every
        if key not in self._found:
            looked_at = frames(footage)[::every]
            found = self.search(
                [frame.picture.bgr() for frame in looked_at], prompts, watches.floor
            )
            self._found[key] = tuple(zip(looked_at, found, strict=True))
        return self._found[key]

    def search(
        self, images: Sequence[Image], prompts: tuple[str, ...], floor: float
    ) -> Iterator[tuple[Detection, ...]]:
        words = vocabulary(prompts, self.vectors, ())
        for first in range(0, len(images), BATCH):
            batch = images[first : first + BATCH]
            yield from self._detector.detect([View(Pixels(i), words, floor) for i in batch])

    def events(self, case: Case, variant: Variant, fps: float) -> list[Event]:
        """What the watches tell of a case at a rate."""
        watches, prompts = self.watches(case.prompts, variant, fps)
        rate = Rate(fps)
        found = self.look(case.footage, watches, prompts)
        due = [(frame, detections) for frame, detections in found if rate.due(frame.seconds)]

        def find(request: LookRequest) -> Finding:
            watch = _settings_of(request.watch, variant)
            assert watch.look is not None
            against = (*watch.not_, *watch.look.against)
            compared = contrast(watch.prompt, against, self.vectors, self._tower.near)
            return self._tower.find(request, compared, watch.look.at_least)

        return list(told(watches, due, find))


def _settings_of(prompt: str, variant: Variant) -> WatchSettings:
    rivals = NOT.get(prompt, ()) if variant.with_not else ()
    look = "require" if variant.second_look else "off"
    return WatchSettings.model_validate(
        {"prompt": [prompt], "second_look": look} | ({"not": rivals} if rivals else {})
    )


@cache
def frames(footage: Footage) -> tuple[Frame, ...]:
    if isinstance(footage, Scene):
        return tuple(frame for frame, _ in footage.frames(FPS))
    start, end = footage
    shown = []
    with av.open(str(STREET_CLIP)) as clip:
        for index, picture in enumerate(clip.decode(video=0)):
            at = index / CLIP_FPS
            if start <= at < end and index % (CLIP_FPS // FPS) == 0:
                image = picture.to_ndarray(format="bgr24").astype(np.uint8)
                shown.append(
                    Frame("bench", index, START + timedelta(seconds=at), at, at, Pixels(image))
                )
    return tuple(shown)


def truth_of(footage: Footage) -> Truth:
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
    truth = truth_of(case.footage)
    return {
        prompt: [visit for visit in truth.visits if visit.name in MEANT.get(prompt, (prompt,))]
        for prompt in case.prompts
    }


def judge(case: Case, events: Sequence[Event]) -> Outcome:
    fps, meant = truth_of(case.footage).fps, visits(case)
    found, false = set(), 0
    for event in events:
        if event.type != "new":
            continue
        on = [
            (event.watch, number)
            for number, visit in enumerate(meant[event.watch])
            if overlap(visit, fps, event.position, event.box) >= ON_ITS_THING
        ]
        found.update(on)
        false += not on
    return Outcome(len(found), false)


def overlap(visit: Visit, fps: float, position: float | None, box: Box) -> float:
    """IoU of a box with the thing at a moment; 0 where that is not in the picture."""
    assert position is not None
    there = visit.boxes.get(round(position * fps))
    return 0.0 if there is None else iou(there, box)


def confidences(case: Case, prompt: str, found: Found) -> Iterator[float]:
    """How sure the detector is of the prompt's thing, in each frame that shows it."""
    fps = truth_of(case.footage).fps
    for visit in visits(case)[prompt]:
        for frame, detections in found:
            if frame.position is not None and round(frame.position * fps) in visit.boxes:
                yield max(
                    (
                        detection.confidence
                        for detection in detections
                        if detection.prompt == prompt
                        and overlap(visit, fps, frame.position, detection.box) >= SAME_THING
                    ),
                    default=0.0,
                )


@dataclass(frozen=True, slots=True)
class Reading:
    """A word found in one of `PICTURES` beside the distractors.

    `wrong` if it is of `WRONG`, or else on a thing of its kind. `beaten_above` is the least cosine
    of a distractor that is surer of that place, which beats the word with every higher
    `spared_from_cosine`; None where there is no such distractor.
    """

    word: str
    wrong: bool
    beaten_above: float | None

    def stays(self, spared_from_cosine: float) -> bool:
        return self.beaten_above is None or self.beaten_above >= spared_from_cosine


def readings(bench: Bench, settings: DetectorSettings) -> Iterator[Reading]:
    """What is found of `KINDS` and `WRONG`, each alone but for the distractors."""
    pictures = [Scene(things, 1, seed=n).at(0) for n, things in enumerate(PICTURES)]
    kinds = {word for words in KINDS.values() for word in words}
    least = floor(settings.threshold, settings.floor)
    for word in progress((*sorted(kinds), *WRONG), "reading", transient=True):
        prompts = (word, *distractors(settings))
        found = bench.search([image for image, _ in pictures], prompts, least)
        for (_, things), detections in zip(pictures, found, strict=True):
            meant = [thing.box for thing in things if word in KINDS.get(thing.name, ())]
            for one in detections:
                if one.prompt != word or one.confidence < settings.threshold:
                    continue
                if word in WRONG or any(iou(box, one.box) >= SAME_THING for box in meant):
                    cosines = [
                        float(bench.vectors[word] @ bench.vectors[other.prompt])
                        for other in detections
                        if other.prompt != word and beaten(one, [other])
                    ]
                    yield Reading(word, word in WRONG, min(cosines, default=None))


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


def sureness(bench: Bench) -> Table:
    """How sure the detector is of what is there, one frame a second of the whole clip."""
    table = Table(title="mean confidence of what the clip shows, and how much others change it")
    for heading in ("", "alone", "beside 7 others", "mean change"):
        table.add_column(heading, justify="right")
    whole = replace(CASES[0], prompts=PRESENT)
    for variant in (VARIANTS[0], VARIANTS[2]):
        together = bench.look(whole.footage, *bench.watches(PRESENT, variant), FPS)
        one: list[float] = []
        all_of_them: list[float] = []
        for prompt in PRESENT:
            alone = bench.look(whole.footage, *bench.watches((prompt,), variant), FPS)
            one += confidences(whole, prompt, alone)
            all_of_them += confidences(whole, prompt, together)
        changes = [abs(a - b) for a, b in zip(one, all_of_them, strict=True)]
        table.add_row(
            variant.title, *(f"{statistics.mean(v):.3f}" for v in (one, all_of_them, changes))
        )
    return table


def bounds(bench: Bench, settings: DetectorSettings) -> Table:
    """What another bound would do to words that are right and to words that are wrong."""
    table = Table(title=f"found in {len(PICTURES)} pictures, and not beaten by a distractor")
    for heading in ("spared from", "words for a kind of distractor", "wrong words"):
        table.add_column(heading, justify="right")
    found = [*readings(bench, settings)]
    for bound in BOUNDS:
        wrong = [reading.wrong for reading in found if reading.stays(bound)]
        table.add_row(f"{bound:.2f}", str(wrong.count(False)), str(wrong.count(True)))
    return table


def main() -> None:
    console = Console()
    settings = DetectorSettings(model="toybox")
    bench = Bench(settings)
    for table in (worth(bench), sureness(bench), bounds(bench, settings)):
        console.print(table)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
