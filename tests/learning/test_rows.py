"""What is learnt as text: read again as it was, and never read wrongly."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.learning import rows
from streamwatch.learning.learnt import (
    BINS,
    MOST_COUNTED,
    MOST_PAIRS,
    Learnt,
    Other,
    Subject,
    Together,
    ToldVisit,
    Vote,
)
from streamwatch.learning.rows import FORMAT, NotUnderstood
from tests.learning.lessons import MOMENT, SUBJECT, told_visit, vector, vote

DOG = Other("car", "dogs", "dog")
LEARNT = Learnt((1,) * BINS, (2,) * BINS, 3.5, {DOG: Together(2, 1.5, 0.5)}, 0.35)

shares = st.floats(0, 1)
counts = st.tuples(*[st.integers(0, MOST_COUNTED)] * BINS)
amounts = st.floats(0, 1e6)
texts = st.text(max_size=20)
others = st.builds(Other, texts, texts, texts)
learnts = st.builds(
    Learnt,
    counts,
    counts,
    amounts,
    st.dictionaries(others, st.builds(Together, amounts, amounts, amounts), max_size=MOST_PAIRS),
    st.none() | shares,
)
vectors = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8).map(
    lambda values: vector(*values) if np.linalg.norm(values) > 0.01 else None
)
moments = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9.5))]))
visits = st.builds(ToldVisit, texts, st.just(SUBJECT), texts, shares, shares, moments, vectors)
votes = st.builds(Vote, visits, st.booleans(), st.floats(0, 1e10))


def through_text(row: dict[str, Any]) -> dict[str, Any]:
    return rows.fields(rows.text(row))


def same_visit(one: ToldVisit, other: ToldVisit) -> bool:
    vectors_agree = np.array_equal(
        np.zeros(0) if one.vector is None else one.vector,
        np.zeros(0) if other.vector is None else other.vector,
    )
    names = [name for name in ToldVisit.__slots__ if name != "vector"]
    return vectors_agree and all(getattr(one, name) == getattr(other, name) for name in names)


def same_vote(one: Vote, other: Vote) -> bool:
    return same_visit(one.visit, other.visit) and (one.right, one.at) == (other.right, other.at)


@given(learnts)
def test_what_is_learnt_is_read_as_it_was(learnt: Learnt) -> None:
    assert rows.learnt_of(through_text(rows.learnt_row(learnt))) == learnt


@given(visits)
def test_a_visit_is_read_as_it_was(visit: ToldVisit) -> None:
    read = rows.visit_of(SUBJECT, through_text(rows.visit_row(visit)))
    assert same_visit(read, visit)
    assert read.captured_at.utcoffset() == visit.captured_at.utcoffset()


@given(votes)
def test_a_vote_is_read_as_it_was(vote: Vote) -> None:
    assert same_vote(rows.vote_of(SUBJECT, through_text(rows.vote_row(vote))), vote)


def test_more_others_than_are_kept_are_cut() -> None:
    many = {Other("car", "dogs", str(number)): Together(1, 1, 1) for number in range(99)}
    read = rows.learnt_of(rows.learnt_row(Learnt(together=many)))
    assert list(read.together) == list(many)[:MOST_PAIRS]


def test_a_vector_that_was_read_may_be_written_to() -> None:
    visit = told_visit(vector=vector(1, 2))
    read = rows.visit_of(SUBJECT, rows.visit_row(visit))
    assert read.vector is not None
    assert read.vector.flags.writeable


# --- broken ---------------------------------------------------------------------------------------


def encoded(value: float) -> str:
    """A vector of this value alone."""
    return base64.b64encode(np.full(4, value, np.float32).tobytes()).decode()


NO_NUMBERS: list[object] = [None, "0.5", True, [0.5], {}, float("nan"), float("inf"), 10**400]
NO_SHARES: list[object] = [*NO_NUMBERS, -0.1, 1.1]
NO_TEXTS: list[object] = [None, 3, ["a"], {}, True]
NO_COUNTS: list[object] = [
    *(None, 3, {}, "0" * BINS, [0] * (BINS - 1), [0] * (BINS + 1), [0.5] * BINS),
    *([-1] * BINS, [True] * BINS, [None] * BINS, [MOST_COUNTED + 1] * BINS, [10**400] * BINS),
]
NO_PAIRS: list[object] = [
    *(3, {}, "text", [3], ["sixsix"], [["car", "dogs", "dog", 1, 2]]),
    *([["car", "dogs", 3, 1, 2, 3]], [["car", "dogs", "dog", 1, 2, "3"]], [None], None),
    *([["car", "dogs", "dog", 1, 2, 3, 4]], [["car", "dogs", "dog", -1, 2, 3]]),
]
NO_VISITS: list[object] = [None, 3, [], "visit", {}]
NO_SWITCHES: list[object] = [None, 1, 0, "true", []]
NO_TIMES: list[object] = ["", "now", "2026-01-02T03:04:05", 3, None, [], "9999-99-99T00:00:00Z"]
NO_VECTORS: list[object] = [
    *(3, [1.0], "", "?", "abc", "Grüße", base64.b64encode(b"abcde").decode()),
    *(encoded(0), True, {}),
    *map(encoded, (np.nan, np.inf, 2)),
]

BROKEN_LEARNT = [
    *(("visits", value) for value in NO_COUNTS),
    *(("weak", value) for value in NO_COUNTS),
    *(("told", value) for value in [*NO_NUMBERS, -1]),
    *(("together", value) for value in NO_PAIRS),
    *(("threshold", value) for value in NO_SHARES[1:]),
]
BROKEN_VISIT = [
    *(("id", value) for value in NO_TEXTS),
    *(("prompt", value) for value in NO_TEXTS),
    *(("confidence", value) for value in NO_SHARES),
    *(("reach", value) for value in NO_SHARES),
    *(("captured_at", value) for value in NO_TIMES),
    *(("vector", value) for value in NO_VECTORS),
]
BROKEN_VOTE = [
    *(("visit", value) for value in NO_VISITS),
    *(("right", value) for value in NO_SWITCHES),
    *(("at", value) for value in NO_NUMBERS),
]


@pytest.mark.parametrize(("name", "value"), BROKEN_LEARNT)
def test_broken_fields_of_what_is_learnt_are_not_understood(name: str, value: object) -> None:
    with pytest.raises(NotUnderstood):
        rows.learnt_of({**rows.learnt_row(LEARNT), name: value})


@pytest.mark.parametrize(("name", "value"), BROKEN_VISIT)
def test_broken_fields_of_a_visit_are_not_understood(name: str, value: object) -> None:
    row = {**rows.visit_row(told_visit(vector=vector(1, 2))), name: value}
    with pytest.raises(NotUnderstood):
        rows.visit_of(SUBJECT, row)
    with pytest.raises(NotUnderstood):
        rows.vote_of(SUBJECT, {**rows.vote_row(vote(True)), "visit": row})


@pytest.mark.parametrize(("name", "value"), BROKEN_VOTE)
def test_broken_fields_of_a_vote_are_not_understood(name: str, value: object) -> None:
    with pytest.raises(NotUnderstood):
        rows.vote_of(SUBJECT, {**rows.vote_row(vote(True)), name: value})


READERS: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], object]]] = {
    "learnt": (rows.learnt_row(LEARNT), rows.learnt_of),
    "visit": (
        rows.visit_row(told_visit(vector=vector(1, 2))),
        lambda row: rows.visit_of(SUBJECT, row),
    ),
    "vote": (rows.vote_row(vote(True)), lambda row: rows.vote_of(SUBJECT, row)),
}


@pytest.mark.parametrize("what", READERS)
def test_a_missing_field_is_not_understood(what: str) -> None:
    row, read = READERS[what]
    for name in row:
        with pytest.raises(NotUnderstood):
            read({key: value for key, value in row.items() if key != name})


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("what", READERS)
@given(data=st.data())
def test_any_value_in_a_field_is_read_or_not_understood(what: str, data: st.DataObject) -> None:
    row, read = READERS[what]
    name = data.draw(st.sampled_from([*row]))
    try:
        found = read({**row, name: data.draw(anything)})
    except NotUnderstood:
        return
    assert found is not None


@pytest.mark.parametrize(
    "content", [None, 3, b"{}", "", "{", "[]", "3", "null", '"{}"', "[" * 100_000, "\ud800"]
)
def test_what_is_no_object_is_not_understood(content: object) -> None:
    with pytest.raises(NotUnderstood):
        rows.fields(content)


# --- for another machine --------------------------------------------------------------------------

DOGS = Subject("porch", "dogs", "fedcba9876543210")


def test_what_is_handed_over_is_read_as_it_was() -> None:
    visits = [told_visit("a", vector=vector(1, 2)), told_visit("b", subject=DOGS)]
    votes = [vote(False, id="a", vector=vector(1, 2)), vote(True, id="c", subject=DOGS)]
    text = rows.handing_over("porch", {SUBJECT: LEARNT, DOGS: Learnt()}, visits, votes)
    camera, learnt, read_visits, read_votes = rows.handed_over(text)
    assert (camera, learnt) == ("porch", {SUBJECT: LEARNT, DOGS: Learnt()})
    assert len(read_visits) == len(read_votes) == 2
    assert all(map(same_visit, read_visits, visits))
    assert all(map(same_vote, read_votes, votes))


def test_what_is_handed_over_is_one_line_of_json() -> None:
    text = rows.handing_over("porch", {SUBJECT: LEARNT}, [], [])
    assert "\n" not in text
    assert json.loads(text)["camera"] == "porch"


def test_a_camera_of_which_nothing_is_learnt_can_be_handed_over() -> None:
    assert rows.handed_over(rows.handing_over("porch", {}, [], [])) == ("porch", {}, [], [])


def test_visits_and_votes_of_a_subject_without_a_memory_are_handed_over() -> None:
    text = rows.handing_over("porch", {}, [told_visit("a")], [vote(True, id="b")])
    _, learnt, visits, votes = rows.handed_over(text)
    assert learnt == {SUBJECT: Learnt()}
    assert [visit.id for visit in visits] == ["a"]
    assert [vote.visit.id for vote in votes] == ["b"]


HANDED = json.loads(rows.handing_over("porch", {SUBJECT: LEARNT}, [told_visit()], [vote(True)]))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": FORMAT + 1},
        {"format": "1"},
        {"format": True},
        {"format": None},
        {"camera": 3},
        {"camera": None},
        {"subjects": None},
        {"subjects": 3},
        {"subjects": ["a"]},
        {"subjects": [{}]},
        *({"subjects": [{**HANDED["subjects"][0], key: 3}]} for key in HANDED["subjects"][0]),
        {"subjects": [{**HANDED["subjects"][0], "visits": [{}]}]},
        {"subjects": [{**HANDED["subjects"][0], "votes": ["a"]}]},
    ],
)
def test_what_is_handed_over_broken_is_not_understood(changes: dict[str, object]) -> None:
    with pytest.raises(NotUnderstood):
        rows.handed_over(json.dumps({**HANDED, **changes}))


@pytest.mark.parametrize("name", HANDED)
def test_what_is_handed_over_in_part_is_not_understood(name: str) -> None:
    row = {key: value for key, value in HANDED.items() if key != name}
    with pytest.raises(NotUnderstood):
        rows.handed_over(json.dumps(row))


@given(st.integers(0, len(json.dumps(HANDED)) - 1))
def test_what_is_cut_off_is_not_understood(length: int) -> None:
    with pytest.raises(NotUnderstood):
        rows.handed_over(json.dumps(HANDED)[:length])


def test_a_time_is_read_with_its_zone() -> None:
    visit = told_visit(captured_at=datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2))))
    read = rows.visit_of(SUBJECT, rows.visit_row(visit))
    assert read.captured_at.isoformat() == "2026-07-01T12:00:00+02:00"
    assert rows.visit_row(told_visit())["captured_at"] == MOMENT.isoformat()
