"""Pictures as prompts, as they are read from the configuration file."""

# ruff: noqa: E501 - sentences as they are told

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from streamwatch.config import (
    Config,
    PicturePrompt,
    PromptPicture,
    SeenPictures,
    describe,
    load,
)
from streamwatch.config.following import PICTURE_SECONDS, STILL_SECONDS, SavedPictures
from streamwatch.errors import ConfigError

HEAD = "detector: {model: yoloe-26s-seg}\ncameras: {a: {url: bundled:street}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in {"one.png": (64, 80), "two.jpg": (200, 100), "small.png": (31, 300)}.items():
        picture = np.random.default_rng(len(name)).integers(0, 255, (size[1], size[0], 3), np.uint8)
        cv2.imwrite(str(tmp_path / name), picture)
    exif = Pillow.Exif()
    exif[0x0112] = 6  # stored lying on its side
    Pillow.new("RGB", (300, 40)).save(tmp_path / "turned.jpg", exif=exif)
    Pillow.new("CMYK", (64, 64)).save(tmp_path / "cmyk.jpg")
    Pillow.new("L", (6000, 4000)).save(tmp_path / "large.png")
    (tmp_path / "no.png").write_bytes(b"no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "many").mkdir()
    for number in range(17):
        (tmp_path / "many" / f"{number:02}.png").write_bytes((tmp_path / "one.png").read_bytes())
    return tmp_path


def read(folder: Path, watch: str, head: str = HEAD) -> Config:
    (folder / "c.yaml").write_text(f"{head}watches: {{w: {watch}}}\n")
    return load(folder / "c.yaml")


def test_pictures_are_a_prompt_of_the_watch(folder: Path) -> None:
    config = read(
        folder, "{prompt: cat, pictures: [one.png, {file: two.jpg, box: [1, 2, 90, 80.5]}]}"
    )
    watch = config.watches["w"]
    assert watch.prompt == ("cat", "picture:w")
    assert watch.words == ("cat",)
    prompt = watch.prompt[1]
    assert isinstance(prompt, PicturePrompt)
    one = hashlib.sha256((folder / "one.png").read_bytes()).hexdigest()
    assert prompt.pictures[0] == PromptPicture(folder / "one.png", one, None)
    assert prompt.pictures[1].box == (1.0, 2.0, 90.0, 80.5)
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert again.watches["w"].prompt[1].pictures == prompt.pictures


def test_pictures_alone_are_enough_and_patterns_name_many(folder: Path) -> None:
    watch = read(folder, "{pictures: 'many/0*.png'}").watches["w"]
    assert watch.prompt == ("picture:w",)
    assert [each.file.name for each in watch.pictures] == [f"{n:02}.png" for n in range(10)]


def test_what_must_be_beaten_may_be_pictures(folder: Path) -> None:
    watch = read(
        folder, "{prompt: cat, not: [dog, {pictures: one.png}, {pictures: [two.jpg]}]}"
    ).watches["w"]
    assert watch.not_ == ("dog", "picture:w:not2", "picture:w:not3")
    assert watch.prompts_by_key["not"] == ("dog",)


def test_a_picture_that_is_another_makes_another_configuration(folder: Path) -> None:
    before = read(folder, "{pictures: one.png}")
    (folder / "one.png").write_bytes((folder / "two.jpg").read_bytes())
    assert load(folder / "c.yaml") != before


def test_pictures_are_read_upright_and_of_any_colours(folder: Path) -> None:
    watch = read(folder, "{pictures: [{file: turned.jpg, box: [0, 100, 40, 300]}, cmyk.jpg]}")
    assert watch.watches["w"].pictures[0].box == (0, 100, 40, 300)


@pytest.mark.parametrize(
    ("watch", "said"),
    [
        ("{pictures: none.png}", "pictures: none.png can't be read: no such file or directory"),
        ("{pictures: many}", "pictures: many can't be read: is a directory"),
        ("{pictures: [one.png, no.png]}", "pictures[1]: no.png is no picture, or a broken one"),
        ("{pictures: empty.png}", "pictures: empty.png is no picture, or a broken one"),
        ("{pictures: 'cats/*.jpg'}", "pictures: matches no file"),
        ("{pictures: 'many/*.png'}", "pictures: matches 17 files; at most 16 are taken"),
        (
            "{pictures: ['many/0*.png', 'many/0*.png']}",
            "pictures: these are 20 pictures; at most 16 are taken",
        ),
        (
            "{pictures: small.png}",
            "pictures: what small.png shows is 31x300 px; it must be at least 32 px wide and high",
        ),
        (
            "{pictures: {file: two.jpg, box: [0, 0, 100, 31]}}",
            "pictures: what two.jpg shows is 100x31 px; it must be at least 32 px wide and high",
        ),
        (
            "{pictures: large.png}",
            "pictures: large.png has 24 million pixels; at most 20 are taken, so make it smaller",
        ),
        (
            "{pictures: {file: two.jpg, box: [0, 0, 201, 100]}}",
            "pictures: the box lies outside the picture, which is 200x100",
        ),
        (
            "{pictures: {file: turned.jpg, box: [0, 0, 300, 40]}}",
            "pictures: the box lies outside the picture, which is 40x300",
        ),
        (
            "{pictures: {file: two.jpg, box: [50, 0, 50, 90]}}",
            "pictures: the box is empty; write [x1, y1, x2, y2], in pixels",
        ),
        (
            "{pictures: {file: two.jpg, box: [1, 2, 3]}}",
            "pictures: the box is not [x1, y1, x2, y2], in pixels",
        ),
        ("{pictures: {box: [1, 2, 3, 4]}}", "pictures: names no file; write {file: …, box: [x1, y1, x2, y2]}"),
        ("{pictures: {file: one.png, at: 3}}", "pictures: unknown key at; allowed are file, box"),
        ("{pictures: 3}", "pictures: 3 is not a text as it stands; put it in quotes"),
        ("{prompt: cat, pictures: []}", "pictures: the list is empty; write at least one picture"),
        ("{prompt: cat, not: {pictures: none.png}}", "not: none.png can't be read: no such file or directory"),
        ("{prompt: cat, not: {picture: one.png}}", "not: is written as a text, or as {pictures: […]}"),
        ("{prompt: 'picture:cat'}", "prompt: 'picture:cat' begins with picture:, as only the names of pictures do"),
        ("{pictures: one.png, picture_confidence: 0}", "picture_confidence: 0 is not a number above 0 and at most 1"),
        ("{}", "prompt: is missing; write what to find, as prompt: person"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_pictures_is_told_in_a_line(folder: Path, watch: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(folder, watch)
    (problem,) = caught.value.problems
    assert f"{problem.path}: {problem.message}" == f"watches.w.{said}"
    assert problem.line == 3


@pytest.mark.parametrize("model", ["toybox", "yolov8s-worldv2"])
def test_a_model_that_takes_words_alone_says_so(folder: Path, model: str) -> None:
    head = HEAD.replace("yoloe-26s-seg", model)
    with pytest.raises(ConfigError) as caught:
        read(folder, "{prompt: cat, pictures: one.png, not: {pictures: two.jpg}}", head)
    sentence = (
        f"the model {model} takes words alone as prompts; for pictures take a YOLOE model, as"
        " yoloe-26s-seg"
    )
    assert [(each.path, each.message) for each in caught.value.problems] == [
        ("watches.w.pictures", sentence),
        ("watches.w.not", sentence),
    ]


def test_a_second_look_by_words_needs_words(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(folder, "{pictures: one.png, second_look: require}")
    assert [each.path for each in caught.value.problems] == ["watches.w.second_look"] * 2


def test_the_summary_tells_of_pictures_and_clips(folder: Path) -> None:
    config = read(folder, "{prompt: cat, pictures: [one.png, two.jpg], picture_confidence: 0.6}")
    assert 'watch w  "cat" or what 2 pictures show (0.6), confidence 0.1' in str(describe(config))
    config = read(folder, "{pictures: one.png, clip: true}")
    assert "watch w  what 1 picture shows, confidence 0.1, with clips" in str(describe(config))


def test_saved_pictures_are_noticed(folder: Path) -> None:
    seen: SeenPictures = {}
    file = folder / "c.yaml"
    file.write_text(f"{HEAD}watches: {{w: {{pictures: ['many/0*.png', one.png]}}}}\n")
    load(file, seen=seen)
    saved = SavedPictures(seen)
    now = 10.0

    def turn(after: float = PICTURE_SECONDS) -> bool:
        nonlocal now
        now += after
        return saved.saved(now)

    assert not turn()
    (folder / "one.png").write_bytes((folder / "two.jpg").read_bytes())
    assert not turn(STILL_SECONDS), "it looks once a second"
    assert not turn(), "it may still be written"
    assert turn()
    assert not turn()
    (folder / "many" / "0more.png").write_bytes(b"more")
    assert [turn(), turn(), turn()] == [False, True, False]
    (folder / "many" / "0more.png").unlink()
    assert [turn(), turn()] == [False, True]
    saved.follow({})
    assert not turn(), "what it follows is another, as the file says"
    (folder / "one.png").unlink()
    assert [turn(), turn()] == [False, False]


@pytest.mark.parametrize(
    "written", ["late.png", "late*.png", "{file: late.png, box: [0, 0, 99, 99]}"]
)
def test_a_picture_that_comes_after_the_file_that_names_it_is_noticed(
    folder: Path, written: str
) -> None:
    seen: SeenPictures = {}
    (folder / "c.yaml").write_text(f"{HEAD}watches: {{w: {{not: {{pictures: {written}}}}}}}\n")
    with pytest.raises(ConfigError):
        load(folder / "c.yaml", seen=seen)
    (folder / "late.png").write_bytes((folder / "two.jpg").read_bytes())
    saved = SavedPictures(seen)
    assert [saved.saved(now) for now in (1.0, 2.0, 3.0)] == [False, True, False]
