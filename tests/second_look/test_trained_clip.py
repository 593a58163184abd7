"""CLIP's whole way, from a folder to a finding, with weights that know drawn things.

The official weights have to be fetched, which no test does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamwatch.config import DetectorSettings
from streamwatch.config.catalogue import ENCODERS
from streamwatch.models.provision import image_tower
from streamwatch.pixels import Pixels
from streamwatch.prompts.encoders.transformers_text import ClipText
from streamwatch.records import LookRequest, Vectors
from streamwatch.second_look.contrast import contrast
from streamwatch.second_look.kinds import all_rivals
from streamwatch.second_look.looking import ByWords
from streamwatch.second_look.process import TowerProcess
from tests.parts import made_once
from tests.parts.trained_clip import PAINTED, PLAIN, drawn, things, trained_clip
from tests.truth.scenes import HUES, Scene, Thing

pytestmark = pytest.mark.slow(seconds=60)

EACH = 3
"""Crops of each thing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "trained-clip", trained_clip)


@pytest.fixture(scope="module")
def tower(folder: Path) -> Iterator[TowerProcess]:
    found, path = image_tower(DetectorSettings(model="mine.pt", text_encoder=str(folder)))
    process = TowerProcess(found.kind, path)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def vectors(folder: Path) -> dict[str, Vectors]:
    texts = tuple(dict.fromkeys((*things(), *all_rivals())))
    return dict(zip(texts, ClipText(folder).encode(texts), strict=True))


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(1)


def look(tower: TowerProcess, vectors: dict[str, Vectors], prompt: str, *against: str) -> ByWords:
    clip = ENCODERS["clip"].image
    assert clip is not None
    return ByWords(tower, contrast((prompt,), against, vectors, clip.near), at_least=0.5)


def other_colors(color: str) -> list[str]:
    return [other for other in HUES if other != color]


def test_a_thing_is_confirmed_where_it_is_what_the_words_say(
    tower: TowerProcess, vectors: dict[str, Vectors], random: np.random.Generator
) -> None:
    shares = []
    for prompt, (sprite, color) in things().items():
        words = look(tower, vectors, prompt).contrast
        for _ in range(EACH):
            vector, scale = tower.encode(drawn(sprite, color, random))
            shares.append(words.share(vector, scale)[0])
    assert np.mean(np.array(shares) >= 0.5) >= 0.9
    assert np.median(shares) >= 0.9


def test_a_thing_of_another_kind_is_not_confirmed(
    tower: TowerProcess, vectors: dict[str, Vectors], random: np.random.Generator
) -> None:
    """A runner is no wrong man, so people are not held against each other."""
    people = {"runner", "man", "woman", "cyclist"}
    shares = []
    for prompt in ("red car", "blue bus", "dog", "parcel", "runner", "yellow suitcase"):
        words = look(tower, vectors, prompt).contrast
        for name in (*PAINTED, *PLAIN):
            if name in prompt or {name, prompt} <= people:
                continue
            sprite = (PAINTED | PLAIN)[name]
            color = "green" if name in PAINTED else None
            vector, scale = tower.encode(drawn(sprite, color, random))
            shares.append(words.share(vector, scale)[0])
    assert np.mean(np.array(shares) < 0.5) >= 0.9
    assert np.median(shares) <= 0.1


def test_a_thing_in_another_colour_is_not_confirmed_where_that_is_held_against_it(
    tower: TowerProcess, vectors: dict[str, Vectors], random: np.random.Generator
) -> None:
    shares = []
    for name, sprite in PAINTED.items():
        for color in HUES:
            against = (f"{other} {name}" for other in other_colors(color))
            words = look(tower, vectors, f"{color} {name}", *against).contrast
            for other in other_colors(color)[:2]:
                vector, scale = tower.encode(drawn(sprite, other, random))
                shares.append(words.share(vector, scale)[0])
    assert np.mean(np.array(shares) < 0.5) >= 0.9
    assert np.median(shares) <= 0.1


def test_a_frame_with_a_box_becomes_a_finding(
    tower: TowerProcess, vectors: dict[str, Vectors]
) -> None:
    foot = 160.0, 160.0
    scene = Scene((Thing("", "automobile", 60, ((0, *foot), (1, *foot)), "red"),), 1, (320, 180))
    image, (seen,) = scene.at(0)
    request = LookRequest("street", "cars", 1, Pixels(image), seen.box)
    right = look(tower, vectors, "red car", "blue car")(request)
    wrong = look(tower, vectors, "blue car", "red car")(request)
    assert (right.by, right.confirms, right.beaten_by) == ("clip", True, None)
    assert (wrong.by, wrong.confirms, wrong.beaten_by) == ("clip", False, "red car")
