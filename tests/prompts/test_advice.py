"""What `check` says of prompts: of those that are alike, too long, too many."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from benchmarks.meanings import DIFFERENT, SAME, alike
from streamwatch.cli.app import app
from streamwatch.config import Config, DetectorSettings
from streamwatch.prompts.advice import (
    MOST_PROMPTS,
    SAME_MEANING,
    known_to_be_spelled,
    near_distractors,
    near_duplicates,
    near_rivals,
    spelled,
    suggestions,
    too_many,
)
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.encoders.process import EncoderProcess
from tests.parts.checkpoints import clip_folder
from tests.parts.vectors import at_angles

pytestmark = [pytest.mark.usefixtures("encoded_here"), pytest.mark.slow(seconds=30)]

CAMERAS = {"front": {"url": "bundled:street", "zones": {"steps": [[0, 0], [1, 0], [1, 1]]}}}


def config(watches: dict[str, Any], **sections: Any) -> Config:
    tree = {"detector": {"model": "toybox"}, "cameras": CAMERAS, **sections}
    return Config.model_validate({**tree, "watches": watches})


VECTORS = at_angles({"car": 0, "automobile": 20, "Car": 0, "truck": 60, "van": 30})


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
def test_only_watches_with_a_common_camera_and_zone_are_compared(
    one: dict[str, Any], other: dict[str, Any], told: bool
) -> None:
    zones = {"steps": [[0, 0], [1, 0], [1, 1]], "lawn": [[0, 0], [1, 0], [1, 1]]}
    camera = {"url": "bundled:street", "zones": zones}
    cameras = {"front": camera, "back": camera, "off": {**camera, "enabled": False}}
    watches = {"a": {"prompt": "car", **one}, "b": {"prompt": "automobile", **other}}
    assert bool(duplicates(watches, cameras=cameras)) == told


def test_prompts_that_mean_the_same_as_a_distractor() -> None:
    watches = {"a": {"prompt": ["truck", "car"]}, "b": {"prompt": "van", "enabled": False}}
    said = near_distractors(config(watches), VECTORS, ("van", "automobile"), 0.9)
    assert [str(advice) for advice in said] == [
        "watches.a.prompt: 'car' means nearly the same as the built-in distractor 'automobile' "
        "(cosine 0.94), which therefore holds nothing back from this watch"
    ]
    assert not [*near_distractors(config(watches), VECTORS, ("van", "automobile"), 0.95)]
    assert not [*near_distractors(config(watches), VECTORS, (), 0.9)]
    assert not [*near_distractors(config({"a": {"prompt": "Car"}}), VECTORS, ("car",), 0.9)]


def test_prompts_of_not_that_mean_the_same_as_the_watch() -> None:
    watches = {
        "a": {"prompt": ["truck", "car"], "not": ["van", "automobile"]},
        "b": {"prompt": "truck", "not": "automobile"},
        "c": {"prompt": "car", "not": "automobile", "enabled": False},
    }
    assert [str(advice) for advice in near_rivals(config(watches), VECTORS, 0.9)] == [
        "watches.a.not: 'automobile' means nearly the same as 'car', which it has to beat (cosine "
        "0.94): the watch may stay silent"
    ]


def test_more_prompts_than_the_models_were_trained_with() -> None:
    bare = {"detector": {"model": "toybox", "distractors": False}}
    most = [f"thing {number}" for number in range(MOST_PROMPTS)]
    watches: dict[str, Any] = {"a": {"prompt": most}, "b": {"prompt": most[:40]}}
    assert not [*too_many(config(watches, **bare))]
    watches["c"] = {"prompt": ["one more", "and one"]}
    assert [str(advice) for advice in too_many(config(watches, **bare))] == [
        "cameras.front: is searched for up to 82 prompts at once, with those of `with`, `without`, "
        "`not` and the built-in distractors, and the models were trained with 80: with each more "
        "it gets slower"
    ]
    off = {"front": {**CAMERAS["front"], "enabled": False}}
    assert not [*too_many(config(watches, cameras=off, **bare))]


@pytest.mark.parametrize(
    ("watch", "distractors", "count"),
    [
        ({"prompt": 80}, False, None),
        ({"prompt": 80}, True, 84),
        ({"prompt": 76}, True, None),
        ({"prompt": 78, "not": 3}, False, 81),
        ({"prompt": 78, "with": 3}, False, 81),
        ({"prompt": 78, "without": 3}, False, 81),
        ({"prompt": 60, "not": 10, "with": 10, "without": 10}, True, 94),
    ],
)
def test_all_that_a_camera_is_searched_for_is_counted(
    watch: dict[str, int], distractors: bool, count: int | None
) -> None:
    prompts = {key: [f"{key} {n}" for n in range(number)] for key, number in watch.items()}
    detector = {"model": "toybox", "distractors": distractors}
    said = [str(advice) for advice in too_many(config({"a": prompts}, detector=detector))]
    assert [f"up to {count} prompts" in line for line in said] == [True] * (count is not None)


def test_the_bound_of_minilm_is_what_was_measured() -> None:
    embeddings = Embeddings(DetectorSettings(model="toybox"))
    same, different = alike(embeddings, SAME), alike(embeddings, DIFFERENT)
    (highest, _), *_ = different
    bound = SAME_MEANING["minilm"]
    assert highest < bound < highest + 0.01
    assert sum(cosine >= bound for cosine, _ in same) == 7
    assert (len(same), len(different)) == (43, 52)


def letter_by_letter(prompt: str) -> str:
    return (
        f"the text encoder doesn't know '{prompt}' and reads it letter by letter, so what it finds "
        "is chance; write it in English words"
    )


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("собака", True),
        ("красная машина", True),
        ("σκύλος", True),
        ("كلب", True),
        ("红色汽车", True),
        ("犬", True),
        ("개", True),
        ("🐕", True),
        ("xqzvk", True),
        ("dog", False),
        ("K9", False),
        ("VW", False),
        ("DHL van", False),
        ("e-scooter", False),
        ("dachshund", False),
        ("quokka", False),
        ("Fußgänger", False),
        ("köpek", False),
        ("a box on a van", False),
    ],
)
def test_what_minilm_reads_letter_by_letter(prompt: str, told: bool) -> None:
    for key in ("prompt", "with", "without", "not"):
        watches = config({"a": {"prompt": "horse", key: prompt}})
        bare = Embeddings(watches.detector).encoded(("horse", prompt))
        expected = [f"watches.a.{key}: {letter_by_letter(prompt)}"] if told else []
        assert [str(advice) for advice in spelled(watches, bare)] == expected


def test_no_english_prompt_of_the_benchmark_is_read_letter_by_letter() -> None:
    prompts = sorted({prompt for pair in (*SAME, *DIFFERENT) for prompt in pair})
    watches = config({"a": {"prompt": prompts}})
    assert len(prompts) > 100
    assert not [*spelled(watches, Embeddings(watches.detector).encoded(prompts))]


def test_only_what_was_encoded_before_is_known_to_be_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    watches = config({"a": {"prompt": ["dog", "собака"]}, "b": {"prompt": "кот"}})
    assert known_to_be_spelled(watches) == []
    Embeddings(watches.detector).encoded(("dog", "собака"))
    monkeypatch.delattr(EncoderProcess, "encode")
    assert [str(advice) for advice in known_to_be_spelled(watches)] == [
        f"watches.a.prompt: {letter_by_letter('собака')}"
    ]


# --- the command ---------------------------------------------------------------------------------


def check(folder: Path, watches: dict[str, Any], detector: dict[str, Any]) -> list[str]:
    """What may disappoint about the prompts and the encoder."""
    file = folder / "config.yaml"
    tree = {"detector": detector, "cameras": CAMERAS, "watches": watches}
    file.write_text(yaml.safe_dump(tree, allow_unicode=True))
    done = CliRunner().invoke(app, ["check", "-c", str(file)])
    assert done.exit_code == 0, done.output
    _, _, disappointing = done.stdout.partition("What may disappoint:\n\n")
    said = [line.strip().removeprefix(f"{file}:") for line in disappointing.splitlines()]
    without_place = [re.sub(r"^[0-9]+:[0-9]+: ", "", line) for line in said]
    keys = ("watches", "detector.text_encoder", "cameras")
    return [line for line in without_place if line.startswith(keys)]


def test_check_warns_of_prompts_that_mean_the_same(
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


def test_check_warns_of_prompts_that_are_too_long(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").touch()
    detector = {"model": "mine.pt", "text_encoder": str(clip_folder(tmp_path / "clip"))}
    long = " ".join(["truck"] * 15)
    watches = {"a": {"prompt": long.removesuffix(" truck")}, "b": {"prompt": ["dog", long]}}
    assert check(tmp_path, watches, detector) == [
        f"watches.b.prompt: '{long}' is too long for the text encoder, which reads 16 of its 17 "
        "tokens: what comes after is ignored"
    ]


def test_check_reads_all_prompts_of_a_watch(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").touch()
    detector = {"model": "mine.pt", "text_encoder": str(clip_folder(tmp_path / "clip"))}
    long = " ".join(["truck"] * 15)
    watches = {"a": {"prompt": "dog", "with": long, "without": f"a {long}", "not": f"{long} b"}}
    said = check(tmp_path, watches, detector)
    assert [line.partition(":")[0] for line in said] == [
        "watches.a.with", "watches.a.without", "watches.a.not",
    ]  # fmt: skip
    assert all("is too long for the text encoder" in line for line in said)


def test_check_says_what_is_read_letter_by_letter_and_where(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "detector: {model: toybox, template: 'a photo of {}'}\n"
        "cameras: {a: {url: bundled:street}}\nwatches:\n  w:\n    prompt: собака\n"
        "    not: dog, fox\n"
    )
    done = CliRunner().invoke(app, ["check", "-c", str(file)])
    assert done.exit_code == 0
    assert done.stdout.partition("What may disappoint:\n\n")[2].splitlines() == [
        f"  {file}:6:10: watches.w.not: 'dog, fox' is looked for as one phrase, which commas, full "
        "stops and 'or' don't divide; if each by itself is meant, write not: [dog, fox]",
        f"  {file}:5:13: watches.w.prompt: {letter_by_letter('собака')}",
    ]


def test_check_warns_of_rivals_that_mean_the_same(tmp_path: Path) -> None:
    watches = {
        "a": {"prompt": "red car", "not": ["a red car", "blue car"], "second_look": "off"},
        "b": {"prompt": ["a car", "Suitcase"]},
    }

    def meanings(**detector: object) -> list[str]:
        told = check(tmp_path, watches, {"model": "toybox", **detector})
        return [line for line in told if "begins with an article" not in line]

    said = meanings()
    assert said == [
        "watches.a.not: 'a red car' means nearly the same as 'red car', which it has to beat "
        "(cosine 0.95): the watch may stay silent",
        "watches.b.prompt: 'a car' means nearly the same as the built-in distractor 'car' (cosine "
        "0.90), which therefore holds nothing back from this watch",
    ]
    assert meanings(distractors=False) == said[:1]


def test_check_with_a_broken_encoder_prints_one_line(tmp_path: Path) -> None:
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


def test_check_without_the_encoders_files_starts_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    monkeypatch.delattr(EncoderProcess, "encode")
    watches = {"a": {"prompt": "bicycle"}, "b": {"prompt": "bike"}}
    assert check(tmp_path, watches, {"model": "yolov8s-worldv2"}) == []
    assert suggestions(config({})) == []
    assert not (tmp_path / "cache").exists()
