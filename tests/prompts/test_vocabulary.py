"""Which prompts each camera is searched for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from streamwatch.config import Config
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.vocabulary import vocabularies
from streamwatch.records import TEXT_WIDTH, Vectors
from tests.parts.vectors import at_angles


class Asked(Embeddings):
    """Notes what it is asked for; all prompts are far from each other."""

    def __init__(self) -> None:
        super().__init__(DetectorSettings(model="toybox"))
        self.asked: list[str] = []

    def vectors(self, prompts: Sequence[str]) -> dict[str, Vectors]:
        self.asked += prompts
        return at_angles({prompt: 70 * n for n, prompt in enumerate(prompts)})


def config(watches: Mapping[str, Any], **detector: Any) -> Config:
    return Config.model_validate(
        {
            "detector": {"model": "toybox", "distractors": False, **detector},
            "cameras": {"porch": {"url": "/dev/video0"}, "yard": {"url": "/dev/video1"}},
            "watches": watches,
        }
    )


@pytest.fixture
def embeddings(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Asked()


def test_the_order_is_prompts_then_companions_then_rivals(embeddings: Asked) -> None:
    settings = config(
        {
            "cars": {"prompt": "red car", "not": ["bus", "truck"]},
            "bags": {"prompt": "bag", "with": "cart", "without": ["person", "dog"]},
            "trucks": {"prompt": ["truck", "person"]},
        }
    )
    found = vocabularies(settings, embeddings, known={})
    porch = found.of_cameras["porch"]
    assert porch.prompts == ("red car", "bag", "truck", "person", "cart", "dog", "bus")
    for prompt, row in zip(porch.prompts, porch.vectors, strict=True):
        assert np.array_equal(row, found.vectors[prompt])
    assert found.rivals == {"cars": ("bus", "truck"), "bags": (), "trucks": ()}


def test_a_camera_is_searched_for_its_own_watches_alone(embeddings: Asked) -> None:
    settings = config(
        {
            "cars": {"prompt": "red car", "cameras": ["porch"], "not": "bus"},
            "dogs": {"prompt": "dog", "enabled": False},
        }
    )
    found = vocabularies(settings, embeddings, known={})
    assert found.of_cameras["porch"].prompts == ("red car", "bus")
    assert found.of_cameras["yard"].prompts == ()
    assert found.of_cameras["yard"].vectors.shape == (0, TEXT_WIDTH)
    assert embeddings.asked == ["red car", "bus"]


def test_only_unknown_prompts_are_encoded(embeddings: Asked) -> None:
    known = vocabularies(config({"cars": {"prompt": "car"}}), embeddings, known={}).vectors
    embeddings.asked.clear()
    both = config({"cars": {"prompt": ["car", "van"]}})
    assert set(vocabularies(both, embeddings, known).vectors) == {"car", "van"}
    assert embeddings.asked == ["van"]


def test_distractors_are_searched_for_and_not_counted_as_named(embeddings: Asked) -> None:
    found = vocabularies(
        config({"cars": {"prompt": "zebra"}}, distractors=True), embeddings, known={}
    )
    assert found.named == ("zebra",)
    assert len(found.vectors) > 1
    assert set(found.of_cameras["porch"].prompts) == {"zebra", *found.rivals["cars"]}


def test_without_a_watch_nothing_is_encoded(embeddings: Asked) -> None:
    found = vocabularies(config({}, distractors=True), embeddings, known={})
    assert (found.named, dict(found.vectors), embeddings.asked) == ((), {}, [])
