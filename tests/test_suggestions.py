"""What `check` says of prompts: of those that are alike, too long, too many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from benchmarks.meanings import DIFFERENT, SAME, alike
from streamwatch.cli import app
from streamwatch.config import Config, DetectorSettings
from streamwatch.detector.embeddings import Embeddings
from streamwatch.detector.encoder_process import EncoderProcess
from streamwatch.detector.protocol import Vectors
from streamwatch.suggestions import (
    MOST_PROMPTS,
    SAME_MEANING,
    near_distractors,
    near_duplicates,
    suggestions,
    too_many,
)
from tests.detector.checkpoints import clip_folder

CAMERAS = {"front": {"url": "bundled:street", "zones": {"steps": [[0, 0], [1, 0], [1, 1]]}}}


def config(watches: dict[str, Any], **sections: Any) -> Config:
    tree = {"detector": {"model": "toybox"}, "cameras": CAMERAS, **sections}
    return Config.model_validate({**tree, "watches": watches})


def angles(**degrees: float) -> dict[str, Vectors]:
    """Vectors in a plane: the cosine of two prompts is that of the angle between them."""
    vectors = {}
    for prompt, degree in degrees.items():
        vector = np.zeros(512, np.float32)
        vector[:2] = np.cos(np.radians(degree)), np.sin(np.radians(degree))
        vectors[prompt.replace("_", " ")] = vector
    return vectors


VECTORS = angles(car=0, automobile=20, Car=0, truck=60, van=30)


def duplicates(watches: dict[str, Any], **sections: Any) -> list[str]:
    return [str(advice) for advice in near_duplicates(config(watches, **sections), VECTORS, 0.9)]


def test_prompts_that_mean_the_same() -> None:
    watches = {
        "a": {"prompt": ["truck", "car"]},
        "b": {"prompt": ["automobile", "Car"]},
        "c": {"prompt": "truck"},
    }
    assert duplicates(watches) == [
        "watches.b.prompt: 'automobile' means nearly the same as 'car' of watches.a (cosine 0.94): "
        "both will tell of the same things"
    ]


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({}, {}, True),
        ({"enabled": False}, {}, False),
        ({}, {"enabled": False}, False),
        ({"cameras": ["front"]}, {"cameras": ["back"]}, False),
        ({"cameras": ["front", "back"]}, {"cameras": ["back"]}, True),
        ({"cameras": ["off"]}, {"cameras": ["off"]}, False),
        ({"zones": ["steps"]}, {}, True),
        ({"zones": ["steps"]}, {"zones": ["lawn"]}, False),
        ({"zones": ["steps", "lawn"]}, {"zones": ["lawn"]}, True),
    ],
)
def test_only_where_they_meet(one: dict[str, Any], other: dict[str, Any], told: bool) -> None:
    zones = {"steps": [[0, 0], [1, 0], [1, 1]], "lawn": [[0, 0], [1, 0], [1, 1]]}
    camera = {"url": "bundled:street", "zones": zones}
    cameras = {"front": camera, "back": camera, "off": {**camera, "enabled": False}}
    watches = {"a": {"prompt": "car", **one}, "b": {"prompt": "automobile", **other}}
    assert bool(duplicates(watches, cameras=cameras)) == told


def test_prompts_that_mean_a_distractor() -> None:
    watches = {"a": {"prompt": ["truck", "car"]}, "b": {"prompt": "van", "enabled": False}}
    said = near_distractors(config(watches), VECTORS, ("van", "automobile"), 0.9)
    assert [str(advice) for advice in said] == [
        "watches.a.prompt: 'car' means nearly the same as the built-in distractor 'automobile' "
        "(cosine 0.94), which other watches have to beat"
    ]
    assert not [*near_distractors(config(watches), VECTORS, ("van", "automobile"), 0.95)]
    assert not [*near_distractors(config(watches), VECTORS, (), 0.9)]


def test_more_prompts_than_the_models_know() -> None:
    most = [f"thing {number}" for number in range(MOST_PROMPTS)]
    watches = {"a": {"prompt": most}, "b": {"prompt": most[:40]}}
    assert not [*too_many(config(watches))]
    watches["c"] = {"prompt": ["one more", "and one"]}
    assert [str(advice) for advice in too_many(config(watches))] == [
        "cameras.front: is searched for 82 prompts at once, and the models were trained with 80: "
        "with each more it gets slower"
    ]
    off = {"front": {**CAMERAS["front"], "enabled": False}}
    assert not [*too_many(config(watches, cameras=off))]


def test_the_bound_of_minilm_is_what_was_measured() -> None:
    embeddings = Embeddings(DetectorSettings(model="toybox"))
    same, different = alike(embeddings, SAME), alike(embeddings, DIFFERENT)
    (highest, _), *_ = different
    bound = SAME_MEANING["minilm"]
    assert highest < bound < highest + 0.01
    assert sum(cosine >= bound for cosine, _ in same) == 7
    assert (len(same), len(different)) == (43, 52)


# --- the command ---------------------------------------------------------------------------------


def check(folder: Path, watches: dict[str, Any], detector: dict[str, Any]) -> list[str]:
    """What may disappoint about the prompts and the encoder."""
    file = folder / "config.yaml"
    tree = {"detector": detector, "cameras": CAMERAS, "watches": watches}
    file.write_text(yaml.safe_dump(tree, allow_unicode=True))
    done = CliRunner().invoke(app, ["check", "-c", str(file)])
    assert done.exit_code == 0, done.output
    _, _, disappointing = done.stdout.partition("What may disappoint:\n\n")
    return [
        line.strip()
        for line in disappointing.splitlines()
        if line.strip().startswith(("watches", "detector.text_encoder", "cameras"))
    ]


def test_check_tells_of_prompts_that_mean_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watches = {"a": {"prompt": "bicycle"}, "b": {"prompt": ["Bike", "dog"]}}
    expected = [
        "watches.b.prompt: 'Bike' means nearly the same as 'bicycle' of watches.a (cosine 0.92): "
        "both will tell of the same things"
    ]
    templated = {"model": "toybox", "template": "a photo of {}"}
    assert check(tmp_path, watches, templated) == expected
    monkeypatch.delattr(EncoderProcess, "encode")  # all is known by now, without the template too
    assert check(tmp_path, watches, templated) == expected
    assert check(tmp_path, watches, {"model": "toybox"}) == expected


def test_check_tells_of_prompts_that_are_cut_off(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").touch()
    detector = {"model": "mine.pt", "text_encoder": str(clip_folder(tmp_path / "clip"))}
    long = " ".join(["truck"] * 15)
    watches = {"a": {"prompt": long.removesuffix(" truck")}, "b": {"prompt": ["dog", long]}}
    assert check(tmp_path, watches, detector) == [
        f"watches.b.prompt: '{long}' is too long for the text encoder, which reads 16 of its 17 "
        "tokens: what comes after is ignored"
    ]


def test_check_of_a_broken_encoder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").touch()
    clip = clip_folder(tmp_path / "clip")
    (clip / "model.safetensors").write_bytes(b"broken")
    (said,) = check(
        tmp_path, {"a": {"prompt": "dog"}}, {"model": "mine.pt", "text_encoder": str(clip)}
    )
    assert said.startswith(f"detector.text_encoder: the text encoder in {clip} can't be loaded (")
    (clip / "config.json").write_text('{"model_type": "llama"}')
    (said,) = check(
        tmp_path, {"a": {"prompt": "dog"}}, {"model": "mine.pt", "text_encoder": str(clip)}
    )
    assert said.startswith(f"detector.text_encoder: {clip} holds a model of type 'llama'")


def test_check_without_the_encoder_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    monkeypatch.delattr(EncoderProcess, "encode")
    watches = {"a": {"prompt": "bicycle"}, "b": {"prompt": "bike"}}
    assert check(tmp_path, watches, {"model": "yolov8s-worldv2"}) == []
    assert suggestions(config({})) == []
    assert not (tmp_path / "cache").exists()
