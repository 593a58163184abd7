"""Whatever a file holds, it loads or is refused with problems that have a place."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.config import config_hash, describe, load, warnings
from streamwatch.errors import ConfigError, Problem
from streamwatch.paths import starter
from tests.config.test_schema import uncommented

pytestmark = pytest.mark.slow(seconds=30)

BITS = [
    *("{", "}", "[", "]", ":", "- ", "\t", "\n", '"', "'", "#", "&a ", "*a", "!!int ", "!x ", "|"),
    *("${X}", "${file:.}", "$$", "<<: ", "? ", "~", ".nan", "-.inf", "0x1f", "9" * 400, "true"),
    *(
        "auto",
        "\\U00110000",
        "\x00",
        "\ud800",
        "é",
        "\u2028",
        "---\n",
        "%YAML 1.2\n",
        "null",
        "-1",
        "1e999",
    ),
]
NEAR_MISSES = "near_misses:\n  path: missed\n  a_day: 20\n  keep: 3d\n  max_size: 200MB\n"
STARTER = (  # the keys that it shows in comments, and those that it doesn't, are worth breaking too
    uncommented()
    .replace("  embedded: true", "  # embedded: true")  # which goes without TLS
    .replace("  model: toybox", "  # model: toybox")
    .replace("${PORCH_PASSWORD}", "x")
    + NEAR_MISSES
)


@st.composite
def mutations(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from([starter(), starter() + NEAR_MISSES, STARTER]))
    for _ in range(draw(st.integers(min_value=1, max_value=6))):
        start = draw(st.integers(min_value=0, max_value=len(text)))
        length = draw(st.integers(min_value=0, max_value=30))
        put = draw(st.one_of(st.sampled_from(BITS), st.text(max_size=8)))
        text = text[:start] + put + text[start + length :]
    return text


KEYS = [
    *("mqtt", "detector", "cameras", "watches", "snapshots", "model", "url", "fps", "mask"),
    *("zones", "crop", "prompt", "appear", "dwell", "tls", "http", "a"),
    *("second_look", "mode", "against", "ask", "looks", "near_misses", "a_day", "confidence"),
    *("clips", "clip", "longest", "memory", "unmasked"),
]
SECTIONS = ["detector", "cameras", "watches", "mqtt", "near_misses", "clips"]
TREES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=10),
        st.sampled_from(["toybox", "auto"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.text(max_size=5),
                st.sampled_from(KEYS),
            ),
            inner,
            max_size=6,
        ),
    ),
    max_leaves=30,
)


def check(content: bytes) -> None:
    for problem in problems(content):
        text = str(problem)
        assert "\n" not in text
        text.encode()  # a lone surrogate could not even be printed
        assert problem.line is None or problem.line >= 1
        assert problem.column is None or problem.column >= 1
        assert not problem.message.endswith("can't stand here"), text
        assert "pydantic" not in text
        assert "nput should" not in text


def problems(content: bytes) -> tuple[Problem, ...]:
    """What is wrong with the file; where nothing is, all that `check` does works on it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_bytes(content)
        try:
            config = load(file)
        except ConfigError as error:
            return error.problems
        assert describe(config)
        assert config_hash(config)
        warnings(config, file)
        return ()


def test_the_starter_with_all_its_keys_is_right_before_it_is_broken() -> None:
    assert problems(STARTER.encode()) == ()


@settings(max_examples=150)
@given(mutations())
def test_mutations_of_the_starter(text: str) -> None:
    check(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(SECTIONS), TREES))
def test_trees_of_anything(tree: dict[str, object]) -> None:
    check(json.dumps(tree).encode())


@settings(max_examples=100)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_bytes_of_anything(content: bytes) -> None:
    check(content)


@pytest.mark.parametrize("word", BITS)
def test_one_odd_value_everywhere(word: str) -> None:
    lines = STARTER.splitlines()
    for at, line in enumerate(lines):
        key, colon, _ = line.partition(": ")
        if colon:
            broken = [*lines[:at], f"{key}: {word}", *lines[at + 1 :]]
            check("\n".join(broken).encode("utf-8", "surrogatepass"))
