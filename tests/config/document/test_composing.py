"""Whichever parser composes a text, what is read is the same."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from streamwatch.config.document import composing
from streamwatch.config.document.composing import LARGE, composed_quickly
from streamwatch.config.document.reading import read
from streamwatch.errors import ConfigError
from streamwatch.paths import starter

pytestmark = pytest.mark.slow(seconds=12)

ROOT = Path(__file__).parents[3]
ODD = """\
x-defaults: &defaults {fps: 2, loop: false}
cameras:
  a:
    <<: *defaults
    url: rtsp://a:p%40!@10.0.0.1/s?channel=1&subtype=0
    mask:
    name: "Café, \\u00e9
      at the corner"
  b: {<<: [ *defaults ], url: 'a?b', zones: {}}
  c: &c
    - - 1
      - 0x1f
    -
    - ~
    - text over
      two lines
again: *c
"""
PIECES = [
    *("{", "}", "[", "]", ":", ": ", "-", "- ", ",", "?", "? ", "#", " # x\n", "'", '"', "\\"),
    *("!", "!!int ", "&a ", "*a", "&a!", "*a?", "|", ">-\n", "%", "%YAML 1.2\n", "@", "`", "~"),
    *("\n", "\n\n", "\n  ", "\n- ", "\r", "\r\n", "\t", "---\n", "...\n", "<<: ", "k:\n", "{a: }"),
    *(
        "[a: ]",
        "{: b}",
        "a?b",
        "p%40",
        "\x00",
        "\x7f",
        "\x85",
        "\xa0",
        "\ufeff",
        "\u2028",
        "é",
        "é?",
    ),
    *("\ud800", "\U0001f600", '"\\ud83d"', "\\U00110000", "", " ", "  ", "    "),
]


@pytest.fixture
def shipped() -> list[str]:
    """The shipped files, and one with what few files hold, without comments."""
    texts = [starter(), *(file.read_text() for file in sorted((ROOT / "examples").glob("*.yaml")))]
    return [*(re.sub(r"(?m)(^|\s)#.*$", "", text) for text in texts), ODD]


def result(text: str) -> str:
    try:
        document = read(text, "c.yaml")
    except ConfigError as error:
        return str(error)
    return repr((document.content, document.entries, document.faults))


def both(monkeypatch: pytest.MonkeyPatch, text: str) -> tuple[str, str]:
    """What libyaml makes of it where it can, and PyYAML's own parser."""
    monkeypatch.setattr(composing, "LARGE", 0)
    quick = result(text)
    monkeypatch.setattr(composing, "LARGE", sys.maxsize)
    return quick, result(text)


def repeated(text: str) -> str:
    """A large file that says the same again and again, under keys and anchors of its own."""
    indented = "".join(f"  {line}\n" for line in text.split("\n"))
    times = LARGE // len(indented) + 1
    return "".join(
        f"part{number}:\n" + re.sub(r"(?<= )([&*])([a-z])", rf"\g<1>p{number}\2", indented)
        for number in range(times)
    )


def mutated(texts: list[str], chance: random.Random) -> str:
    """A text from one of its keys at the top on, with pieces put in."""
    text = chance.choice(texts)
    tops = [found.start() for found in re.finditer(r"(?m)^\w", text)]
    text = text[chance.choice(tops) :][:1500]
    for _ in range(chance.randint(1, 2)):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(PIECES) + text[at + chance.choice((0, 0, 1, 3)) :]
    return text


needs_libyaml = pytest.mark.skipif(
    not yaml.__with_libyaml__, reason="this PyYAML was built without libyaml"
)


@needs_libyaml
def test_large_files_are_read_the_same(monkeypatch: pytest.MonkeyPatch, shipped: list[str]) -> None:
    for text in map(repeated, shipped):
        assert composed_quickly(text) is not None
        quick, pure = both(monkeypatch, text)
        assert quick == pure
        monkeypatch.undo()


def test_mutated_files_are_read_the_same(
    monkeypatch: pytest.MonkeyPatch, shipped: list[str]
) -> None:
    chance = random.Random(1)
    for _ in range(500):
        text = mutated(shipped, chance)
        quick, pure = both(monkeypatch, text)
        assert quick == pure, text


@needs_libyaml
def test_many_mutated_files_are_read_quickly(
    monkeypatch: pytest.MonkeyPatch, shipped: list[str]
) -> None:
    monkeypatch.setattr(composing, "LARGE", 0)
    chance = random.Random(1)
    quick = [composed_quickly(mutated(shipped, chance)) is not None for _ in range(500)]
    assert sum(quick) > 100


def mutations_of_large_files(texts: list[str]) -> Iterator[str]:
    chance = random.Random(2)
    for text in map(repeated, texts):
        at = chance.randrange(len(text))
        yield text[:at] + chance.choice(PIECES) + text[at + 1 :]


def test_mutated_large_files_are_read_the_same(
    monkeypatch: pytest.MonkeyPatch, shipped: list[str]
) -> None:
    for text in mutations_of_large_files(shipped):
        quick, pure = both(monkeypatch, text)
        assert quick == pure


def test_small_files_and_odd_ones_are_left_to_pyyaml() -> None:
    large = "a: b\n" + "# x\n" * LARGE
    assert composed_quickly("a: b\n") is None
    assert composed_quickly(f"{large}b: !x y\n") is None
    assert composed_quickly(f"{large}b: [a?b]\n") is None
    assert composed_quickly(f"{large}b: [\n") is None


def test_without_libyaml_everything_is_left_to_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    large = "a: b\n" + "# x\n" * LARGE
    assert composed_quickly(large) is None
    assert read(large, "c.yaml").content == {"a": "b"}
