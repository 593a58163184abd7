"""An outbox that another version of streamwatch has written, or that somebody has edited."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.elapsed import Elapsed
from streamwatch.publisher.outbox.rows import FORMAT, NotUnderstood, row_of, told_of
from streamwatch.publisher.outbox.schema import VERSION
from streamwatch.publisher.outbox.sqlite import SqliteOutbox
from streamwatch.records import SecondLook
from tests.publisher.events import MOMENT, clip_of, end_event, event_in, new_event, update_event
from tests.publisher.running import Clock

FIRST_RELEASE = """
CREATE TABLE events (
    number INTEGER PRIMARY KEY, visit TEXT NOT NULL, type TEXT NOT NULL,
    since REAL NOT NULL, event BLOB NOT NULL
);
CREATE INDEX events_by_visit ON events (visit);
CREATE INDEX events_by_type ON events (type, number);
CREATE TABLE given_up (visit TEXT PRIMARY KEY);
CREATE TABLE visits (visit TEXT PRIMARY KEY, event BLOB NOT NULL);
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite3"


@contextmanager
def opened(file: Path, hours: float = 0.0) -> Iterator[SqliteOutbox]:
    """So long after MOMENT."""
    clock = Clock()
    moment = MOMENT + timedelta(hours=hours)
    outbox = SqliteOutbox(
        file, elapsed=Elapsed(clock, lambda: moment + timedelta(seconds=clock() - 1000))
    )
    with closing(outbox):
        yield outbox


@contextmanager
def edited(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        yield database


def waiting(outbox: SqliteOutbox) -> list[str]:
    found = [outbox.take(number) for number in outbox.rewind()]
    return [each.told.id for each in found if each]


def with_changes(row: bytes, **changes: Any) -> bytes:
    values = {**json.loads(row), **changes}
    return json.dumps({name: value for name, value in values.items() if value != "gone"}).encode()


def test_a_file_of_the_first_release_goes_on(file: Path) -> None:
    events = [new_event(id="a"), update_event("a", 1), new_event(id="b")]
    with edited(file) as database:
        database.executescript(FIRST_RELEASE)
        for number, event in enumerate(events):
            database.execute(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
                (number, event.id, event.type, MOMENT.timestamp(), row_of(event)),
            )
        database.execute("INSERT INTO visits VALUES (?, ?)", ("b", row_of(events[2])))
        database.execute("INSERT INTO given_up VALUES ('c')")
    with opened(file, hours=2) as outbox:
        taken = [outbox.take(number) for number in outbox.rewind()]
        assert [each and each.told.id for each in taken] == ["a", "a", "b"]
        assert {each and each.waited_seconds for each in taken} == {7200.0}
        (visit,) = outbox.visits()
        assert visit.last.id == "b"
        assert visit.age_seconds == pytest.approx(7200, abs=1)
        outbox.add(end_event("c"), 1000.0)  # its visit was given up
        assert outbox.dropped == 1
    with opened(file, hours=3) as outbox:
        assert waiting(outbox) == ["a", "a", "b"]
    with edited(file) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)


BROKEN_ROWS: dict[str, Callable[[bytes], bytes]] = {
    "an unknown field": lambda row: with_changes(row, mood="grim"),
    "a missing field": lambda row: with_changes(row, prompt="gone"),
    "broken bytes": lambda row: row[: len(row) // 2] + b"\xff\x00",
    "no bytes at all": lambda row: b"",
    "no object": lambda row: b"[1, 2]",
    "a number as text": lambda row: with_changes(row, confidence="0.8"),
    "a camera that is no name": lambda row: with_changes(row, camera="a/+/#"),
    "half a box": lambda row: with_changes(row, box=[1, 2]),
    "a time without a zone": lambda row: with_changes(row, captured_at="2026-01-02T03:04:05"),
    "another type of event": lambda row: with_changes(row, type="perhaps"),
    "NaN": lambda row: with_changes(row, position=float("nan")),
    "deep nesting": lambda row: b"[" * 100_000,
}


@pytest.mark.parametrize("what", BROKEN_ROWS)
def test_a_row_that_is_not_understood_is_set_aside(file: Path, what: str) -> None:
    with opened(file) as outbox:
        for name in ("a", "b", "c"):
            outbox.add(new_event(id=name), 1000.0)
    with edited(file) as database:
        (row,) = database.execute("SELECT event FROM events WHERE visit = 'b'").fetchone()
        broken = BROKEN_ROWS[what](row)
        database.execute("UPDATE events SET event = ? WHERE visit = 'b'", (broken,))
        database.execute("UPDATE visits SET event = ? WHERE visit = 'b'", (broken,))
    with opened(file) as outbox:
        assert (len(outbox), outbox.set_aside) == (2, 1)
        assert waiting(outbox) == ["a", "c"]
        assert [visit.last.id for visit in outbox.visits()] == ["a", "c"]
    with opened(file) as outbox:  # it is told once
        assert (len(outbox), outbox.set_aside) == (2, 0)
    with edited(file) as database:
        (kept,) = database.execute("SELECT event FROM set_aside").fetchall()
        assert kept == (broken,)


def test_a_row_that_breaks_meanwhile_is_set_aside_when_it_is_to_be_sent(file: Path) -> None:
    with opened(file) as outbox:
        number = outbox.add(new_event(id="a"), 1000.0)
        outbox._database.execute("UPDATE events SET event = '{}'")
        assert outbox.take(number) is None
        assert (len(outbox), outbox.set_aside, outbox.rewind()) == (0, 1, ())


def test_rows_that_an_older_version_set_aside_are_sent_by_one_that_understands_them(
    file: Path,
) -> None:
    with opened(file) as outbox:
        for name in ("a", "b", "c"):
            outbox.add(new_event(id=name), 1000.0)
        with outbox._transaction():
            outbox._set_aside(1, "it has other fields")
        assert waiting(outbox) == ["a", "c"]
    with opened(file, hours=1) as outbox:
        assert waiting(outbox) == ["a", "b", "c"]


def test_a_second_look_is_read_again_as_it_was(file: Path) -> None:
    look = SecondLook("clip", 0.25, None, "dog", 2, "rejected", 4.5)
    with opened(file) as outbox:
        outbox.add(new_event(id="a", second_look=look), 1000.0)
        outbox.remember([new_event(id="a", second_look=look)])
    with opened(file) as outbox:
        (number,) = outbox.rewind()
        assert event_in(outbox.take(number)).second_look == look
        (visit,) = outbox.visits()
        assert visit.last.second_look == look


def test_rows_from_before_there_were_second_looks_are_understood(file: Path) -> None:
    with opened(file) as outbox:
        outbox.add(new_event(id="a"), 1000.0)
    with edited(file) as database:
        database.execute("UPDATE events SET event = json_remove(event, '$.second_look')")
    with opened(file) as outbox:
        assert (waiting(outbox), outbox.set_aside) == (["a"], 0)


@pytest.mark.parametrize(
    "wrong", ['{"by": "clip"}', '"yes"', '{"by": "eye", "score": 1}', "[]", "3"]
)
def test_a_row_with_a_broken_second_look_is_set_aside(file: Path, wrong: str) -> None:
    with opened(file) as outbox:
        outbox.add(new_event(id="a"), 1000.0)
    with edited(file) as database:
        database.execute(
            "UPDATE events SET event = json_set(event, '$.second_look', json(?))", (wrong,)
        )
    with opened(file) as outbox:
        assert (waiting(outbox), outbox.set_aside) == ([], 1)


def test_rows_of_a_newer_version_are_left_alone(file: Path) -> None:
    """Its tables may have more columns, its rows other fields."""
    with opened(file) as outbox:
        for name in ("a", "b"):
            outbox.add(new_event(id=name), 1000.0)
    with edited(file) as database:
        database.execute("ALTER TABLE events ADD COLUMN held INTEGER NOT NULL DEFAULT 0")
        database.execute("CREATE TABLE clips (path TEXT)")
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
        database.execute(
            "UPDATE events SET format = ?, event = 'new shape' WHERE visit = 'a'", (FORMAT + 1,)
        )
        database.execute(
            "UPDATE visits SET format = ?, event = 'new shape' WHERE visit = 'a'", (FORMAT + 1,)
        )
    with opened(file) as outbox:
        assert (len(outbox), outbox.of_a_newer_version) == (1, 1)
        assert waiting(outbox) == ["b"]
        outbox.add(new_event(id="c"), 1000.0)
        outbox.remember([new_event(id="c")])
        assert waiting(outbox) == ["b", "c"]
    with edited(file) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
        rows = database.execute("SELECT visit, event FROM events WHERE format > ?", (FORMAT,))
        assert rows.fetchall() == [("a", "new shape")]
        rows = database.execute("SELECT visit, event FROM visits WHERE format > ?", (FORMAT,))
        assert rows.fetchall() == [("a", "new shape")]


def test_a_full_outbox_makes_no_room_by_rows_of_a_newer_version(file: Path) -> None:
    with opened(file) as outbox:
        outbox.add(update_event("a"), 1000.0)
        outbox._database.execute("UPDATE events SET format = ?", (FORMAT + 1,))
    with opened(file) as outbox:
        outbox.limit(700, timedelta(days=7))
        for name in ("b", "c", "d"):
            outbox.add(new_event(id=name), 1000.0)
        assert waiting(outbox) == ["d"]
        assert outbox._database.execute("SELECT count(*) FROM events").fetchone() == (2,)


@given(
    row=st.one_of(
        st.binary(max_size=200),
        st.dictionaries(
            st.sampled_from([*json.loads(row_of(new_event()))]),
            st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.floats())),
        ).map(lambda changes: with_changes(row_of(new_event()), **changes)),
        st.dictionaries(
            st.sampled_from([*json.loads(row_of(clip_of("a")))]),
            st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.floats())),
        ).map(lambda changes: with_changes(row_of(clip_of("a")), **changes)),
    )
)
def test_any_row_is_told_or_not_understood(row: bytes) -> None:
    try:
        told = told_of(row)
    except NotUnderstood:
        return
    assert told_of(row_of(told)).id == told.id
