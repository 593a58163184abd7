"""Phrases that are the same, and prompts as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamwatch.config.values.phrases import folded, normalised, words
from tests.config.conftest import Load

PIECES = "detector: {model: toybox}\ncameras: {a: {url: bundled:street}}\n"


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("red car", "red car"),
        ("  red \t  car ", "red car"),
        ("red\u00a0car", "red car"),
        ("Red Car", "Red Car"),
        ("ｒｅｄ　ｃａｒ", "red car"),  # noqa: RUF001 - wide letters are what is tested
        ("cafe\u0301", "café"),
        ("ﬁre truck", "fire truck"),
        ("par\u00adcel", "parcel"),
        ("\ufeffparcel\u200b", "parcel"),
        ("Straße mit Bäumen", "Straße mit Bäumen"),
        ("红色的汽车", "红色的汽车"),
        ('a "red" car, isn\'t it?', 'a "red" car, isn\'t it?'),
        ("\u200b", ""),
    ],
)
def test_normalised_removes_differences_of_spelling(written: str, plain: str) -> None:
    assert normalised(written) == plain
    assert normalised(plain) == plain


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Red Car", "red  car"),
        ("STRASSE", "straße"),
        ("CAFÉ", "cafe\u0301"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("ＲＥＤ", "red"),  # noqa: RUF001
    ],
)
def test_phrases_that_differ_in_spelling_are_equal_folded(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@pytest.mark.parametrize(
    ("phrase", "its_words"),
    [
        ("red car", ("red", "car")),
        ("Red CARS", ("red", "cars")),
        ("car-park, full", ("car", "park", "full")),
        ("ｃａｒ", ("car",)),  # noqa: RUF001 - wide letters are what is tested
        ("STRASSE", ("strasse",)),
        ("Straße", ("strasse",)),
        ("?!", ()),
    ],
)
def test_the_words_of_a_phrase(phrase: str, its_words: tuple[str, ...]) -> None:
    assert words(phrase) == its_words


def test_phrases_of_other_words_differ_folded() -> None:
    phrases = ["red car", "redcar", "red cars", "réd car", "red-car", "Auto", "汽车", "車"]
    assert len({folded(phrase) for phrase in phrases}) == len(phrases)


@pytest.mark.parametrize(
    "prompt",
    [
        "Red  Car",
        'a "red" car, parked',
        "l'auto rouge",
        "красная машина",
        "赤い車",
        "🚗",
        "{}",
        "50%",
    ],
)
def test_prompts_keep_their_spelling(loaded: Load, prompt: str) -> None:
    quoted = prompt.replace("'", "''")
    config = loaded(
        f"{PIECES}watches: {{w: {{prompt: ' {quoted}  '}}, v: {{prompt: ['{quoted}']}}}}"
    )
    assert config.watches["w"].prompt == config.watches["v"].prompt == (prompt,)


@pytest.mark.parametrize("list_", ["[red car, 'ｒｅｄ car']", "['par\u00adcel', Parcel]"])  # noqa: RUF001
def test_a_phrase_twice_in_a_list_is_an_error(
    refused: Callable[[str], list[str]], list_: str
) -> None:
    (said,) = refused(f"{PIECES}watches: {{w: {{prompt: {list_}}}}}")
    assert said.startswith("watches.w.prompt: the list holds a prompt twice")


def test_an_invisible_prompt_is_an_error(refused: Callable[[str], list[str]]) -> None:
    (said,) = refused(f"{PIECES}watches: {{w: {{prompt: '\u200b'}}}}")
    assert said.startswith("watches.w.prompt: ")
    assert said.endswith(" holds nothing that can be seen; write a text")
