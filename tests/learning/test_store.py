"""The file of what is learnt: private, whole after a kill, and kept where it can't be read."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest

from streamwatch.databases import NewerVersion
from streamwatch.learning import rows, saving
from streamwatch.learning.learnt import Learnt, Subject, Vote
from streamwatch.learning.near_misses import Day, Kept
from streamwatch.learning.saving import Saving
from streamwatch.learning.store import MOST_SET_ASIDE, VERSION, Contents, Store
from tests.learning.lessons import BOX, MOMENT, SUBJECT, near_miss, told_visit, vector, vote
from tests.parts.databases import cut_in_the_middle, edited, no_database
from tests.publisher.running import Clock

TODAY = date(2026, 1, 2)
DOGS = Subject("porch", "dogs", "fedcba9876543210")
LEARNT = Learnt().with_visit(0.6, {}).with_weak(0.2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "learnt.sqlite3"


@contextmanager
def opened(file: Path) -> Iterator[Store]:
    with closing(Store(file)) as store:
        yield store


def loaded(file: Path) -> Contents:
    with opened(file) as store:
        return store.load()


def fill(file: Path) -> None:
    """Two of everything."""
    with opened(file) as store:
        store.save(
            {SUBJECT: LEARNT, DOGS: LEARNT},
            [told_visit("a", vector=vector(1, 2)), told_visit("b", subject=DOGS)],
            [vote(False, id="a", vector=vector(1, 2)), vote(True, id="b", subject=DOGS)],
        )
        store.keep_near_miss(near_miss(confidence=0.25), TODAY, "a.jpg")
        store.keep_near_miss(near_miss(confidence=0.2), TODAY, None)


class Keeper:
    """What a `Saving` was told to take, to write everything and to complain of."""

    def __init__(self, file: Path) -> None:
        self.taken: list[Contents] = []
        self.complaints: list[str] = []
        self.wrote_everything = 0
        self.clock = Clock()
        self.saving = Saving(
            file, self.taken.append, self.everything, self.complaints.append, self.clock
        )

    def everything(self, store: Store) -> None:
        store.save({SUBJECT: LEARNT})
        self.wrote_everything += 1


@contextmanager
def kept(file: Path) -> Iterator[Keeper]:
    keeper = Keeper(file)
    with closing(keeper.saving):
        yield keeper


# --- what is kept ---------------------------------------------------------------------------------


def test_everything_is_there_again(file: Path) -> None:
    fill(file)
    contents = loaded(file)
    assert contents.learnt == {SUBJECT: LEARNT, DOGS: LEARNT}
    assert [(visit.id, visit.subject) for visit in contents.visits] == [("a", SUBJECT), ("b", DOGS)]
    assert [(v.visit.id, v.right) for v in contents.votes] == [("a", False), ("b", True)]
    assert contents.votes[0].visit.vector is not None
    assert contents.set_aside == 0
    day = contents.days["porch", "car"]
    assert day == Day(
        TODAY, [Kept(1, "a.jpg", "below", 0.25, BOX), Kept(2, None, "below", 0.2, BOX)]
    )


def test_the_file_and_its_folder_are_private(file: Path) -> None:
    before = os.umask(0)
    try:
        with opened(file) as store:
            store.save({SUBJECT: LEARNT})
            modes = {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_file_that_others_may_read_becomes_private(file: Path) -> None:
    fill(file)
    file.chmod(0o644)
    with opened(file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_written_again_takes_the_place_of_what_was_there(file: Path) -> None:
    fill(file)
    more = LEARNT.with_visit(0.7, {})
    with opened(file) as store:
        store.save({SUBJECT: more}, [told_visit("a", 0.9)], [vote(True, 0.9, id="a")])
    contents = loaded(file)
    assert contents.learnt == {SUBJECT: more, DOGS: LEARNT}
    assert [(visit.id, visit.reach) for visit in contents.visits] == [("a", 0.9), ("b", 0.5)]
    assert [each.right for each in contents.votes] == [True, True]


def test_a_visit_may_be_kept_before_anything_is_learnt_of_its_watch(file: Path) -> None:
    with opened(file) as store:
        store.save({}, [told_visit("a")])
    contents = loaded(file)
    assert contents.learnt == {SUBJECT: Learnt()}
    assert [visit.id for visit in contents.visits] == ["a"]


def test_what_is_forgotten_is_gone(file: Path) -> None:
    fill(file)
    with opened(file) as store:
        store.forget(visits=["a", "unknown"], votes=["a"])
        assert [visit.id for visit in store.load().visits] == ["b"]
        assert [each.visit.id for each in store.load().votes] == ["b"]
        store.forget(subjects=[DOGS])
    contents = loaded(file)
    assert contents.learnt == {SUBJECT: LEARNT}
    assert (contents.visits, contents.votes, contents.set_aside) == ([], [], 0)


def test_near_misses_are_dropped_one_by_one_and_by_their_age(file: Path) -> None:
    with opened(file) as store:
        numbers = [
            store.keep_near_miss(near_miss(), TODAY + timedelta(days=day), None)
            for day in (-2, -1, 0, 0)
        ]
        store.drop_near_miss(numbers[3])
        store.drop_near_misses_before(TODAY - timedelta(days=1))
    with edited(file) as database:
        assert database.execute("SELECT number FROM near_misses").fetchall() == [(2,), (3,)]
    (kept,) = loaded(file).days["porch", "car"].kept
    assert kept.number == 3


def test_a_near_miss_is_described(file: Path) -> None:
    with opened(file) as store:
        store.keep_near_miss(near_miss(confidence=0.25), TODAY, "a.jpg")
    with edited(file) as database:
        database.row_factory = sqlite3.Row
        (row,) = database.execute("SELECT * FROM near_misses").fetchall()
    assert dict(row) == {
        "number": 1, "camera": "porch", "watch": "car", "day": "2026-01-02", "kind": "below",
        "confidence": 0.25, "needed": 0.3, "prompt": "car", "reason": "0.25 is below 0.30",
        "captured_at": MOMENT.isoformat(), "x1": 10.0, "y1": 20.0, "x2": 110.0, "y2": 200.0,
        "file": "a.jpg", "reach": 0.0,
    }  # fmt: skip


# --- other versions, and rows that are broken -----------------------------------------------------


def test_a_file_of_the_first_version_goes_on(file: Path) -> None:
    fill(file)
    with opened(file) as store:
        store.keep_near_miss(near_miss(reach=0.2), TODAY, None)
    with edited(file) as database:
        database.execute("ALTER TABLE near_misses DROP COLUMN reach")
        database.execute("PRAGMA user_version = 1")
    found = loaded(file)
    assert found.learnt
    assert found.visits
    with opened(file) as store:
        store.keep_near_miss(near_miss(reach=0.2), TODAY, None)
    with edited(file) as database:
        *before, last = database.execute("SELECT reach FROM near_misses").fetchall()
        assert (set(before), last) == ({(0.0,)}, (0.2,))
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_a_file_of_a_newer_version_is_moved_aside(file: Path) -> None:
    fill(file)
    with edited(file) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerVersion):
        Store(file)
    with kept(file) as keeper:
        (contents,) = keeper.taken
        assert contents.learnt == {}
        assert keeper.saving.write(lambda store: store.save({SUBJECT: LEARNT}))
        assert not keeper.saving.failing
    assert keeper.complaints == [
        f"the file {file} of what is learnt is a newer version's; it is kept as"
        " learnt.newer-1, and learning begins anew"
    ]
    with edited(file.with_name("learnt.newer-1")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (99,)
        assert database.execute("SELECT count(*) FROM visits").fetchone() == (2,)
    assert list(loaded(file).learnt) == [SUBJECT]
    with kept(file) as keeper:
        assert keeper.complaints == []


def without_a_table(file: Path) -> None:
    with edited(file) as database:
        database.execute("DROP TABLE votes")


@pytest.mark.parametrize("spoil", [no_database, cut_in_the_middle, without_a_table])
def test_a_broken_file_is_moved_aside(file: Path, spoil: Callable[[Path], None]) -> None:
    fill(file)
    spoil(file)
    broken = file.read_bytes()
    with kept(file) as keeper:
        (contents,) = keeper.taken
        assert contents.learnt == {}
        assert keeper.saving.write(lambda store: store.save({SUBJECT: LEARNT}))
    (complaint,) = keeper.complaints
    assert complaint.startswith(f"the file {file} of what is learnt is broken (")
    assert complaint.endswith("); it is kept as learnt.broken-1, and learning begins anew")
    assert file.with_name("learnt.broken-1").read_bytes() == broken
    assert list(loaded(file).learnt) == [SUBJECT]


def test_files_moved_aside_before_are_left_alone(file: Path) -> None:
    file.parent.mkdir()
    for number in (1, 2):
        no_database(file)
        with kept(file) as keeper:
            assert f"it is kept as learnt.broken-{number}" in keeper.complaints[0]
    assert file.with_name("learnt.broken-1").exists()


SPOILED = ["", "{}", "[1]", "{", "null", b"\xff\x00", 3]


@pytest.mark.parametrize("content", SPOILED)
@pytest.mark.parametrize("table", ["subjects", "visits", "votes"])
def test_one_spoiled_row_is_set_aside_and_the_rest_goes_on(
    file: Path, table: str, content: object
) -> None:
    fill(file)
    with edited(file) as database:
        database.execute(f"UPDATE {table} SET row = ? WHERE number = 2", (content,))
    check_second_row_set_aside(file, table)


@pytest.mark.parametrize("table", ["subjects", "visits", "votes"])
def test_a_row_of_a_newer_format_is_set_aside_and_the_rest_goes_on(file: Path, table: str) -> None:
    fill(file)
    with edited(file) as database:
        database.execute(f"UPDATE {table} SET format = ? WHERE number = 2", (rows.FORMAT + 1,))
    check_second_row_set_aside(file, table)
    with edited(file) as database:
        assert database.execute("SELECT reason FROM set_aside").fetchall() == [
            ("it is of another version",)
        ]


def check_second_row_set_aside(file: Path, table: str) -> None:
    with edited(file) as database:
        (broken,) = database.execute(f"SELECT row FROM {table} WHERE number = 2").fetchone()
    with kept(file) as keeper:
        (contents,) = keeper.taken
    assert keeper.complaints == [
        f"what is learnt in {file} is not understood by this version of streamwatch: 1 rows;"
        " they are kept there, in the table set_aside"
    ]
    assert contents.learnt == {SUBJECT: LEARNT, DOGS: Learnt() if table == "subjects" else LEARNT}
    assert [each.id for each in contents.visits] == (["a"] if table == "visits" else ["a", "b"])
    votes = [each.visit.id for each in contents.votes]
    assert votes == (["a"] if table == "votes" else ["a", "b"])
    with edited(file) as database:
        assert database.execute("SELECT of, row FROM set_aside").fetchall() == [(table, broken)]
    with kept(file) as keeper:  # it is told once
        assert keeper.complaints == []
    assert keeper.taken[0].learnt == contents.learnt


def test_a_near_miss_that_is_not_understood_takes_no_place(file: Path) -> None:
    fill(file)
    for change in ("kind = 'mood'", "confidence = 'sure'", "x1 = x'00'", "file = x'00'"):
        with edited(file) as database:
            database.execute(f"UPDATE near_misses SET {change} WHERE number = 1")
        (kept,) = loaded(file).days["porch", "car"].kept
        assert kept.number == 2
    with edited(file) as database:
        database.execute("UPDATE near_misses SET day = 'someday'")
    assert loaded(file).days == {}


def test_the_table_of_rows_set_aside_stays_small(file: Path) -> None:
    fill(file)
    with edited(file) as database:
        for _ in range(MOST_SET_ASIDE):
            database.execute("INSERT INTO set_aside (of, row, reason) VALUES ('visits', '', '')")
        database.execute("UPDATE visits SET row = 'new'")
    assert loaded(file).set_aside == 2
    with edited(file) as database:
        (count,) = database.execute("SELECT count(*) FROM set_aside").fetchone()
        assert count == MOST_SET_ASIDE
        newest = database.execute("SELECT row FROM set_aside ORDER BY number DESC LIMIT 2")
        assert newest.fetchall() == [("new",), ("new",)]


def test_what_fails_in_the_middle_changes_nothing(file: Path) -> None:
    fill(file)

    def visits() -> Iterator[object]:
        yield told_visit("c")
        raise sqlite3.OperationalError("disk I/O error")

    with opened(file) as store:
        with pytest.raises(sqlite3.OperationalError):
            store.save({SUBJECT: Learnt()}, visits())  # type: ignore[arg-type]
        assert store.load().learnt[SUBJECT] == LEARNT
        store.save({}, [told_visit("d")])
    assert [visit.id for visit in loaded(file).visits] == ["a", "b", "d"]


# --- a disk that fails ----------------------------------------------------------------------------


def no_room(store: Store) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_a_write_that_fails_is_told_once_and_everything_is_written_later(file: Path) -> None:
    with kept(file) as keeper:
        for _ in range(3):
            assert not keeper.saving.write(no_room)
            assert keeper.saving.failing
        assert keeper.complaints == [
            f"what is learnt can't be written to {file} (database or disk is full); it would be"
            " lost with the process"
        ]
        keeper.clock.seconds += saving.RETRY_SECONDS
        assert keeper.saving.write(lambda store: store.save({DOGS: LEARNT}))
        assert (keeper.wrote_everything, keeper.saving.failing) == (1, False)
        assert len(keeper.taken) == 1
        assert not keeper.saving.write(no_room)
        assert len(keeper.complaints) == 2
    assert loaded(file).learnt == {SUBJECT: LEARNT, DOGS: LEARNT}


def test_a_file_that_could_not_be_read_at_first_is_taken_before_it_is_written(file: Path) -> None:
    fill(file)
    with edited(file) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with kept(file) as keeper:
            assert (keeper.taken, keeper.saving.failing) == ([], True)
            assert "can't be written" in keeper.complaints[0]
            assert "locked" in keeper.complaints[0]
            other.close()
            keeper.clock.seconds += saving.RETRY_SECONDS
            assert keeper.saving.write(lambda store: None)
            (contents,) = keeper.taken
    assert set(contents.learnt) == {SUBJECT, DOGS}


def test_a_folder_that_cannot_be_made_is_told_and_tried_again(file: Path) -> None:
    file.parent.write_text("in the way")
    with kept(file) as keeper:
        assert len(keeper.complaints) == 1
        assert not keeper.saving.write(lambda store: None)
        file.parent.unlink()
        keeper.clock.seconds += saving.RETRY_SECONDS
        assert keeper.saving.write(lambda store: None)
        assert len(keeper.complaints) == 1
    assert loaded(file).learnt == {SUBJECT: LEARNT}


# --- kills ----------------------------------------------------------------------------------------


def save_for_ever(file: Path) -> None:
    """Each time a visit and a vote more, and a histogram with so many entries."""
    learnt = Learnt()
    with opened(file) as store:
        for number in itertools.count():
            learnt = learnt.with_visit(0.5, {})
            visit = told_visit(f"{number}", vector=vector(*[1.0] * 512))
            store.save({SUBJECT: learnt}, [visit], [Vote(visit, False, 0.0)])
            if number == 0:
                print("begun", flush=True)


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.3])
def test_a_process_killed_while_it_saves_leaves_a_file_that_loads_whole(
    file: Path, pause: float
) -> None:
    script = (
        "from pathlib import Path; from tests.learning.test_store import save_for_ever;"
        f" save_for_ever(Path({str(file)!r}))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    with kept(file) as keeper:
        (contents,) = keeper.taken
    assert keeper.complaints == []
    saved = [visit.id for visit in contents.visits]
    assert saved == [f"{number}" for number in range(len(saved))]
    assert saved == [each.visit.id for each in contents.votes]
    learnt = Learnt()
    for _ in saved:
        learnt = learnt.with_visit(0.5, {})
    assert contents.learnt == {SUBJECT: learnt}
