"""Which prompts a watch has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.rivals import KINDS
from streamwatch.config.catalogue import ENCODERS
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.rivals import distractors, distractors_for, rivals_of
from tests.parts.vectors import at_angles

VECTORS = at_angles(
    {
        "dog": 0, "poodle": 20, "wolf": 59, "lion": 61, "car": 90, "tree house": 90,
        # What holds a distractor's name is far from it, so that only the name can tell.
        "hot dog": 90, "doghouse": 90, "red car": 0, "RED CAR": 0, "car-park": 0, "carport": 0,
        "house tree": 0, "big tree house": 0,
    }
)  # fmt: skip
SPARED_FROM = 0.5


@pytest.mark.parametrize(
    ("prompts", "among", "rivals"),
    [
        pytest.param(["poodle"], ["dog"], [], id="near in meaning"),
        pytest.param(["wolf"], ["dog"], [], id="just near enough"),
        pytest.param(["lion"], ["dog"], ["dog"], id="just too far"),
        pytest.param(["lion", "wolf"], ["dog"], [], id="near to one of its prompts"),
        pytest.param(["dog"], ["dog", "car"], ["car"], id="the same"),
        pytest.param(["red car"], ["car"], [], id="a word of it"),
        pytest.param(["RED CAR"], ["car"], [], id="a word of it in upper case"),
        pytest.param(["car-park"], ["car"], [], id="a word of it before a dash"),
        pytest.param(["hot dog"], ["dog"], [], id="a word of it, whatever it means there"),
        pytest.param(["lion", "red car"], ["car", "dog"], [], id="a word of one of its prompts"),
        pytest.param(["carport"], ["car"], ["car"], id="the beginning of a word"),
        pytest.param(["doghouse"], ["dog"], ["dog"], id="the beginning of a word again"),
        pytest.param(["big tree house"], ["tree house"], [], id="two words of it"),
        pytest.param(["house tree"], ["tree house"], ["tree house"], id="in another order"),
        pytest.param(["lion"], [], [], id="none to choose from"),
    ],
)
def test_a_distractor_that_may_mean_the_prompt_is_no_rival(
    prompts: Sequence[str], among: Sequence[str], rivals: Sequence[str]
) -> None:
    assert distractors_for(prompts, VECTORS, among, SPARED_FROM) == tuple(rivals)


def test_rivals_are_those_of_not_and_the_distractors_each_once() -> None:
    settings = DetectorSettings(model="toybox")
    vectors = at_angles({"dog": 0, "car": 0, "truck": 0, "suitcase": 80, "horse": 90})
    watches = {
        "a": WatchSettings.model_validate({"prompt": "horse", "not": ["cow", "dog"]}),
        "b": WatchSettings.model_validate({"prompt": "suitcase"}),
    }
    assert rivals_of(watches, settings, vectors) == {
        "a": ("cow", "dog", "car", "truck"),
        "b": ("dog", "car", "truck"),
    }
    off = settings.model_copy(update={"distractors": False})
    assert rivals_of(watches, off, vectors) == {"a": ("cow", "dog"), "b": ()}


def test_an_encoder_from_a_folder_has_no_distractors() -> None:
    settings = DetectorSettings(model="yolov8s-worldv2", text_encoder="/srv/clip")
    assert distractors(settings) == ()
    watches = {"a": WatchSettings.model_validate({"prompt": "horse", "not": "cow"})}
    vectors = at_angles({"horse": 0, "cow": 0})
    assert rivals_of(watches, settings, vectors) == {"a": ("cow",)}


@pytest.mark.parametrize(
    ("model", "encoder"),
    [
        ("toybox", "minilm"),
        ("yolov8s-worldv2", "clip"),
        ("yoloe-11s-seg", "mobileclip"),
        ("yoloe-26s-seg", "mobileclip2"),
    ],
)
def test_every_encoder_of_the_catalogue_has_distractors(model: str, encoder: str) -> None:
    settings = DetectorSettings(model=model)
    assert distractors(settings) == ENCODERS[encoder].distractors != ()
    assert 0 < ENCODERS[encoder].spared_from_cosine < 1
    assert distractors(settings.model_copy(update={"distractors": False})) == ()


@pytest.mark.usefixtures("encoded_here")
def test_the_bound_of_minilm_spares_most_words_for_a_distractor() -> None:
    """Those that it does not spare `toybox` does not find, see benchmarks/rivals.py."""
    settings = DetectorSettings(model="toybox")
    words = {word for kinds in KINDS.values() for word in kinds}
    vectors = Embeddings(settings).vectors((*sorted(words), *distractors(settings)))
    spared_from_cosine = ENCODERS["minilm"].spared_from_cosine
    beaten = {
        kind: [
            word for word in of_kind if distractors_for([word], vectors, [kind], spared_from_cosine)
        ]
        for kind, of_kind in KINDS.items()
    }
    assert set(KINDS) == set(distractors(settings))
    assert beaten == {
        "dog": ["corgi", "dalmatian", "pug"],
        "car": ["cab", "hatchback", "hearse", "van"],
        "truck": ["dumper", "HGV", "moving van", "tanker", "transporter", "van"],
        "suitcase": ["case"],
    }
