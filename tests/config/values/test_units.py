"""Durations and sizes."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.config.values.units import (
    DURATION_PATTERN,
    LONGEST,
    SIZE_PATTERN,
    duration,
    duration_text,
    size,
    size_text,
)
from streamwatch.config.wording import Wrong


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("500ms", 0.5),
        ("2s", 2),
        ("1.5s", 1.5),
        ("0.5ms", 0.0005),
        ("90s", 90),
        ("1m30s", 90),
        ("1h", 3600),
        ("1d12h", 129_600),
        ("7d", 604_800),
        ("1d1h1m1s1ms", 90_061.001),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == timedelta(seconds=seconds)
    assert re.search(DURATION_PATTERN, text)


NOT_DURATIONS = ["", "3", "s", "3 s", "3S", "3sec", "-3s", "+3s", "1s1m", "1s1s", ".5s", "1.s"]


@pytest.mark.parametrize("text", [*NOT_DURATIONS, "٣s", "1e3s", "1m\n", "9" * 5000 + "s"])
def test_texts_that_are_no_duration_are_errors(text: str) -> None:
    with pytest.raises(Wrong, match="is not a duration"):
        duration(text)


@pytest.mark.parametrize("text", NOT_DURATIONS)
def test_texts_that_are_no_duration_do_not_match_the_schema(text: str) -> None:
    assert not re.search(DURATION_PATTERN, text)


@pytest.mark.parametrize("text", ["3651d", "999999999999d", "87601h"])
def test_a_too_long_duration_is_an_error(text: str) -> None:
    with pytest.raises(Wrong, match="is too long; at most 3650d"):
        duration(text)


@given(st.timedeltas(min_value=timedelta(0), max_value=LONGEST))
def test_duration_text_is_parsed_back_to_the_same(value: timedelta) -> None:
    value -= timedelta(microseconds=value.microseconds % 1000)
    text = duration_text(value)
    assert duration(text) == value
    assert re.search(DURATION_PATTERN, text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1B", 1),
        ("10MB", 10_000_000),
        ("10 mb", 10_000_000),
        ("1.5GB", 1_500_000_000),
        ("1KiB", 1024),
        ("2GiB", 2 * 1024**3),
        ("1TB", 10**12),
    ],
)
def test_sizes(text: str, number: int) -> None:
    assert size(text) == number
    assert re.search(SIZE_PATTERN, text)


@pytest.mark.parametrize("text", ["", "10", "10M", "MB", "-1MB", "10  MB", "10iB", "1PB", "1e3MB"])
def test_texts_that_are_no_size_are_errors(text: str) -> None:
    with pytest.raises(Wrong, match="is not a size"):
        size(text)
    assert not re.search(SIZE_PATTERN, text)


@pytest.mark.parametrize("text", ["0MB", "0.1B", "1001TB"])
def test_sizes_out_of_range_are_errors(text: str) -> None:
    with pytest.raises(Wrong, match="is out of range"):
        size(text)


@given(st.integers(min_value=1, max_value=10**15))
def test_size_text_is_parsed_back_to_the_same(number: int) -> None:
    try:
        assert size(size_text(number)) == number
    except Wrong:
        assert number > 10**12  # 13 digits of bytes are more than anybody writes
