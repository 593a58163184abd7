"""YAML 1.2's core types, places, and what is refused."""

from __future__ import annotations

import math

import pytest

from streamwatch.config.document.positions import Position
from streamwatch.config.document.reading import MOST_VALUES, read
from streamwatch.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[(word, True) for word in ("true", "True", "TRUE", "!!bool true")],
        *[(word, False) for word in ("false", "False", "FALSE")],
        *[(word, word) for word in ("yes", "no", "on", "off", "y", "n", "Yes", "OFF", "tRUE")],
        *[(word, None) for word in ("null", "Null", "NULL", "~", "")],
        ("nULL", "nULL"),
        ("22:00", "22:00"),
        ("1:30:00", "1:30:00"),
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z"),
        ("12", 12),
        ("+12", 12),
        ("-0", 0),
        ("012", 12),
        ("0o17", 15),
        ("0xfF", 255),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("0o8", "0o8"),
        ("-0x1", "-0x1"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1e3", -1000.0),
        ("1E-2", 0.01),
        (".inf", math.inf),
        ("+.INF", math.inf),
        ("-.Inf", -math.inf),
        ("inf", "inf"),
        ("nan", "nan"),
        ("1.2.3", "1.2.3"),
        (".", "."),
        ("=", "="),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("! 12", 12),
        ("!!int 12", 12),
        ("3s", "3s"),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ("| \n  a\n  b\n", "a\nb\n"),
    ],
)
def test_types_of_yaml_1_2(written: str, value: object) -> None:
    document = read(f"a: {written}\n", "c.yaml")
    assert document.faults == ()
    assert document.content == {"a": value}
    assert isinstance(document.content, dict)
    assert type(document.content["a"]) is type(value)


@pytest.mark.parametrize("written", [".nan", ".NaN", ".NAN"])
def test_nan_is_read_as_nan(written: str) -> None:
    content = read(f"[{written}]", "c.yaml").content
    assert isinstance(content, list)
    assert math.isnan(content[0])


@pytest.mark.parametrize("key", ["1", "01", "true", "~", "1.50", "off", "22:00", "'1'"])
def test_keys_are_their_text(key: str) -> None:
    assert read(f"{key}: x\n", "c.yaml").content == {key.strip("'"): "x"}


def test_keys_that_differ_in_text_only_are_different() -> None:
    assert read("1: a\n01: b\n", "c.yaml").content == {"1": "a", "01": "b"}


def test_every_value_has_its_position_and_text() -> None:
    entries = read('a:\n  - "${X}"\n  - {b: 0x10}\n', "c.yaml").entries
    assert entries[("a",)].key == Position(1, 1)
    assert entries[("a",)].value == Position(2, 3)
    assert (entries[("a", 0)].value, entries[("a", 0)].written) == (Position(2, 5), "${X}")
    assert (entries[("a", 1, "b")].key, entries[("a", 1, "b")].value) == (
        Position(3, 6),
        Position(3, 9),
    )
    assert (entries[("a", 1, "b")].kind, entries[("a", 1, "b")].written) == ("number", "0x10")


def test_aliases_repeat_a_value() -> None:
    document = read("a: &x {b: [1]}\nc: *x\nd: [*x, *x]\n", "c.yaml")
    assert document.content == {
        "a": {"b": [1]},
        "c": {"b": [1]},
        "d": [{"b": [1]}, {"b": [1]}],
    }
    assert document.entries[("c", "b", 0)].value == Position(1, 12)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", "given twice; the first stands in line 1"),
        ("a: 1\n'a': 3\n", "a", "given twice; the first stands in line 1"),
        ("x: {a: {b: 1, b: 1}}\n", "x.a.b", "given twice; the first stands in line 1"),
        ("<<: 1\n", "<<", "merges mappings only; write <<: *NAME or <<: [*NAME, *OTHER]"),
        ("<<: [{a: 1}, b]\n", "<<", "merges mappings only"),
        ("<<: [[{a: 1}]]\n", "<<", "merges mappings only"),
        ("<<: !x {a: 1}\n", "<<", "merges mappings only"),
        ("<<: {a: 1, a: 2}\n", "a", "given twice; the first stands in line 1"),
        ("x: &x {a: 1}\ny: &y {b: 1}\nz:\n  <<: *x\n  <<: *y\n", "z.<<", "given twice; several"),
        ("a: &a {b: 1, b: 2}\nc: *a\nd: {<<: *a}\n", "a.b", "given twice; the first stands in"),
        ("? {a: 1}\n: b\n", "", "a key must be a plain text"),
        ("!x a: b\n", "", "a key must be a plain text, without a tag"),
        ("a: !!python/object/apply:os.system [ls]\n", "a", "the tag '!!python/object/apply:os.s"),
        ("a: !!timestamp 2024-01-01\n", "a", "the tag '!!timestamp' is not supported"),
        ("a: !secret x\n", "a", "the tag '!secret' is not supported"),
        ("a: !!map x\n", "a", "the tag does not suit the value"),
        ("a: !!seq {}\n", "a", "the tag does not suit the value"),
        ("a: !!str []\n", "a", "the tag does not suit the value"),
        ("a: !!bool yes\n", "a", "the tag does not suit the value"),
        ("token: !hunter2\n", "token", "tags are not supported"),
    ],
)
def test_errors_have_their_path_and_message(text: str, path: str, message: str) -> None:
    (fault,) = read(text, "c.yaml").faults
    problem = fault.problem("c.yaml")
    assert problem.path == path
    assert problem.message.startswith(message)


@pytest.mark.parametrize(
    ("merging", "merged"),
    [
        ("<<: *a", {"x": 1, "y": 2}),
        ("{<<: *a, y: 3}", {"x": 1, "y": 3}),
        ("{y: 3, <<: *a}", {"x": 1, "y": 3}),
        ("<<: [*a, *b]", {"x": 1, "y": 2, "z": 5}),
        ("<<: [*b, *a]", {"x": 1, "y": 4, "z": 5}),
        ("<<: [*b, {y: 6, w: 7}]", {"y": 4, "z": 5, "w": 7}),
        ("<<: *c", {"x": 1, "y": 8}),
        ("{<<: *list, v: 1}", {"x": 1, "y": 2, "z": 5, "v": 1}),
        ("<<: []", {}),
        ("<<: *a\n  y: ~", {"x": 1, "y": None}),
    ],
)
def test_merges(merging: str, merged: object) -> None:
    text = (
        "a: &a {x: 1, y: 2}\nb: &b {y: 4, z: 5}\nc: &c {<<: *a, y: 8}\nlist: &list [*a, *b]\n"
        f"here:\n  {merging}\n"
    )
    document = read(text, "c.yaml")
    assert document.faults == ()
    assert isinstance(document.content, dict)
    assert document.content["here"] == merged


def test_what_is_merged_has_the_position_where_it_is_written() -> None:
    entries = read("a: &a\n  x: {y: 1}\nb:\n  <<: *a\n  z: 2\n", "c.yaml").entries
    assert entries[("b", "x")].key == Position(2, 3)
    assert entries[("b", "x", "y")].value == Position(2, 10)
    assert entries[("b", "z")].value == Position(5, 6)


def test_a_quoted_merge_key_is_a_key() -> None:
    document = read("'<<': 1\n", "c.yaml")
    assert (document.content, document.faults) == ({"<<": 1}, ())


def test_the_first_of_two_equal_keys_is_kept() -> None:
    assert read("a: 1\na: 2\n", "c.yaml").content == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("&a [*a]", "c.yaml:1:1: an alias that contains itself"),
        ("a: &a\n  b: {c: *a}\n", "c.yaml:1:4: an alias that contains itself"),
        ("a: &a\n  <<: *a\n", "c.yaml:1:4: an alias that contains itself"),
        ("a: &a\n  b: 1\n  <<: {c: *a}\n", "c.yaml:1:4: an alias that contains itself"),
        (
            "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}}}\n" for i in range(1, 60)),
            "c.yaml:1:13: nested too deeply; at most 40 levels",
        ),
        ("[" * 100_000, "c.yaml:1:40: nested too deeply; at most 40 levels"),
        ("- " * 45 + "x", "c.yaml:1:79: nested too deeply; at most 40 levels"),
        (
            "a0: &a0 x\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 60)),
            "c.yaml:1:5: nested too deeply; at most 40 levels",
        ),
    ],
    ids=[
        "list in itself",
        "mapping in itself",
        "merged into itself",
        "merged, in itself",
        "through merges",
        "flow",
        "block",
        "through aliases",
    ],
)
def test_errors_that_end_the_reading(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, "c.yaml")
    assert str(caught.value) == expected


def test_an_alias_bomb_is_refused_quickly() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)
    )
    with pytest.raises(ConfigError, match=f"aliases unfold to more than {MOST_VALUES} values"):
        read(text, "c.yaml")


def test_a_bomb_of_merges_is_refused_quickly() -> None:
    text = "a0: &a0 {x: 1}\n" + "".join(
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 30)
    )
    with pytest.raises(ConfigError, match=f"aliases unfold to more than {MOST_VALUES} values"):
        read(text, "c.yaml")


@pytest.mark.parametrize("text", ['"\\UFFFFFFFF"', '"\\U00110000"', f"%YAML 1.{'9' * 5000}\n---\n"])
def test_numbers_that_pyyaml_can_not_read_are_errors(text: str) -> None:
    with pytest.raises(ConfigError, match="holds a number that is too large"):
        read(text, "c.yaml")
