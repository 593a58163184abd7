"""The file of past alerts: there again after a restart, not for ever, and never in the way."""

from __future__ import annotations

import logging
import sqlite3
import stat
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamwatch.databases import opened
from streamwatch.history import history as module
from streamwatch.history.history import (
    CLEAN_SECONDS,
    RETRY_SECONDS,
    VERSION,
    WRITE_SECONDS,
    History,
    Wanted,
)
from streamwatch.history.visits import Visit
from streamwatch.records import Event, Image, Luma, MarkedPicture
from tests.parts.databases import cut_in_the_middle, edited, no_database
from tests.parts.waiting import wait_until
from tests.publisher.events import MOMENT, end_event, new_event, update_event
from tests.publisher.running import Clock

KEEP = timedelta(days=7)
PATIENCE_SECONDS = 20.0
ALL = Wanted()


class Kept:
    """A history with clocks that tests advance, and what it has complained of."""

    def __init__(self, file: Path | None, clock: Clock) -> None:
        self.clock = clock
        self.set_by = timedelta(0)
        """How far the time of day was set."""
        self.complaints: list[str] = []
        self.history = History(file, KEEP, self.complaints.append, self.now)

    def now(self) -> datetime:
        return MOMENT + timedelta(seconds=self.clock.seconds) + self.set_by

    def take(self, *events: Event) -> None:
        for event in events:
            self.history.take(event)

    def ids(self, wanted: Wanted = ALL, most: int = 100) -> list[str]:
        return [visit.id for visit in self.history.recent(wanted, most)]

    def visit(self, id: str) -> Visit:
        found = self.history.visit(id)
        assert found is not None
        return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The monotonic clock of the histories, which stands still but for the tests."""
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite3"


@pytest.fixture
def begin(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Kept]]:
    """Begins a history, which writes by itself at once, or only when it is read and at its end."""
    begun: list[Kept] = []

    def begin(file: Path | None = None, *, at_once: bool = False) -> Kept:
        monkeypatch.setattr(module, "WRITE_SECONDS", 0.01 if at_once else 3600.0)
        kept = Kept(file, clock)
        kept.history.start()
        begun.append(kept)
        return kept

    yield begin
    for kept in begun:
        kept.history.stop(PATIENCE_SECONDS)
    assert threads() == []


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "history"]


Begin = Callable[..., Kept]


def at(minutes: float, **changes: Any) -> Event:
    """The begin of a visit so long after MOMENT."""
    moment = MOMENT + timedelta(minutes=minutes)
    return new_event(**{"started_at": moment, "captured_at": moment, **changes})


# --- what is kept ---------------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [False, True])
def test_what_was_just_taken_is_read(begin: Begin, file: Path, in_memory: bool) -> None:
    kept = begin(None if in_memory else file)
    assert kept.ids() == []
    kept.take(new_event(id="a"))
    assert kept.ids() == ["a"]
    kept.take(update_event("a"), new_event(id="b"))
    assert [step.type for step in kept.visit("a").steps] == ["new", "update"]
    assert kept.visit("b").state == "open"
    assert kept.history.visit("c") is None
    assert kept.complaints == []


def test_without_a_file_nothing_stays(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = begin()
    kept.take(new_event(id="a"), end_event("a"))
    assert kept.visit("a").state == "ended"
    kept.history.stop(PATIENCE_SECONDS)
    assert list(tmp_path.iterdir()) == []
    assert begin().ids() == []


def test_a_visit_goes_on_after_a_restart(begin: Begin, file: Path) -> None:
    kept = begin(file)
    kept.take(
        new_event(id="a", confidence=0.6, best_confidence=0.7),
        new_event(id="b", type="rejected", ended_at=MOMENT),
    )
    kept.history.stop(PATIENCE_SECONDS)
    kept = begin(file)
    assert kept.visit("a").state == "open"
    assert kept.visit("b").state == "rejected"
    kept.take(end_event("a", best_confidence=0.5, zones=("path",)))
    visit = kept.visit("a")
    assert [step.type for step in visit.steps] == ["new", "end"]
    assert (visit.state, visit.ended_at, visit.confidence) == ("ended", MOMENT, 0.7)
    assert visit.steps[1].reason == "left"
    assert kept.ids() in (["a", "b"], ["b", "a"])
    assert kept.complaints == []


def test_what_is_left_is_written_at_the_end(begin: Begin, file: Path) -> None:
    kept = begin(file)
    kept.take(new_event(id="a"))
    kept.history.stop(PATIENCE_SECONDS)
    kept.history.stop(PATIENCE_SECONDS)
    with edited(file) as database:
        assert database.execute("SELECT id FROM visits").fetchall() == [("a",)]
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_after_its_end_there_is_nothing_to_read(begin: Begin, file: Path) -> None:
    kept = begin(file)
    kept.take(new_event(id="a"))
    kept.history.stop(PATIENCE_SECONDS)
    kept.clock.seconds += 1e6
    kept.take(new_event(id="b"))
    assert kept.ids() == []
    assert kept.history.visit("a") is None
    assert kept.complaints == []


def test_it_writes_by_itself(begin: Begin, file: Path) -> None:
    assert WRITE_SECONDS < 10
    kept = begin(file, at_once=True)
    kept.take(new_event(id="a"))
    wait_until(file.exists)
    with edited(file) as database:
        wait_until(
            lambda: (
                database.execute("PRAGMA user_version").fetchone() == (VERSION,)
                and database.execute("SELECT id FROM visits").fetchall() == [("a",)]
            )
        )
    assert kept.complaints == []


def test_the_file_and_its_folder_are_private(begin: Begin, file: Path) -> None:
    kept = begin(file)
    kept.take(new_event())
    assert len(kept.ids()) == 1
    assert {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_any_thread_may_use_it(begin: Begin, file: Path) -> None:
    kept = begin(file, at_once=True)

    def use(name: str) -> None:
        for number in range(50):
            kept.take(new_event(id=f"{name}{number}"))
            if number % 10 == 0:
                kept.ids()

    users = [threading.Thread(target=use, args=(name,)) for name in "abcd"]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert len(set(kept.ids(most=1000))) == 200
    assert kept.complaints == []


class Held:
    """A picture that tells when it is let go of."""

    size = (640, 360)

    def luma(self, size: tuple[int, int]) -> Luma:
        raise NotImplementedError

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        raise NotImplementedError


def test_pictures_are_not_held(begin: Begin, file: Path) -> None:
    """Neither while they wait nor afterwards."""
    kept = begin(file)
    picture = Held()
    gone = weakref.ref(picture)
    marked = MarkedPicture(picture, (0.0, 0.0, 1.0, 1.0), "dog")
    event = new_event(id="a", picture=marked, snapshot=True)
    kept.take(event)
    assert event.picture is marked  # the others' is left alone
    del picture, marked, event
    assert gone() is None
    assert kept.ids() == ["a"]


# --- which visits ---------------------------------------------------------------------------------


@pytest.fixture
def several(begin: Begin, file: Path) -> Kept:
    kept = begin(file)
    kept.take(
        at(3, id="c", camera="porch", watch="dog"),
        at(1, id="a", camera="porch", watch="car"),
        at(4, id="d", camera="garden", watch="dog"),
        at(2, id="b", camera="garden", watch="car"),
        end_event("a", captured_at=MOMENT + timedelta(minutes=9)),
    )
    return kept


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Wanted(), "dcba"),
        (Wanted(camera="porch"), "ca"),
        (Wanted(camera="garden"), "db"),
        (Wanted(watch="dog"), "dc"),
        (Wanted(camera="porch", watch="dog"), "c"),
        (Wanted(camera="gate"), ""),
        (Wanted(camera="gate", watch="dog"), ""),
        (Wanted(camera=""), ""),
        (Wanted(camera="porch' OR '1"), ""),
        (Wanted(before="d"), "cba"),
        (Wanted(before="c"), "ba"),
        (Wanted(before="a"), ""),
        (Wanted(before="gone"), ""),
        (Wanted(before="d' OR '1"), ""),
        (Wanted(camera="porch", before="c"), "a"),
        (Wanted(camera="porch", before="d"), "ca"),
    ],
)
def test_those_that_are_wanted_are_read_the_newest_first(
    several: Kept, wanted: Wanted, ids: str
) -> None:
    assert several.ids(wanted) == list(ids)


def test_no_more_than_so_many_are_read(several: Kept) -> None:
    assert several.ids(most=3) == ["d", "c", "b"]
    assert several.ids(Wanted(watch="car"), most=1) == ["b"]
    assert several.ids(most=0) == []


def test_all_can_be_read_page_by_page(several: Kept) -> None:
    """Those that began at the same moment too."""
    several.take(at(2, id="e", camera="porch"), at(2, id="f", camera="porch"))
    found, before = [], None
    while visits := several.history.recent(Wanted(before=before), 2):
        found += [visit.id for visit in visits]
        before = visits[-1].id
    assert found == ["d", "c", "f", "e", "b", "a"]


# --- broken files and rows ------------------------------------------------------------------------


def filled(begin: Begin, file: Path) -> None:
    kept = begin(file)
    kept.take(new_event(id="a"), at(5, id="b"))
    kept.history.stop(PATIENCE_SECONDS)


def without_a_table(file: Path) -> None:
    with edited(file) as database:
        database.execute("DROP TABLE visits")


def newer(file: Path) -> None:
    with edited(file) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")


@pytest.mark.parametrize("spoil", [no_database, cut_in_the_middle, without_a_table, newer])
def test_a_broken_file_is_moved_aside_and_told_once(
    begin: Begin, file: Path, spoil: Callable[[Path], None]
) -> None:
    filled(begin, file)
    spoil(file)
    broken = file.read_bytes()
    kept = begin(file)
    assert kept.ids() == []
    kept.take(new_event(id="c"))
    assert kept.ids() == ["c"]
    (complaint,) = kept.complaints
    why = "newer" if spoil is newer else "broken"
    said = "is a newer version's; it" if spoil is newer else "is broken ("
    assert complaint.startswith(f"the file {file} of past alerts {said}")
    assert complaint.endswith(f"it is kept as history.{why}-1, and the list begins anew")
    assert file.with_name(f"history.{why}-1").read_bytes() == broken
    kept.history.stop(PATIENCE_SECONDS)
    kept = begin(file)
    assert kept.ids() == ["c"]
    assert kept.complaints == []


def test_files_moved_aside_before_are_left_alone(begin: Begin, file: Path) -> None:
    file.parent.mkdir()
    for number in (1, 2):
        no_database(file)
        kept = begin(file)
        assert kept.ids() == []
        kept.history.stop(PATIENCE_SECONDS)
        assert f"it is kept as history.broken-{number}" in kept.complaints[0]
    assert file.with_name("history.broken-1").exists()


SPOILED: list[object] = [
    *("", "{", "null", "3", "[]", "{}", b"\xff\x00", 3, '{"state": "open"}'),
    pytest.param("[" * 100_000, id="too deep"),
]


@pytest.mark.parametrize("content", SPOILED)
def test_a_row_of_nonsense_is_left_out_and_begins_anew(
    begin: Begin, file: Path, content: object
) -> None:
    filled(begin, file)
    with edited(file) as database:
        database.execute("UPDATE visits SET row = ? WHERE id = 'b'", (content,))
    kept = begin(file)
    assert kept.ids() == ["a"]
    assert kept.history.visit("b") is None
    kept.take(update_event("b"))
    assert [step.type for step in kept.visit("b").steps] == ["update"]
    assert kept.complaints == []


def test_a_visit_of_no_time_is_left_out(begin: Begin, file: Path) -> None:
    filled(begin, file)
    for started_at in ("someday", 1e30, float("inf"), b"\0"):
        with edited(file) as database:
            database.execute("UPDATE visits SET started_at = ? WHERE id = 'b'", (started_at,))
        kept = begin(file)
        assert kept.ids() == ["a"]
        kept.history.stop(PATIENCE_SECONDS)


@pytest.mark.parametrize("prompt", ["Tür 🚪", "half a pair \ud83d", "\0", '"'])
def test_any_prompt_can_be_kept(begin: Begin, file: Path, prompt: str) -> None:
    kept = begin(file)
    kept.take(new_event(id="a", prompt=prompt), new_event(id="b"))
    assert kept.visit("a").prompt == prompt
    assert len(kept.ids()) == 2


# --- a disk that fails ----------------------------------------------------------------------------


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.INFO]


def check_it_goes_on_without(kept: Kept, ids: list[str]) -> None:
    """While nothing can be written, `ids` wait."""
    for id in ids:
        kept.take(new_event(id=id))
        assert kept.ids() == []
        assert kept.history.visit(id) is None
        kept.clock.seconds += RETRY_SECONDS + 1
    assert len(kept.complaints) == 1


def test_a_file_that_can_not_be_made_is_told_once_and_made_later(
    begin: Begin, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file.parent.write_text("this is no folder")
    kept = begin(file)
    check_it_goes_on_without(kept, ["a", "b", "c"])
    assert kept.complaints == [
        f"past alerts can't be written to {file} (file exists); alerts go on, but the page lists"
        " them no more"
    ]
    assert told(caplog) == []
    file.parent.unlink()
    assert set(kept.ids()) == {"a", "b", "c"}
    assert told(caplog) == [f"past alerts can be written to {file} again"]
    assert len(kept.complaints) == 1


def test_a_file_that_fails_is_not_tried_all_the_time(begin: Begin, file: Path) -> None:
    file.parent.write_text("this is no folder")
    kept = begin(file)
    kept.take(new_event(id="a"))
    assert kept.ids() == []
    file.parent.unlink()
    kept.clock.seconds += RETRY_SECONDS - 0.1
    assert kept.ids() == []
    assert not file.exists()
    kept.clock.seconds += 0.1
    assert kept.ids() == ["a"]


class Disk:
    """Has room for no more while it is `full`: SQLite's file may not grow."""

    def __init__(self) -> None:
        self.full = False
        self.opened_times = 0

    def opened(self, file: Path | None) -> sqlite3.Connection:
        self.opened_times += 1
        database = opened(file)
        if self.full:
            database.execute("PRAGMA max_page_count = 1")  # as many as there are
        return database


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(module, "opened", disk.opened)
    return disk


LONG = "x" * 20_000


def test_a_full_disk_is_told_once_and_what_waits_is_written_later(
    begin: Begin, file: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    filled(begin, file)
    disk.full = True
    kept = begin(file)
    assert set(kept.ids()) == {"a", "b"}
    for number in range(4):
        kept.take(new_event(id=f"c{number}", prompt=LONG))
        assert kept.ids() == []
        kept.clock.seconds += RETRY_SECONDS + 1
    assert kept.complaints == [
        f"past alerts can't be written to {file} (database or disk is full); alerts go on, but the"
        " page lists them no more"
    ]
    assert told(caplog) == []
    disk.full = False
    assert set(kept.ids()) == {"a", "b", "c0", "c1", "c2", "c3"}
    assert told(caplog) == [f"past alerts can be written to {file} again"]
    disk.full = True
    kept.history.stop(PATIENCE_SECONDS)


def test_a_full_disk_is_not_tried_all_the_time(begin: Begin, file: Path, disk: Disk) -> None:
    filled(begin, file)
    disk.full = True
    kept = begin(file)
    before = disk.opened_times
    assert len(kept.ids()) == 2
    kept.clock.seconds += 3600
    kept.take(new_event(prompt=LONG))
    for _ in range(3):
        assert kept.ids() == []
        kept.clock.seconds += (RETRY_SECONDS - 1) / 3
    assert disk.opened_times == before + 1
    kept.clock.seconds += 1
    assert kept.ids() == []
    assert disk.opened_times == before + 2


def test_a_disk_that_is_full_again_is_told_again(begin: Begin, file: Path, disk: Disk) -> None:
    filled(begin, file)
    for _ in range(2):
        disk.full = True
        kept = begin(file)
        kept.take(new_event(prompt=LONG))
        assert kept.ids() == []
        disk.full = False
        kept.history.stop(PATIENCE_SECONDS)
        assert len(kept.complaints) == 1


def test_a_file_that_somebody_else_writes_is_told_once_and_written_later(
    begin: Begin, file: Path
) -> None:
    filled(begin, file)
    kept = begin(file)
    with edited(file) as other:
        other.execute("BEGIN IMMEDIATE")
        check_it_goes_on_without(kept, ["c", "d"])
    assert "(database is locked)" in kept.complaints[0]
    assert set(kept.ids()) == {"a", "b", "c", "d"}


def test_the_thread_goes_on_while_the_disk_is_full(begin: Begin, file: Path, disk: Disk) -> None:
    filled(begin, file)
    disk.full = True
    kept = begin(file, at_once=True)
    kept.take(new_event(id="c", prompt=LONG))
    wait_until(lambda: bool(kept.complaints))
    disk.full = False
    kept.clock.seconds += RETRY_SECONDS
    with edited(file) as database:
        wait_until(lambda: len(database.execute("SELECT id FROM visits").fetchall()) == 3)
    assert len(kept.complaints) == 1


def test_so_many_events_wait_and_the_oldest_are_left_out(
    begin: Begin, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    file.parent.write_text("this is no folder")
    kept = begin(file)
    kept.take(*(at(number, id=str(number)) for number in range(5)))
    assert kept.ids() == []
    file.parent.unlink()
    kept.clock.seconds += RETRY_SECONDS
    assert kept.ids() == ["4", "3", "2"]


def test_what_comes_during_a_write_that_fails_is_not_left_out_for_older_ones(
    begin: Begin, file: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    filled(begin, file)
    disk.full = True
    kept = begin(file)

    @contextmanager
    def interrupted(database: sqlite3.Connection) -> Iterator[None]:
        kept.take(at(9, id="newest"))
        raise sqlite3.OperationalError("database or disk is full")
        yield

    kept.take(*(at(number, id=str(number)) for number in (6, 7, 8)))
    with monkeypatch.context() as patch:
        patch.setattr(module, "transaction", interrupted)
        assert kept.ids() == []
    disk.full = False
    kept.clock.seconds += RETRY_SECONDS
    assert kept.ids() == ["newest", "8", "7", "b", "a"]


# --- not for ever ---------------------------------------------------------------------------------


class Cleaning:
    """A history that writes by itself, whose cleaning can be waited for."""

    def __init__(self, begin: Begin, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._cleaned = 0

        def traced(file: Path | None) -> sqlite3.Connection:
            database = opened(file)
            database.set_trace_callback(self._see)
            return database

        monkeypatch.setattr(module, "opened", traced)
        self.kept: Kept = begin(file, at_once=True)
        self.wait(1)

    def _see(self, statement: str) -> None:
        self._cleaned += statement.startswith("DELETE FROM visits WHERE id IN")

    def wait(self, count: int) -> None:
        """Until it has cleaned so many times."""
        wait_until(lambda: self._cleaned >= count)
        assert self._cleaned == count

    def later(self, seconds: float = CLEAN_SECONDS, set_by: timedelta = timedelta(0)) -> list[str]:
        """What is left when it has cleaned again after so many seconds, with the time of day set
        otherwise meanwhile."""
        count = self._cleaned
        self.kept.set_by += set_by
        self.kept.clock.seconds += seconds
        self.wait(count + 1)
        return self.kept.ids()


@pytest.fixture
def cleaning(begin: Begin, file: Path, monkeypatch: pytest.MonkeyPatch) -> Cleaning:
    """With visits that began `old` 8 days and `new` 6 days before about now."""
    kept = begin(file)
    kept.take(*(at(-days * 24 * 60, id=id) for id, days in (("old", 8), ("new", 6))))
    kept.history.stop(PATIENCE_SECONDS)
    return Cleaning(begin, file, monkeypatch)


def test_old_visits_go_but_not_at_once(cleaning: Cleaning) -> None:
    assert cleaning.kept.ids() == ["new", "old"]
    assert cleaning.later() == ["new"]
    assert cleaning.later(24 * 3600.0) == []
    assert cleaning.kept.complaints == []


def test_nothing_goes_while_the_time_of_day_is_not_settled(cleaning: Cleaning) -> None:
    """As on a machine that thinks for a while that it is another year."""
    year = timedelta(days=365)
    assert cleaning.later(set_by=year) == ["new", "old"]
    assert cleaning.later(set_by=-year) == ["new", "old"]
    assert cleaning.later() == ["new"]


def test_cleaning_is_not_done_all_the_time(cleaning: Cleaning, file: Path) -> None:
    cleaning.kept.clock.seconds += CLEAN_SECONDS - 1
    cleaning.kept.take(at(0, id="now"))
    with edited(file) as database:
        wait_until(lambda: len(database.execute("SELECT id FROM visits").fetchall()) == 3)
    cleaning.wait(1)
    assert cleaning.later(1) == ["now", "new"]


def test_how_long_they_are_kept_can_be_changed(cleaning: Cleaning) -> None:
    cleaning.kept.history.change(timedelta(days=30))
    assert cleaning.later() == ["new", "old"]
    cleaning.kept.history.change(timedelta(days=1))
    assert cleaning.later() == []


def test_only_so_many_stay_the_newest(cleaning: Cleaning, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the time of day is not settled."""
    monkeypatch.setattr(module, "MOST_VISITS", 3)
    cleaning.kept.take(*(at(minutes, id=str(minutes)) for minutes in (2, 1)))
    assert cleaning.later(set_by=timedelta(days=-100)) == ["2", "1", "new"]
