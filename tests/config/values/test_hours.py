"""Times of the week, as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.config import Config, config_hash
from streamwatch.config.values.hours import DAYS, HOURS_PATTERN, Hours, hours
from streamwatch.config.wording import Wrong
from tests.config.conftest import Load

WATCH = "detector: {{model: toybox}}\ncameras: {{a: {{url: bundled:street}}}}\nwatches: {{w: {{prompt: dog, active: {}}}}}\n"  # noqa: E501


@pytest.mark.parametrize(
    ("text", "days", "start", "end", "kept"),
    [
        ("mon-fri 22:00-06:00", {0, 1, 2, 3, 4}, 1320, 360, "mon-fri 22:00-06:00"),
        ("22:00-06:00", set(range(7)), 1320, 360, "22:00-06:00"),
        ("sat,sun", {5, 6}, 0, 1440, "sat,sun"),
        ("sat-mon 08:00-20:00", {5, 6, 0}, 480, 1200, "sat-mon 08:00-20:00"),
        ("Mon, Wed - FRI  6:30 - 24:00", {0, 2, 3, 4}, 390, 1440, "mon,wed-fri 6:30-24:00"),
        ("tue-mon", set(range(7)), 0, 1440, "tue-mon"),
        (" sun ", {6}, 0, 1440, "sun"),
    ],
)
def test_hours_are_parsed(text: str, days: set[int], start: int, end: int, kept: str) -> None:
    found = hours(text)
    assert found == Hours(frozenset(days), start, end, kept)


def test_a_file_may_have_one_or_a_list(loaded: Load) -> None:
    def texts(written: str) -> list[str]:
        config: Config = loaded(WATCH.format(written))
        return [span.text for span in config.watches["w"].active]

    assert texts("22:00-06:00") == ["22:00-06:00"]
    assert texts("mon-fri 22:00-06:00") == ["mon-fri 22:00-06:00"]
    assert texts("[sat, sun]") == ["sat", "sun"]
    assert texts('"sat,sun"') == ["sat,sun"]


def test_the_config_hash_depends_on_the_hours(loaded: Load) -> None:
    first, same, other = (
        config_hash(loaded(WATCH.format(written))) for written in ("sat", "[Sat]", "sun")
    )
    assert first == same != other


SPANS = st.sampled_from([*DAYS, *(f"{a}-{b}" for a in DAYS for b in DAYS)])
TIMES = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))


@given(days=st.lists(SPANS, max_size=3), start=TIMES, end=TIMES)
def test_whatever_matches_the_pattern_is_parsed(days: list[str], start: str, end: str) -> None:
    text = f"{','.join(days)} {start}-{end}"
    assert re.fullmatch(HOURS_PATTERN, text)
    if start != end:
        assert hours(text).days == (hours(",".join(days)).days if days else set(range(7)))


@given(st.text(alphabet="montuewdhfrisa 0123456789:,-", max_size=20))
def test_anything_else_raises_wrong(text: str) -> None:
    try:
        found = hours(text)
    except Wrong:
        return
    assert re.fullmatch(HOURS_PATTERN, text)
    assert found.days
    assert 0 <= found.start < 1440
    assert 0 <= found.end <= 1440
