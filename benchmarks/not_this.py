"""What one "wrong" does: false alerts of a second pass that it holds back, and right ones it costs.

    python -m benchmarks.not_this [--scenes 12]

The drawn scenes of `look_alikes.py` of a seed that nothing was tuned on, and those of
`tests/truth/mistaken.py`. The real detector and the real watches go over each scene twice, the
second time with other noise. A look by the real image tower confirms everything that is not like
what was taught, so that nothing but that holds an alert back. After the first pass every false
alert is taught wrong, once a watch at most, and then, as another variant, three right ones of the
watch too. It is done for several bounds of how alike two crops must be.
"""

from __future__ import annotations

import argparse
import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import psutil
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from benchmarks.look_alikes import HELD_OUT_SEED, cases
from benchmarks.looking import told
from benchmarks.rivals import FPS
from benchmarks.second_look import Bench, Footage
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.learning.learnt import Taught, ToldVisit, Vote
from streamwatch.learning.lessons import Unkept
from streamwatch.learning.votes import Votes
from streamwatch.prompts.rivals import distractors
from streamwatch.records import Detection, Event, Finding, Frame, LookRequest, Vectors
from streamwatch.second_look.contrast import contrast
from tests.truth.mistaken import DOG_WORDS, DOGS_AND_CATS, HAMSTER, HAMSTER_WORDS
from tests.truth.scenes import Scene

BOUNDS = (0.7, 0.75, 0.8, 0.85, 0.9)
RIGHT_ONES = 3
OTHER_NOISE = 1000

Found = Sequence[tuple[Frame, tuple[Detection, ...]]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A scene; by word, the numbers of its things that the word means."""

    scene: Scene
    meant: Mapping[str, tuple[int, ...]]


@dataclass(slots=True)
class Tally:
    """Of the second pass, of watches that were taught something."""

    false: int = 0
    held_back: int = 0
    right: int = 0
    lost: int = 0

    def add(self, other: Tally) -> None:
        self.false += other.false
        self.held_back += other.held_back
        self.right += other.right
        self.lost += other.lost


class Notes(Unkept):
    """The visits that were told, by id."""

    def __init__(self) -> None:
        super().__init__()
        self.visits: dict[str, ToldVisit] = {}

    def told(self, visit: ToldVisit, /) -> None:
        self.visits[visit.id] = visit


@dataclass(slots=True, eq=False)
class Pass:
    """One of a scene: what was found, and what the watches told of it with these votes."""

    bench: Bench
    footage: Footage
    vectors: Mapping[str, Vectors]
    found: Found
    votes: Votes = field(default_factory=Votes)
    same: float = 1.0

    def run(self) -> tuple[list[Event], dict[str, ToldVisit]]:
        """The first alert or rejection of each visit, and the visits that were told."""
        look = {"mode": "require", "at_least": 0.0001, "looks": 3}
        watches = {
            word: WatchSettings.model_validate({"prompt": [word], "second_look": look})
            for word in self.footage.meant
        }
        compared = {word: contrast((word,), (), self.vectors, 1.0) for word in watches}

        def find(request: LookRequest) -> Finding:
            vector = self.bench.tower.vector(request.picture.bgr(), request.box)
            taught = Taught() if self.same >= 1 else self.votes.taught(request.watch, "")
            by = taught.wrong_like(vector, compared[request.watch].own, self.same)
            return Finding("clip", by is None, score=1.0, taught_by=by, vector=vector)

        notes = Notes()
        made = self.bench.watches(watches, self.vectors, notes)
        events = [e for e in told(made, self.found, find) if e.type in ("new", "rejected")]
        return events, notes.visits


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=12)
    arguments = parser.parse_args()
    console = Console(highlight=False)
    bench = Bench(DetectorSettings(model="toybox"))
    groups = {
        f"{arguments.scenes} scenes of look-alikes": [
            Subject(case.scene, case.meant) for case in cases(HELD_OUT_SEED, arguments.scenes)
        ],
        "hamster, cat": [_mistaken(HAMSTER, HAMSTER_WORDS)],
        "dogs and cats": [_mistaken(DOGS_AND_CATS, DOG_WORDS)],
    }
    table = Table(title="after one wrong alert of a watch, in a second pass with other noise")
    for heading in ("", "alike from", "false alerts held back", "right ones lost", "", ""):
        table.add_column(heading, justify="right")
    table.columns[4].header = "held back, right ones taught too"
    table.columns[5].header = "lost"
    for title, subjects in groups.items():
        tallies: dict[tuple[float, bool], Tally] = defaultdict(Tally)
        for subject in progress(subjects, title, console=console, transient=True):
            for key, tally in _taught(bench, subject).items():
                tallies[key].add(tally)
        for same in BOUNDS:
            row = [title, f"{same:.2f}"]
            for with_right in (False, True):
                tally = tallies[same, with_right]
                row += [
                    f"{tally.held_back} of {tally.false}",
                    f"{tally.lost} of {tally.right}",
                ]
            table.add_row(*row)
            title = ""
        table.add_section()
    console.print(table)
    console.print(f"{platform.machine()}, {psutil.cpu_count()} cores, {platform.platform()}")


def _mistaken(scene: Scene, words: Iterable[str]) -> Subject:
    return Subject(
        scene,
        {
            word: tuple(n for n, thing in enumerate(scene.things) if thing.name == word)
            for word in words
        },
    )


def _taught(bench: Bench, subject: Subject) -> dict[tuple[float, bool], Tally]:
    """By the bound, and whether right ones were taught too."""
    first, second = _passes(bench, subject)
    events, visits = first.run()
    wrong: dict[str, Event] = {}
    right: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if _is_right(first.footage, event):
            right[event.watch].append(event)
        else:
            wrong.setdefault(event.watch, event)
    tallies = {}
    for with_right in (False, True):
        votes = [Vote(visits[event.id], right=False, at=0.0) for event in wrong.values()]
        if with_right:
            some = chain.from_iterable(right[watch][:RIGHT_ONES] for watch in wrong)
            votes += [Vote(visits[event.id], right=True, at=0.0) for event in some]
        taught = Votes()
        taught.put(votes)
        for same in BOUNDS:
            events, _ = replace(second, votes=taught, same=same).run()
            tallies[same, with_right] = _tally(second.footage, events, wrong)
    bench.tower.forget()
    return tallies


def _passes(bench: Bench, subject: Subject) -> Iterator[Pass]:
    vectors = bench.vectors(subject.meant)
    for noise in (0, OTHER_NOISE):
        scene = replace(subject.scene, seed=subject.scene.seed + noise)
        shown = tuple(frame for frame, _ in scene.frames(FPS))
        footage = Footage("", shown, scene.truth(FPS), subject.meant, [])
        prompts = (*subject.meant, *distractors(bench.settings))
        found = tuple(zip(shown, bench.search(shown, prompts, vectors), strict=True))
        yield Pass(bench, footage, vectors, found)


def _tally(footage: Footage, events: Iterable[Event], taught: Mapping[str, object]) -> Tally:
    tally = Tally()
    for event in events:
        if event.watch not in taught:
            continue
        held_back = event.type == "rejected"
        if _is_right(footage, event):
            tally.right += 1
            tally.lost += held_back
        else:
            tally.false += 1
            tally.held_back += held_back
    return tally


def _is_right(footage: Footage, event: Event) -> bool:
    return any(number in footage.meant[event.watch] for number in footage.on(event))


if __name__ == "__main__":
    main()
