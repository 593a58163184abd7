"""What a second look is worth, and what it costs: the same footage with and without it.

    python -m benchmarks.second_look [--scenes 12]

The bundled clip, with words for all it shows and for what is taken for it, and the drawn scenes of
`look_alikes.py`: those of the seed that was looked at while the words and bounds were chosen, and
those of another seed. The detector looks at each frame once, 5 a second, with the words of all
variants together; then the real watches run over what it found, once for each variant, and the real
image tower answers their looks. `not` holds what a person would write there after a false alert:
the name of what is really there. An alert is right if its box is on a thing that its word means.

Then, of words that mean a thing without being its name, how many a look keeps; and last what looks
cost a pipeline: each pass in a process of its own, with looks and without in turn.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import Literal

import psutil
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from benchmarks.look_alikes import HELD_OUT_SEED, SCENES, SEED, cases
from benchmarks.looking import Tower, told
from benchmarks.rivals import CASES as RIVAL_CASES
from benchmarks.rivals import FPS, ON_ITS_THING, SAME_THING, frames, overlap, truth_of, visits
from benchmarks.rivals import KINDS as RIVAL_KINDS
from streamwatch.config import Config
from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import View
from streamwatch.geometry import Box, iou
from streamwatch.learning.lessons import Lessons
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.rivals import distractors, rivals_of
from streamwatch.prompts.vocabulary import vocabulary
from streamwatch.records import Detection, Event, Finding, Frame, LookRequest, Vectors
from streamwatch.second_look.contrast import contrast, words_for
from streamwatch.second_look.process import TowerProcess
from streamwatch.watch.camera import CameraRules, CameraWatches
from streamwatch.watch.rules import floor
from tests.truth import Truth
from tests.truth.scenes import Scene, Thing

BATCH = 8
CLIP = RIVAL_CASES[0]
"""The whole of it."""
Mode = Literal["off", "note", "require"]


@dataclass(frozen=True, slots=True)
class Variant:
    """How the watches look again; `near` is that of `catalogue.ImageTower`, None for its own."""

    mode: Mode
    with_not: bool = False
    at_least: float = 0.5
    looks: int = 3
    near: float | None = None


NEARS = (0.25, 0.3, 0.35, 0.45, 1.0)
OFF, NOTE, REQUIRE = Variant("off"), Variant("note"), Variant("require")
NOT, NOT_REQUIRE = Variant("off", with_not=True), Variant("require", with_not=True)
COMPARED = {
    "off": OFF,
    "note": NOTE,
    "require": REQUIRE,
    "not": NOT,
    "not + require": NOT_REQUIRE,
}
CURVES = {
    "at_least": {
        f"{share:.2f}": replace(REQUIRE, at_least=share)
        for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    },
    "looks": {str(looks): replace(REQUIRE, looks=looks) for looks in (1, 2, 3, 5)},
    "near": {f"{near:.2f}": replace(REQUIRE, near=near) for near in NEARS},
}
VARIANTS = tuple(
    dict.fromkeys((*COMPARED.values(), *chain(*(c.values() for c in CURVES.values()))))
)


# --- what a second look is worth -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """Frames of one camera and what is in them. `meant` are, by word, the numbers of its visits
    that the word means, `named` all words that mean a visit, the most exact first."""

    group: str
    frames: Sequence[Frame]
    truth: Truth
    meant: Mapping[str, tuple[int, ...]]
    named: Sequence[tuple[str, ...]]

    def on(self, event: Event) -> list[int]:
        """The numbers of the visits whose thing is where the event's box is, the nearest first."""
        overlaps = {
            number: overlap(visit, self.truth.fps, event.position, event.box)
            for number, visit in enumerate(self.truth.visits)
        }
        there = [number for number, share in overlaps.items() if share >= ON_ITS_THING]
        return sorted(there, key=lambda number: -overlaps[number])


def footages(scenes: int) -> Iterator[Footage]:
    truth = truth_of(CLIP.footage)
    of_words = visits(CLIP)
    yield Footage(
        "street.mp4",
        frames(CLIP.footage),
        truth,
        {
            word: tuple(truth.visits.index(visit) for visit in meant)
            for word, meant in of_words.items()
        },
        [(visit.name,) for visit in truth.visits],
    )
    for seed in (SEED, HELD_OUT_SEED):
        for case in cases(seed, scenes):
            shown = tuple(frame for frame, _ in case.scene.frames(FPS))
            truth = case.scene.truth(FPS)
            yield Footage(f"seed {seed}", shown, truth, case.meant, case.named)


@dataclass(slots=True)
class Outcome:
    """Of one variant. `wrong` are the false alerts: the word, and what it was on."""

    found: int = 0
    right: int = 0
    wrong: list[tuple[str, str]] = field(default_factory=list)
    confirmed: Counter[bool] = field(default_factory=Counter)
    """Of the right and of the false alerts, those that looks have confirmed."""
    lost: list[tuple[str, str]] = field(default_factory=list)
    """Visits that are not told: the word, and the thing."""
    told: dict[tuple[str, int], float] = field(default_factory=dict)
    """When, in seconds, each visit of one footage was told first."""

    def add(self, other: Outcome) -> None:
        self.found += other.found
        self.right += other.right
        self.wrong += other.wrong
        self.lost += other.lost
        self.confirmed += other.confirmed


class Bench:
    """The detector, the text encoder and the image tower."""

    def __init__(self, settings: DetectorSettings) -> None:
        self.settings = settings
        self.threshold = settings.threshold
        self.floor = floor(settings.threshold, settings.floor)
        self._detector = load_detector(settings)
        self._embeddings = Embeddings(settings)
        self.tower = Tower(settings)

    def vectors(self, words: Iterable[str]) -> Mapping[str, Vectors]:
        looking = WatchSettings.model_validate({"prompt": "thing", "second_look": "require"})
        more = (*distractors(self.settings), *words_for([looking]))
        return self._embeddings.vectors(tuple(dict.fromkeys((*words, *more))))

    def search(
        self, images: Sequence[Frame], prompts: Iterable[str], vectors: Mapping[str, Vectors]
    ) -> Iterator[tuple[Detection, ...]]:
        words = vocabulary(tuple(dict.fromkeys(prompts)), vectors, ())
        for first in range(0, len(images), BATCH):
            batch = images[first : first + BATCH]
            yield from self._detector.detect([View(f.picture, words, self.floor) for f in batch])

    def outcomes(self, footage: Footage) -> dict[Variant, Outcome]:
        """What each variant makes of what is found in some footage."""
        names = tuple(chain.from_iterable(footage.named))
        vectors = self.vectors((*footage.meant, *names))
        prompts = (*footage.meant, *names, *distractors(self.settings))
        detections = self.search(footage.frames, prompts, vectors)
        found = tuple(zip(footage.frames, detections, strict=True))
        first = self._events(footage, found, OFF, vectors, {})
        rivals = written_after(footage, first)
        outcomes = {
            variant: judged(footage, self._events(footage, found, variant, vectors, rivals))
            for variant in VARIANTS
        }
        self.tower.forget()
        return outcomes

    def _events(
        self,
        footage: Footage,
        found: Sequence[tuple[Frame, tuple[Detection, ...]]],
        variant: Variant,
        vectors: Mapping[str, Vectors],
        rivals: Mapping[str, Sequence[str]],
    ) -> list[Event]:
        watches = {
            word: _watch(word, variant, rivals.get(word, ()) if variant.with_not else ())
            for word in footage.meant
        }
        near = self.tower.near if variant.near is None else variant.near
        compared = {
            word: contrast(watch.prompt, watch.not_, vectors, near)
            for word, watch in watches.items()
            if watch.look is not None
        }

        def find(request: LookRequest) -> Finding:
            return self.tower.find(request, compared[request.watch], variant.at_least)

        return list(told(self.watches(watches, vectors), found, find))

    def watches(
        self,
        settings: Mapping[str, WatchSettings],
        vectors: Mapping[str, Vectors],
        lessons: Lessons | None = None,
    ) -> CameraWatches:
        """Watches without a confidence of their own, as a camera runs them."""
        rules = CameraRules(
            CameraSettings(url="bundled:street", fps=FPS),
            settings,
            dict.fromkeys(settings, self.threshold),
            self.settings.floor,
            None,
            rivals_of(settings, self.settings, vectors),
        )
        numbers = count(1)
        return CameraWatches("bench", rules, lambda: str(next(numbers)), lessons)


def _watch(word: str, variant: Variant, rivals: Sequence[str]) -> WatchSettings:
    look = {"mode": variant.mode, "at_least": variant.at_least, "looks": variant.looks}
    return WatchSettings.model_validate(
        {"prompt": [word], "second_look": look} | ({"not": [*rivals]} if rivals else {})
    )


def written_after(footage: Footage, alerts: Iterable[Event]) -> dict[str, tuple[str, ...]]:
    """What a person would write as `not`, by word, after these alerts: of each thing that the word
    does not mean the first name that is none of what it means too."""
    written: dict[str, dict[str, None]] = defaultdict(dict)
    for event in alerts:
        there = footage.on(event)
        meant = footage.meant[event.watch]
        if event.type != "new" or not there or set(there) & set(meant):
            continue
        own = {event.watch, *chain.from_iterable(footage.named[number] for number in meant)}
        name = next((name for name in footage.named[there[0]] if name not in own), None)
        if name is not None:
            written[event.watch][name] = None
    return {word: tuple(names) for word, names in written.items()}


def judged(footage: Footage, alerts: Sequence[Event]) -> Outcome:
    outcome = Outcome()
    newest = {event.id: event for event in alerts}
    for event in alerts:
        if event.type != "new":
            continue
        there = footage.on(event)
        right = [number for number in there if number in footage.meant[event.watch]]
        assert event.position is not None
        for number in right:
            outcome.told.setdefault((event.watch, number), event.position)
        outcome.right += bool(right)
        if not right:
            thing = footage.named[there[0]][0] if there else "nothing"
            outcome.wrong.append((event.watch, thing))
        look = newest[event.id].second_look
        outcome.confirmed[bool(right)] += look is not None and look.decided == "confirmed"
    outcome.found = len(outcome.told)
    outcome.lost = [
        (word, footage.named[number][0])
        for word, meant in footage.meant.items()
        for number in meant
        if (word, number) not in outcome.told
    ]
    return outcome


@dataclass(slots=True)
class Group:
    """The clip, or the scenes of a seed."""

    visits: int = 0
    outcomes: dict[Variant, Outcome] = field(
        default_factory=lambda: {variant: Outcome() for variant in VARIANTS}
    )
    later: list[float] = field(default_factory=list)
    """By how many seconds `require` tells each visit later, of those that it tells."""


def measured(bench: Bench, scenes: int) -> dict[str, Group]:
    groups: dict[str, Group] = defaultdict(Group)
    total = 1 + 2 * scenes
    for footage in progress(footages(scenes), "looking", total=total, transient=True):
        group = groups[footage.group]
        group.visits += sum(len(meant) for meant in footage.meant.values())
        outcomes = bench.outcomes(footage)
        for variant, outcome in outcomes.items():
            group.outcomes[variant].add(outcome)
        now, before = outcomes[REQUIRE].told, outcomes[OFF].told
        group.later += [at - before[visit] for visit, at in now.items() if visit in before]
    return groups


def worth(groups: Mapping[str, Group]) -> Table:
    table = Table(title="false alerts, and visits found")
    for heading in ("", "", "visits found", "false alerts", "false ones removed"):
        table.add_column(heading, justify="right")
    for title, group in groups.items():
        for name, variant in COMPARED.items():
            outcome = group.outcomes[variant]
            table.add_row(
                title,
                name,
                f"{outcome.found} of {group.visits}",
                str(len(outcome.wrong)),
                _removed(group, variant),
            )
        table.add_section()
    return table


def noted(groups: Mapping[str, Group]) -> Table:
    table = Table(title="alerts with `note`, and those of them that a look confirms")
    for heading in ("", "right", "confirmed", "false", "confirmed"):
        table.add_column(heading, justify="right")
    for title, group in groups.items():
        outcome = group.outcomes[NOTE]
        right, wrong = outcome.confirmed[True], outcome.confirmed[False]
        table.add_row(title, *map(str, (outcome.right, right, len(outcome.wrong), wrong)))
    return table


def later(groups: Mapping[str, Group]) -> Table:
    table = Table(title="visits that `require` tells, and how much later than `off`")
    for heading in ("", "visits", "at once", "within 1 s", "the latest"):
        table.add_column(heading, justify="right")
    for title, group in groups.items():
        at_once = sum(seconds < 0.5 / FPS for seconds in group.later)
        soon = sum(seconds < 1 + 0.5 / FPS for seconds in group.later)
        latest = f"{max(group.later, default=0):.1f} s"
        table.add_row(title, *map(str, (len(group.later), at_once, soon)), latest)
    return table


def curve(setting: str, groups: Mapping[str, Group]) -> Table:
    table = Table(title=f"{setting}, with `require`: visits kept, false alerts removed")
    for heading in (setting, *groups):
        table.add_column(heading, justify="right")
    for value, variant in CURVES[setting].items():
        table.add_row(value, *(_kept_and_removed(group, variant) for group in groups.values()))
    return table


def differences(groups: Mapping[str, Group]) -> Table:
    """What `require` loses, and what it lets through."""
    table = Table(title="with `require`: the word, and the thing")
    for heading in ("", "visits lost", "false alerts left"):
        table.add_column(heading)
    for title, group in groups.items():
        off, now = group.outcomes[OFF], group.outcomes[REQUIRE]
        lost = Counter(now.lost) - Counter(off.lost)
        table.add_row(title, _pairs(lost), _pairs(Counter(now.wrong)))
    return table


def _pairs(pairs: Counter[tuple[str, str]]) -> str:
    return ", ".join(
        f"{word}: {thing}" + (f" ({times})" if times > 1 else "")
        for (word, thing), times in sorted(pairs.items())
    )


def _kept_and_removed(group: Group, variant: Variant) -> str:
    found = group.outcomes[variant].found, group.outcomes[OFF].found
    return "{} of {}, ".format(*found) + _removed(group, variant)


def _removed(group: Group, variant: Variant) -> str:
    before, now = (len(group.outcomes[which].wrong) for which in (OFF, variant))
    return f"{1 - now / before:.0%}" if before else ""


# --- words for kinds -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """Words that mean a thing without being its name, and how it is drawn."""

    words: tuple[str, ...]
    sprites: tuple[str, ...]
    height: float
    colors: tuple[str | None, ...] = (None,)


PAINTED = (None, "red")
KINDS = {
    "dog": Kind(RIVAL_KINDS["dog"], ("dog",), 42),
    "car": Kind(RIVAL_KINDS["car"], ("automobile",), 58, PAINTED),
    "truck": Kind(RIVAL_KINDS["truck"], ("delivery_truck",), 84, PAINTED),
    "suitcase": Kind(RIVAL_KINDS["suitcase"], ("luggage",), 46),
    "person": Kind(
        (
            "adult", "burglar", "businessman", "commuter", "courier", "customer", "employee",
            "gardener", "guest", "guy", "hiker", "human", "intruder", "jogger", "lady",
            "neighbour", "passer-by", "postman", "somebody", "stranger", "student", "teenager",
            "thief", "tourist", "visitor", "worker",
        ),
        ("man_walking", "woman_walking", "man_running"),
        88,
    ),
    "cat": Kind(
        ("animal", "feline", "kitten", "pet", "stray cat", "tabby", "tomcat"), ("cat",), 40
    ),
    "parcel": Kind(
        ("cardboard box", "carton", "crate", "delivery", "package", "shipment"), ("package",), 38
    ),
    "bus": Kind(
        ("coach", "double decker", "minibus", "school bus", "shuttle", "vehicle"), ("bus",), 92
    ),
    "backpack": Kind(
        ("bag", "knapsack", "rucksack", "satchel", "school bag"), ("backpack",), 42, PAINTED
    ),
    "cyclist": Kind(
        ("bicycle", "bicyclist", "bike", "bike rider", "biker", "man on a bike", "rider"),
        ("person_biking",),
        82,
    ),
}  # fmt: skip
"""By a thing's name."""
LIGHTS = (1.0, 0.6)


@dataclass(frozen=True, slots=True)
class Reading:
    """A word found on its thing; `kept` tells for each of `NEARS` whether a look confirms it, and
    `beaten_by` what the look takes it for with the image tower's own."""

    word: str
    kept: tuple[bool, ...]
    beaten_by: str | None


def readings(bench: Bench, kind: Kind, vectors: Mapping[str, Vectors]) -> Iterator[Reading]:
    """A thing by itself, by day and at dusk, with each word alone, at the first look."""
    shown = list(_pictures(kind))
    for word in kind.words:
        watch = _watch(word, REQUIRE, ())
        assert watch.look is not None
        at_least = watch.look.at_least
        compared = {near: contrast(watch.prompt, (), vectors, near) for near in NEARS}
        found = bench.search([frame for frame, _ in shown], (word,), vectors)
        for (frame, boxes), detections in zip(shown, found, strict=True):
            for thing in boxes:
                box = _surest(detections, thing, bench.threshold)
                if box is None:
                    continue
                looked = {
                    n: bench.tower.share(frame.picture.bgr(), box, compared[n]) for n in NEARS
                }
                kept = tuple(share >= at_least for share, _ in looked.values())
                yield Reading(word, kept, looked[bench.tower.near][1])
    bench.tower.forget()


def _surest(detections: Iterable[Detection], thing: Box, threshold: float) -> Box | None:
    """The box of the surest detection of a thing."""
    on = [
        one
        for one in detections
        if one.confidence >= threshold and iou(one.box, thing) >= SAME_THING
    ]
    return max(on, key=lambda one: one.confidence).box if on else None


def kinds(bench: Bench) -> Table:
    table = Table(title="words that mean a thing without being its name: found, kept by a look")
    for heading in ("thing", "found", *(f"near {near}" for near in NEARS)):
        table.add_column(heading, justify="right")
    table.add_column(f"lost with near {bench.tower.near}, to what")
    vectors = bench.vectors(word for kind in KINDS.values() for word in kind.words)
    found = {
        name: list(readings(bench, kind, vectors))
        for name, kind in progress(KINDS.items(), "reading", transient=True)
    }
    own = NEARS.index(bench.tower.near)
    for name, these in found.items():
        lost = Counter((one.word, one.beaten_by or "") for one in these if not one.kept[own])
        table.add_row(name, *_counts(these), _pairs(lost))
    table.add_section()
    table.add_row("all of them", *_counts([one for these in found.values() for one in these]))
    return table


def _counts(found: Sequence[Reading]) -> Iterator[str]:
    """How many, and how many of them are kept with each of `NEARS`."""
    yield str(len(found))
    for place in range(len(NEARS)):
        yield str(sum(one.kept[place] for one in found))


def _pictures(kind: Kind) -> Iterator[tuple[Frame, list[Box]]]:
    """Its sprites side by side in each light, and where they are."""
    drawn = [(sprite, color) for color in kind.colors for sprite in kind.sprites]
    places = range(110, 640, 200)
    things = tuple(
        Thing("", sprite, kind.height * (1 - 0.1 * number), ((0, x, 320), (1, x, 320)), color)
        for number, ((sprite, color), x) in enumerate(zip(drawn, places, strict=False))
    )
    for seed, light in enumerate(LIGHTS):
        frame, seen = next(Scene(things, 1, light=light, seed=seed).frames(FPS))
        yield frame, [thing.box for thing in seen]


# --- what it costs -------------------------------------------------------------------------------


LIVE_FPS = 15
LIVE_CAMERAS = 3
"""More than two cores can do, so that looks take from what is analysed, if from anything."""
LIVE_SECONDS = 25.0
"""Of each pass with live cameras; a file is read to its end."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the clip: how long it took, and the memory at its end."""

    analysed: int
    seconds: float
    looks: int
    look_ms: float | None
    daemon_mb: float
    tower_mb: float | None


def one_pass(mode: Mode, live: bool) -> Pass:
    """In this process, which has done nothing else."""
    cameras, fps = (LIVE_CAMERAS, LIVE_FPS) if live else (1, FPS)
    camera = {"url": "bundled:street", "fps": fps, "pace": live}
    config = Config.model_validate(
        {
            "detector": {"model": "toybox"},
            "cameras": {f"street-{number}": camera for number in range(cameras)},
            "watches": {
                word.replace(" ", "-"): {"prompt": word, "second_look": mode}
                for word in CLIP.prompts
            },
        }
    )
    towers: list[int] = []
    with Pipeline(config, publish=lambda _: None) as pipeline:
        began = time.monotonic()
        for looker in pipeline.current.looks.lookers.by_key.values():
            if isinstance(looker.by, TowerProcess) and looker.by.pid is not None:
                towers.append(looker.by.pid)
        pipeline.wait(LIVE_SECONDS if live else None)
        seconds = time.monotonic() - began
        counts = pipeline.counts
        return Pass(
            counts.analysed.total(),
            seconds,
            counts.look.count,
            counts.look.percentiles_ms()[0],
            _resident_mb(psutil.Process()),
            _resident_mb(psutil.Process(towers[0])) if towers else None,
        )


def _resident_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


def passes(live: bool, rounds: int) -> dict[Mode, list[Pass]]:
    """Without looks and with them in turn."""
    modes: tuple[Mode, ...] = ("off", "require")
    made: dict[Mode, list[Pass]] = {mode: [] for mode in modes}
    spawn = multiprocessing.get_context("spawn")
    for number in progress(range(rounds), "running", transient=True):
        # Whoever comes second may find the machine warmer, so they take turns at that too.
        for mode in modes if number % 2 == 0 else reversed(modes):
            with ProcessPoolExecutor(1, mp_context=spawn) as alone:
                made[mode].append(alone.submit(one_pass, mode, live).result())
    return made


def cost(rounds: int) -> Table:
    watches = len(CLIP.prompts)
    table = Table(title=f"a pipeline on the clip, {watches} watches; medians of {rounds} passes")
    for heading in (
        "", "frames a second, off", "require", "their ratio", "looks", "ms a look",
        "its memory, off", "require", "the tower's",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for title, live in ((f"{LIVE_CAMERAS} cameras", True), ("a file, pace: false", False)):
        made = passes(live, rounds)
        off, on = ([one.analysed / one.seconds for one in made[m]] for m in ("off", "require"))
        ratios = sorted(b / a for a, b in zip(off, on, strict=True))
        looking = made["require"]
        table.add_row(
            title,
            f"{statistics.median(off):.2f}",
            f"{statistics.median(on):.2f}",
            f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})",
            f"{statistics.median(one.looks for one in looking):.0f}",
            f"{statistics.median(one.look_ms or 0 for one in looking):.1f}",
            f"{statistics.median(one.daemon_mb for one in made['off']):.0f} MB",
            f"{statistics.median(one.daemon_mb for one in looking):.0f} MB",
            f"{statistics.median(one.tower_mb or 0 for one in looking):.0f} MB",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=12, help=f"of each seed, {SCENES} at most")
    parser.add_argument("--rounds", type=int, default=4, help="passes with looks, and without")
    arguments = parser.parse_args()
    console = Console()
    settings = DetectorSettings(model="toybox")
    bench = Bench(settings)
    groups = measured(bench, arguments.scenes)
    for table in (
        worth(groups),
        noted(groups),
        later(groups),
        *(curve(setting, groups) for setting in CURVES),
        differences(groups),
        kinds(bench),
        cost(arguments.rounds),
    ):
        console.print(table)
    console.print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
