"""Drawn scenes for `benchmarks.second_look`: things that pass, and words for their look-alikes.

Made by a seed, and fixed before anything was tuned on them. In each scene a handful of things pass
one after another, in other sizes, colours, speeds and lights; a camera there is asked for words
that mean some of them, and for such that mean none: another colour of the same thing, another
animal, another vehicle.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.truth.scenes import HUES, Scene, Thing

SEED = 2026
HELD_OUT_SEED = 2027
"""Of scenes that nobody looked at while anything was tuned."""
SCENES = 24
PASSES = 5
"""Things in a scene."""
WRONG_WORDS = 10
"""Words in a scene that mean nothing in it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A sprite: the words that mean it, and words for what it may be taken for.

    `heights` are the least and the greatest in pixels. `painted` says whether it comes in colours;
    then `{}` in the words stands for one.
    """

    sprite: str
    meant: tuple[str, ...]
    look_alikes: tuple[str, ...]
    heights: tuple[float, float]
    painted: bool = False


VEHICLES = (
    "tractor", "motorcycle", "fire truck", "ambulance", "caravan", "train", "stroller", "airplane",
    "boat", "shopping cart",
)  # fmt: skip
ANIMALS = (
    "horse", "sheep", "cow", "fox", "wolf", "pig", "goat", "rabbit", "bear", "elephant", "giraffe",
    "bird", "deer", "monkey",
)  # fmt: skip
BAGS = ("washing machine", "mailbox", "chair", "barrel", "bucket", "drum")

KINDS = (
    Kind("automobile", ("{} car", "car"), VEHICLES, (40, 70), painted=True),
    Kind("delivery_truck", ("{} truck", "truck"), VEHICLES, (60, 95), painted=True),
    Kind("bus", ("bus",), VEHICLES, (70, 105)),
    Kind("dog", ("dog",), ANIMALS, (30, 50)),
    Kind("cat", ("cat",), ANIMALS, (28, 46)),
    Kind("package", ("parcel", "box"), BAGS, (28, 44)),
    Kind("luggage", ("suitcase",), BAGS, (34, 56)),
    Kind("backpack", ("{} backpack", "backpack"), BAGS, (32, 48), painted=True),
    Kind("man_walking", ("pedestrian", "person", "man"), (*ANIMALS, "statue"), (70, 105)),
    Kind("woman_walking", ("pedestrian", "person", "woman"), (*ANIMALS, "statue"), (70, 105)),
    Kind("man_running", ("runner", "person", "man"), (*ANIMALS, "statue"), (70, 105)),
    Kind("person_biking", ("cyclist", "person"), ("motorcycle", "wheelchair", "horse"), (66, 95)),
)
COLORS = tuple(HUES)


@dataclass(frozen=True, slots=True)
class Case:
    """A scene, and by word the numbers of its things that the word means; none for a look-alike.

    `named` are, by the number of a thing, all words that mean it, the most exact first.
    """

    scene: Scene
    meant: dict[str, tuple[int, ...]]
    named: tuple[tuple[str, ...], ...]


def cases(seed: int = SEED, scenes: int = SCENES) -> Iterator[Case]:
    """The same each time for a seed; fewer `scenes` are the first of them."""
    for number in range(scenes):
        yield _case(seed, number)


def _case(seed: int, number: int) -> Case:
    chance = random.Random(f"{seed} {number}")
    kinds = chance.sample(KINDS, PASSES)
    things: list[Thing] = []
    named: list[tuple[str, ...]] = []
    for place, kind in enumerate(kinds):
        color = chance.choice(COLORS) if kind.painted else None
        things.append(_passing(chance, kind, place * 4.0, color))
        named.append(tuple(word.format(color) for word in kind.meant))
    words = [set(names) for names in named]
    meant: dict[str, tuple[int, ...]] = dict.fromkeys(_look_alikes(chance, kinds, words), ())
    for means in words:
        word = chance.choice(sorted(means))
        meant[word] = tuple(place for place, other in enumerate(words) if word in other)
    scene = Scene(
        tuple(things),
        things[-1].path[-1][0] + 4.5,
        light=chance.choice((1.0, 1.0, 0.7, 0.45)),
        seed=number,
    )
    return Case(scene, meant, tuple(named))


def _passing(chance: random.Random, kind: Kind, start: float, color: str | None) -> Thing:
    """Something that crosses the picture within six to nine seconds, at another height each."""
    height = chance.uniform(*kind.heights)
    takes, y = chance.uniform(6, 9), chance.uniform(270, 350)
    edges = (720.0, -80.0)
    flip = chance.random() < 0.5
    begin, end = reversed(edges) if flip else edges
    path = ((start, begin, y), (start + takes, end, y))
    return Thing(kind.meant[0].format(color), kind.sprite, height, path, color=color, flip=flip)


def _look_alikes(chance: random.Random, kinds: list[Kind], words: list[set[str]]) -> list[str]:
    """Words that mean nothing of the scene: other colours of its things, and their look-alikes."""
    there: set[str] = set().union(*words)
    wrong = {
        word.format(color)
        for kind in kinds
        if kind.painted
        for word in kind.meant[:1]
        for color in chance.sample(COLORS, 3)
    }
    wrong |= {word for kind in kinds for word in kind.look_alikes}
    wrong -= there
    return chance.sample(sorted(wrong), WRONG_WORDS)
