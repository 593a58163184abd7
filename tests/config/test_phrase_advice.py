"""What is said of prompts that no text encoder reads as they were meant."""

# ruff: noqa: E501 - a table

from __future__ import annotations

from pathlib import Path

import pytest

from streamwatch.config import load as load_file
from streamwatch.config import placed, prompt_advice
from streamwatch.paths import shipped
from tests.config.conftest import Load

HEAD = "detector: {model: toybox}\ncameras: {a: {url: bundled:street}}\nwatches:\n  w:\n"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
STARTER = Path(__file__).parents[2] / "streamwatch" / "config" / "starter.yaml"


def said(loaded: Load, keys: str) -> list[str]:
    return [str(advice) for advice in prompt_advice(loaded(f"{HEAD}    {keys}\n"))]


def divided(prompt: str, instead: str) -> str:
    return (
        f"'{prompt}' is looked for as one phrase, which commas, full stops and 'or' don't divide; if "
        f"each by itself is meant, write {instead}"
    )


def negated(prompt: str, word: str, instead: str) -> str:
    return (
        f"'{prompt}' finds what stands behind '{word}', or nothing, since a text encoder doesn't heed that; "
        f"{instead}"
    )


def with_article(prompt: str, instead: str) -> str:
    return (
        f"'{prompt}' begins with an article, and the models are trained with words without one: they "
        f"may be less sure of it; write {instead}"
    )


def test_articles(loaded: Load) -> None:
    assert said(loaded, "prompt: [a dog, The red car, cat]\n    not: an elephant") == [
        f"watches.w.prompt: {with_article('a dog', 'prompt: [dog, red car, cat]')}",
        f"watches.w.not: {with_article('an elephant', 'not: elephant')}",
    ]


def test_words_that_a_second_look_compares_with(loaded: Load) -> None:
    path = "watches.w.second_look.against"
    lists = divided("cat, cow", "against: [sheep, cat, cow]")
    assert said(loaded, "prompt: fox\n    second_look: {against: [sheep, 'cat, cow']}") == [
        f"{path}: {lists}"
    ]
    article = with_article("a dog", "against: dog")
    assert said(loaded, "prompt: fox\n    second_look: {against: a dog}") == [f"{path}: {article}"]


@pytest.mark.parametrize(
    ("prompt", "instead"),
    [
        ("red car, dog, cyclist", "[red car, dog, cyclist]"),
        ("red car,dog", "[red car, dog]"),
        ("dog, cat, and bird", "[dog, cat, bird]"),
        ("dog, or cat", "[dog, cat]"),
        ("red car. dog.", "[red car, dog]"),
        ("red car.", "red car"),
        ("dog,", "dog"),
        ("person or horse", "[person, horse]"),
        ("person OR horse", "[person, horse]"),
        ("red or blue car", "[red car, blue car]"),
        ("white, black or grey van", "[white van, black van, grey van]"),
        ("dog; cat", "[dog, cat]"),
        ("dog | cat", "[dog, cat]"),
        ("dog/cat", "[dog, cat]"),
        ("dog,, dog", "[dog, dog]"),
        ("person with red jacket, walking", "[person with red jacket, walking]"),
        ("yes, no entry sign", '["yes", no entry sign]'),
        ('4x4, "K9" unit', '["4x4", "\\"K9\\" unit"]'),
    ],
)
def test_a_list_in_one_text_is_shown_as_a_list(loaded: Load, prompt: str, instead: str) -> None:
    instead = instead.replace("[dog, dog]", "dog")
    for key, others in (
        ("prompt", ""), ("with", "prompt: bag, "), ("without", "prompt: bag, "), ("not", "prompt: bag, "),
    ):  # fmt: skip
        text = prompt.replace('"', '\\"')
        found = said(loaded, f'{{{others}{key}: "{text}"}}'.replace("\n", " "))
        assert found == [f"watches.w.{key}: {divided(prompt, f'{key}: {instead}')}"]


def test_the_other_prompts_of_the_key_are_in_the_list(loaded: Load) -> None:
    assert said(loaded, "prompt: [bus, 'dog, cat', 'cat or cow']") == [
        f"watches.w.prompt: {divided('dog, cat', 'prompt: [bus, dog, cat, cow]')}"
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("{prompt: not a person}", "prompt: " + negated("not a person", "not", "write into prompt what you want to see, and not: person for what is mistaken for it")),
        ("{prompt: No helmet}", "prompt: " + negated("No helmet", "no", "write into prompt what you want to see, and not: helmet for what is mistaken for it")),
        ("{prompt: anything but the cat}", "prompt: " + negated("anything but the cat", "anything but", "write into prompt what you want to see, and not: cat for what is mistaken for it")),
        ("{prompt: person without helmet}", "prompt: " + negated("person without helmet", "without", "write prompt: person and without: helmet")),
        ("{prompt: person not wearing a hard hat}", "prompt: " + negated("person not wearing a hard hat", "not", "write prompt: person and without: hard hat")),
        ("{prompt: a dog with no leash}", "prompt: " + negated("a dog with no leash", "no", "write prompt: dog and without: leash")),
        ("{prompt: dog, not: not a cat}", "not: " + negated("not a cat", "not", "not says so already: write not: cat")),
        ("{prompt: dog, without: no leash}", "without: " + negated("no leash", "no", "without says so already: write without: leash")),
        ("{prompt: dog, with: no leash}", "with: " + negated("no leash", "no", "write without: leash")),
        ("{prompt: dog, not: cat without tail}", "not: " + negated("cat without tail", "without", "leave it out")),
    ],
)  # fmt: skip
def test_a_negation_is_shown_as_a_key(loaded: Load, keys: str, expected: str) -> None:
    assert said(loaded, keys) == [f"watches.w.{expected}"]


@pytest.mark.parametrize(
    "prompt",
    [
        "red car",
        "a red car on the road",
        "a pair of shoes",
        "person with red jacket",
        "red and white car",
        "St. Bernard dog",
        "U.S. mail van",
        "no parking sign",
        "sign with 1,000 on it",
        "24/7 sign",
        "orange cone",
        "orca",
        "knot",
        "notebook",
        "hi-vis vest",
        "cat's bowl",
        "Hund",
    ],
)
def test_ordinary_phrases_give_no_warning(loaded: Load, prompt: str) -> None:
    keys = f'prompt: "{prompt}", with: "big {prompt}", without: "{prompt}", not: "old {prompt}"'
    assert said(loaded, f"{{{keys}}}") == []


@pytest.mark.parametrize(
    "file", [shipped("config.yaml"), STARTER, *EXAMPLES], ids=lambda file: file.stem
)
def test_what_is_shipped_gives_no_such_warning(file: Path) -> None:
    assert [*prompt_advice(load_file(file))] == []


def test_warnings_have_the_line_of_their_key(loaded: Load, tmp_path: Path) -> None:
    config = loaded(HEAD + "    not: [cat]\n    prompt:\n      - dog, cow\n")
    assert placed(prompt_advice(config), tmp_path / "config.yaml") == [
        f"{tmp_path}/config.yaml:7:7: watches.w.prompt: {divided('dog, cow', 'prompt: [dog, cow]')}"
    ]


def test_a_key_that_is_not_in_the_file_has_no_line(loaded: Load, tmp_path: Path) -> None:
    config = loaded(HEAD + "    prompt: dog, cow\n")
    found = [*prompt_advice(config)]
    loaded(HEAD.replace("  w:", "  v:") + "    prompt: dog\n")
    assert placed(found, tmp_path / "config.yaml") == [str(found[0])]
